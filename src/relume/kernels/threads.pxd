"""How many threads a compiled loop may use, and whether they pay off.

    cdef Region region
    threads = begin(&region)                # 1: go without OpenMP
    for i in prange(n, schedule="dynamic", num_threads=threads):
        ...
        done(&region, threadid())
    end(&region, n)
"""

cdef struct Region:
    double begin                # seconds
    double last                 # when the calling thread had done its last part
    Py_ssize_t own              # parts that it did

cdef int available_threads() noexcept nogil
cdef int begin(Region* region) noexcept nogil
cdef void done(Region* region, int thread) noexcept nogil
cdef void end(const Region* region, Py_ssize_t n) noexcept nogil
