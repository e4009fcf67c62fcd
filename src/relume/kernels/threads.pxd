"""How many threads a compiled loop may use."""

cdef int available_threads() noexcept nogil
