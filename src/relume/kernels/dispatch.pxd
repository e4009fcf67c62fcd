"""The table of the one kernel build in use."""

from relume.kernels.types cimport Table

cdef const Table* table
