"""The table of the kernel build in use."""

from relume.kernels.table cimport Table

cdef const Table* table
