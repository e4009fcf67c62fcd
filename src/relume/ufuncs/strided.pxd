"""Copy strided memory to strided memory, one item at a time."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t


cdef inline void copy_strided(const char* x, Py_ssize_t x_step, char* out,
                              Py_ssize_t out_step, Py_ssize_t itemsize,
                              Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    if itemsize == 4:
        for i in range(n):
            (<uint32_t*> (out + i * out_step))[0] = (<const uint32_t*> (x + i * x_step))[0]
    elif itemsize == 8:
        for i in range(n):
            (<uint64_t*> (out + i * out_step))[0] = (<const uint64_t*> (x + i * x_step))[0]
    elif itemsize == 2:
        for i in range(n):
            (<uint16_t*> (out + i * out_step))[0] = (<const uint16_t*> (x + i * x_step))[0]
    else:
        for i in range(n):
            (<uint8_t*> (out + i * out_step))[0] = (<const uint8_t*> (x + i * x_step))[0]
