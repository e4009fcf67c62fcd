"""A lock of a network's values, for the engine; read_write_lock.pyx says what it is for."""

cdef extern from "runtime/read_write_lock.h" nogil:
    ctypedef struct rw_lock:
        int fork
    cdef enum:
        BUSY
        THREAD_LINES "READ_LINES"

cdef class ReadWriteLock:
    cdef rw_lock state

# What `try_reading` and `begin_reading` return is given to `end_reading`.
cdef int try_reading(rw_lock* lock) noexcept nogil
cdef int begin_reading(rw_lock* lock) noexcept nogil
cdef void end_reading(rw_lock* lock, int line) noexcept nogil
cdef void begin_writing(rw_lock* lock) noexcept nogil
cdef void end_writing(rw_lock* lock) noexcept nogil
cdef int line_of_thread() noexcept nogil
