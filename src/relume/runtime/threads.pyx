"""The number of threads: what was asked for, what OpenMP allows, and one where they do not pay.

libgomp hangs in a child whose parent had used it, so a child works on one thread. It is told by
its process id, which is asked only where threads would start: no fork handler, nothing global.

At the end of a region OpenMP waits for all threads, also for one that a busy machine does not
run: then a call of 30 us takes 16 ms, by luck, and no wait policy of ours could help where another
library loaded its OpenMP first. So each region is measured: the calling thread's own parts tell
what one thread would have taken. Where STRIKES regions in a row took longer, threads rest for
PAUSE times as long, which bounds what they can cost. The bits of a result do not depend on it.
"""

import math
import operator
import os
from pathlib import Path

from libc.math cimport INFINITY

cdef extern from "runtime/platform.h" nogil:
    void set_parts(uint64_t* parts, Py_ssize_t first, Py_ssize_t end)
    Py_ssize_t take_part(uint64_t* parts, bint last)
    long process_id()
    double seconds()

cdef extern from *:
    """
    #if defined(_OPENMP)
    #define RELUME_OPENMP _OPENMP
    #else
    #define RELUME_OPENMP 0
    #endif
    """
    int RELUME_OPENMP

cdef double WORTH = 1.1         # of the one-thread time: a region that took longer did not pay
cdef int STRIKES = 3            # such regions in a row: the first may only have woken a thread
cdef double PAUSE = 64          # of the last one's time: so STRIKES / PAUSE of the time is lost

cdef int TRIALS = 3             # of all threads, and as many of one,
cdef int AGAIN = 500            # and so many times later again: the machine may be busy by then

cdef int n_threads = 1
cdef int strikes = 0
cdef double resting_until = 0
cdef long home = process_id()


cdef int available_threads() noexcept nogil:
    if n_threads == 1 or process_id() != home:
        return 1
    return n_threads


cdef int begin(Region* region) noexcept nogil:
    """The threads for a region that begins now."""
    cdef int threads = available_threads()
    if threads > 1:
        region.begin = region.last = seconds()
        region.own = 0
        if region.begin < resting_until:
            return 1
    return threads


cdef void done(Region* region, int thread) noexcept nogil:
    """Note that a thread has done a part; only the calling thread's count."""
    if thread == 0:
        region.own += 1
        region.last = seconds()


cdef void end(const Region* region, Py_ssize_t n) noexcept nogil:
    """Judge a region of n parts that has ended: did it take less than one thread would have?"""
    global strikes, resting_until
    cdef double now = seconds()
    cdef double alone = (region.last - region.begin) * n / max(region.own, <Py_ssize_t> 1)
    if now - region.begin <= WORTH * alone:
        strikes = 0
        return
    strikes += 1
    if strikes >= STRIKES:
        strikes = 0
        resting_until = now + PAUSE * (now - region.begin)


