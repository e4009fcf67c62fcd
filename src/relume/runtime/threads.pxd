"""The number of threads of a compiled loop, and the decision whether they pay off.

    cdef Region region
    threads = begin(&region, wanted)        # if 1, do not enter OpenMP
    for i in prange(n, schedule="dynamic", num_threads=threads):
        ...
        done(&region, threadid())
    end(&region, n)
"""

from libc.stdint cimport uint64_t

cdef struct Region:
    double begin                # seconds
    double last                 # time when the calling thread finished its last part, in seconds
    Py_ssize_t own              # number of parts done by the calling thread

cdef enum:
    MAX_THREADS = 4096          # what a region wants whose memory does not depend on its threads

cdef int available_threads() noexcept nogil
cdef int begin(Region* region, int wanted) noexcept nogil
cdef void done(Region* region, int thread) noexcept nogil
cdef void end(const Region* region, Py_ssize_t n) noexcept nogil

# Parts of a region that stay with their thread from one region to the next, so that their data
# stay in its cache. A thread that has finished its own parts takes the last parts of others.
cdef enum:
    APART = 8                   # elements between the parts of two threads: one cache line

cdef void share_out(uint64_t* parts, int threads, Py_ssize_t n) noexcept nogil
cdef Py_ssize_t next_part(uint64_t* parts, int threads, int thread) noexcept nogil

# The choice of 1, 2, 4, ... or all threads for repeated work, by the measured times of each.
cdef enum:
    LEVELS = 13                 # numbers of threads up to MAX_THREADS
    SETTLED = -1

cdef struct Choice:
    int all_threads
    int threads                 # current choice
    int level                   # the number of threads that is timed, or SETTLED
    int runs                    # of this level, or since the choice was made
    int again                   # runs until the next comparison
    double begin                # seconds
    double fastest[LEVELS]      # fastest time for a row of each level, in seconds, or 0

cdef void begin_choice(Choice* choice, int all_threads) noexcept nogil
cdef int choose(Choice* choice) noexcept nogil
cdef void chosen(Choice* choice, Py_ssize_t rows) noexcept nogil
cdef bint threads_forced() noexcept nogil
cdef int threads_of(const Choice* choice, int level) noexcept nogil
