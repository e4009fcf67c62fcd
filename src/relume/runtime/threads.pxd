"""How many threads a compiled loop may use, and whether they pay off.

    cdef Region region
    threads = begin(&region)                # 1: go without OpenMP
    for i in prange(n, schedule="dynamic", num_threads=threads):
        ...
        done(&region, threadid())
    end(&region, n)
"""

from libc.stdint cimport uint64_t

cdef struct Region:
    double begin                # seconds
    double last                 # when the calling thread had done its last part
    Py_ssize_t own              # parts that it did

cdef int available_threads() noexcept nogil
cdef int begin(Region* region) noexcept nogil
cdef void done(Region* region, int thread) noexcept nogil
cdef void end(const Region* region, Py_ssize_t n) noexcept nogil

# Parts of a region that stay with their thread from one region to the next, and with them what the
# thread has of them in its cache; a thread that has done its own takes others' last ones.
cdef enum:
    APART = 8                   # numbers from one thread's parts to the next's: a cache line

cdef void share_out(uint64_t* parts, int threads, Py_ssize_t n) noexcept nogil
cdef Py_ssize_t next_part(uint64_t* parts, int threads, int thread) noexcept nogil

# One thread or all for work that is done again and again, by the time that each took.
cdef struct Choice:
    int all_threads
    int threads                 # chosen for now
    int looked                  # times since one and all were compared
    double begin
    double fastest[2]           # seconds, by all and by one

cdef void begin_choice(Choice* choice, int all_threads) noexcept nogil
cdef int choose(Choice* choice) noexcept nogil
cdef void chosen(Choice* choice) noexcept nogil
