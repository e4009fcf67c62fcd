"""The table of the one kernel build in use."""

from relume.kernels.table cimport Table

cdef const Table* table