cdef void share_out(uint64_t* parts, int threads, Py_ssize_t n) noexcept nogil:
    """Give each thread its share of n parts, the same in each region of so many."""
    cdef int t
    for t in range(threads):
        set_parts(parts + t * APART, n * t // threads, n * (t + 1) // threads)


cdef Py_ssize_t next_part(uint64_t* parts, int threads, int thread) noexcept nogil:
    """The next part of a thread, or of another that still has one; -1 if all are taken."""
    cdef Py_ssize_t part = take_part(parts + thread * APART, False)
    cdef int k
    for k in range(1, threads):
        if part >= 0:
            break
        part = take_part(parts + (thread + k) % threads * APART, True)
    return part


cdef void begin_choice(Choice* choice, int all_threads) noexcept nogil:
    choice.all_threads = choice.threads = all_threads
    choice.looked = AGAIN


cdef int choose(Choice* choice) noexcept nogil:
    """The threads for the next time: first all and one in turn, then what was the faster."""
    if choice.all_threads == 1:
        return 1
    if choice.looked == AGAIN:
        choice.looked, choice.fastest[0], choice.fastest[1] = 0, INFINITY, INFINITY
    if choice.looked < 2 * TRIALS:
        choice.threads = 1 if choice.looked % 2 else choice.all_threads
    elif choice.looked == 2 * TRIALS:
        choice.threads = 1 if choice.fastest[1] < choice.fastest[0] else choice.all_threads
    choice.begin = seconds()
    return choice.threads


cdef void chosen(Choice* choice) noexcept nogil:
    """Note how long it took."""
    cdef int alone = choice.threads == 1
    if choice.all_threads > 1:
        choice.fastest[alone] = min(choice.fastest[alone], seconds() - choice.begin)
        choice.looked += 1


def openmp_version():
    """OpenMP's version as yyyymm, 0 if relume was built without it."""
    return RELUME_OPENMP


def set_num_threads(n):
    """Set how many threads relume's functions and networks may use in this process.

    Results do not depend on it. A process forked from this one works on one thread, whatever it
    asks for, and so does a build without OpenMP.

    Parameters
    ----------
    n : int
        At least 1.

    Raises
    ------
    TypeError
        If `n` is not an integer.
    ValueError
        If `n` is less than 1.

    Examples
    --------
    >>> import relume
    >>> relume.set_num_threads(1)
    >>> relume.get_num_threads()
    1
    """
    global n_threads
    n_threads = checked(n, "n") if RELUME_OPENMP else min(1, checked(n, "n"))


def get_num_threads():
    """The number of threads that relume may use in this process.

    Returns
    -------
    n : int
        1 in a forked child, and in a build without OpenMP.

    Examples
    --------
    >>> import relume
    >>> with relume.num_threads(2):
    ...     relume.get_num_threads()
    2
    """
    return available_threads()


class num_threads:
    """Set the number of threads for the length of a ``with`` block.

    The number belongs to the process: other Python threads see it too.

    Parameters
    ----------
    n : int
        At least 1.

    Raises
    ------
    TypeError
        If `n` is not an integer.
    ValueError
        If `n` is less than 1.

    Examples
    --------
    >>> import relume
    >>> with relume.num_threads(1):
    ...     y = relume.relu([-1.0, 2.0])
    """

    def __init__(self, n):
        self.n = checked(n, "n")
        self.before = []            # a stack, since one object may be entered again inside itself

    def __enter__(self):
        self.before.append(n_threads)
        set_num_threads(self.n)
        return self

    def __exit__(self, *exception):
        set_num_threads(self.before.pop())


def checked(n, argument):
    try:
        number = None if isinstance(n, bool) else operator.index(n)
    except TypeError:
        number = None
    if number is None:
        raise TypeError(f"{argument} must be an integer of at least 1, got {n!r}")
    if not 1 <= number <= 4096:
        raise ValueError(f"{argument} must be between 1 and 4096, got {n!r}")
    return number


def default_num_threads():
    """RELUME_NUM_THREADS, else OMP_NUM_THREADS, else the CPUs this process may use."""
    for variable in ("RELUME_NUM_THREADS", "OMP_NUM_THREADS"):
        value = os.environ.get(variable, "").partition(",")[0].strip()
        if value:
            try:
                return checked(int(value), variable)
            except ValueError:
                if variable == "RELUME_NUM_THREADS":
                    raise ValueError(
                        f"{variable} must be an integer of at least 1, got {value!r}") from None
    affinity = getattr(os, "sched_getaffinity", lambda pid: range(os.cpu_count() or 1))
    return max(1, min(len(affinity(0)), cgroup_quota()))


def cgroup_quota():
    """The CPUs that the cgroup may use, rounded up; many if there is no limit (v2, then v1)."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            cpu = Path("/sys/fs/cgroup/cpu")
            quota = (cpu / "cpu.cfs_quota_us").read_text()
            period = (cpu / "cpu.cfs_period_us").read_text()
        except OSError:
            return 4096
    if quota == "max" or int(quota) <= 0:
        return 4096
    return math.ceil(int(quota) / int(period))


set_num_threads(default_num_threads())
