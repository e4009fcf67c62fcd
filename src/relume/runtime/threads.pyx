"""The number of threads: as requested, as can be started, and one where threads do not pay off.

libgomp hangs in a forked child whose parent has used it, so a child uses one thread. A child is
detected by its process ID, which differs from the one at import (`home`) and is checked only
before threads start. This needs no fork handler.

OpenMP keeps a pool of threads for each thread that enters regions. Where it cannot start one, as
under a limit of memory or of processes, libgomp ends the process. Therefore, before a region needs
more threads than the pool of its Python thread has, relume starts as many itself, and works with
those that could be started: see start_threads.h. A region with as many threads as the one before
costs nothing more.

At the end of a region OpenMP waits for all threads, even for one that a busy machine does not
schedule. A call of 30 us then occasionally takes 16 ms, and a wait policy of our own has no
effect if another library loaded OpenMP first. Therefore each region is timed, and the time that
one thread would have taken is estimated from the parts done by the calling thread. After STRIKES
regions in a row that took longer than that, relume uses one thread for PAUSE times the last
region's time, which bounds the loss. The bits of a result do not depend on this.
"""

import math
import operator
import os
import threading
from pathlib import Path

cdef extern from "runtime/platform.h" nogil:
    void set_parts(uint64_t* parts, Py_ssize_t first, Py_ssize_t end)
    Py_ssize_t take_part(uint64_t* parts, bint last)
    long process_id()
    double seconds()
    int shared_int(const int* at)
    void set_shared_int(int* at, int value)
    double shared_double(const double* at)
    void set_shared_double(double* at, double value)

cdef extern from "runtime/start_threads.h" nogil:
    int start_threads(int wanted, int pool, size_t stack_size)

cdef extern from *:
    """
    static RELUME_THREAD_LOCAL int relume_scoped = 0;
    static RELUME_THREAD_LOCAL int relume_pool = 1;
    #if defined(_OPENMP)
    #define RELUME_OPENMP _OPENMP
    #else
    #define RELUME_OPENMP 0
    #endif
    """
    int RELUME_OPENMP
    int scoped "relume_scoped"      # this Python thread's number within `num_threads`; 0 outside
    int pool "relume_pool"          # threads of its last region, which OpenMP keeps

# A region that took more than WORTH times the estimated time of one thread did not pay off.
cdef double WORTH = 1.1
cdef int STRIKES = 3            # more than 1, as the first region may only have woken a thread
cdef double PAUSE = 64          # at most STRIKES / PAUSE of the time is lost

cdef int TRIALS = 3             # timed runs of each number of threads
cdef int FIRST = 3              # runs before the first of them, whose memory is not in cache yet
cdef int AGAIN = 50             # runs until the next comparison: the machine may be free by then;
cdef int COST = 128             # or more, so that comparing takes at most 1 / COST of the time
cdef double GAIN = 0.95         # more threads must take at most so much of the time
cdef double MIN_RUN = 5e-5      # seconds; regions take several microseconds themselves

# Seconds until threads that could not be started are tried again. A try takes 20 us a thread.
cdef double RETRY = 0.1

# All Python threads read and write these, whole but without an order, see platform.h.
cdef int n_threads = 1
cdef int forced = 0             # whether all threads are used, whatever they take
cdef int strikes = 0
cdef double resting_until = 0
cdef double no_start_until = 0
cdef size_t stack_size = 0      # of OpenMP's threads in bytes; 0: the system's default
cdef long home = process_id()


cdef int available_threads() noexcept nogil:
    cdef int threads = scoped if scoped else shared_int(&n_threads)
    if threads == 1 or process_id() != home:
        return 1
    return threads


cdef int begin(Region* region, int wanted) noexcept nogil:
    """Begin a region; return its number of threads, at most `wanted`."""
    cdef int threads = min(wanted, available_threads())
    if threads > 1:
        region.begin = region.last = seconds()
        region.own = 0
        if region.begin < shared_double(&resting_until) and not shared_int(&forced):
            return 1
        if threads != pool:
            threads = fill_pool(threads, region)
    return threads


cdef int fill_pool(int threads, Region* region) noexcept nogil:
    """Let this Python thread's pool have so many threads, or as many as can be started."""
    global pool
    cdef int started
    if threads > pool and region.begin < shared_double(&no_start_until):
        threads = pool
    if threads == pool:
        return threads
    started = start_threads(threads, pool, stack_size)
    region.begin = region.last = seconds()
    if started < threads:
        set_shared_double(&no_start_until, region.begin + RETRY)
    if started > 1:             # else no region is entered, and the pool stays as it is
        pool = started
    return started


cdef void done(Region* region, int thread) noexcept nogil:
    """Record that a thread has finished a part. Only those of the calling thread count."""
    if thread == 0:
        region.own += 1
        region.last = seconds()


cdef void end(const Region* region, Py_ssize_t n) noexcept nogil:
    """End a region of n parts and decide whether its threads paid off."""
    cdef double now = seconds()
    cdef int in_a_row
    cdef double alone = (region.last - region.begin) * n / max(region.own, <Py_ssize_t> 1)
    if now - region.begin <= WORTH * alone:
        if shared_int(&strikes) != 0:
            set_shared_int(&strikes, 0)
        return
    in_a_row = shared_int(&strikes) + 1
    set_shared_int(&strikes, in_a_row if in_a_row < STRIKES else 0)
    if in_a_row >= STRIKES:
        set_shared_double(&resting_until, now + PAUSE * (now - region.begin))


cdef void share_out(uint64_t* parts, int threads, Py_ssize_t n) noexcept nogil:
    """Assign n parts to the threads, in the same way in each region with n parts."""
    cdef int t
    for t in range(threads):
        set_parts(parts + t * APART, n * t // threads, n * (t + 1) // threads)


cdef Py_ssize_t next_part(uint64_t* parts, int threads, int thread) noexcept nogil:
    """The next part of a thread, or the last part of another one; -1 if all parts are taken."""
    cdef Py_ssize_t part = take_part(parts + thread * APART, False)
    cdef int k
    for k in range(1, threads):
        if part >= 0:
            break
        part = take_part(parts + (thread + k) % threads * APART, True)
    return part


cdef void begin_choice(Choice* choice, int all_threads) noexcept nogil:
    choice.all_threads, choice.again = all_threads, 0
    compare(choice)
    choice.runs = -FIRST


cdef void compare(Choice* choice) noexcept nogil:
    """Begin to time runs, of one thread first."""
    cdef int i
    choice.level, choice.runs = 0, 0
    set_shared_int(&choice.threads, 1)
    for i in range(LEVELS):
        set_shared_double(&choice.fastest[i], 0)


cdef int threads_of(const Choice* choice, int level) noexcept nogil:
    return min(1 << level, choice.all_threads)


cdef int choose(Choice* choice) noexcept nogil:
    """The number of threads for the next run: one, two, four and so on, then the fastest."""
    if shared_int(&forced):
        return choice.all_threads
    if choice.all_threads > 1:
        if choice.level == SETTLED and choice.runs >= choice.again:
            compare(choice)
        choice.begin = seconds()
    return choice.threads


cdef void chosen(Choice* choice, Py_ssize_t rows) noexcept nogil:
    """Record the time that the run, of so many rows, took."""
    cdef int level = choice.level
    cdef double took
    if choice.all_threads == 1 or shared_int(&forced):
        return
    choice.runs += 1
    if level == SETTLED or choice.runs <= 0:
        return
    took = (seconds() - choice.begin) / rows
    set_shared_double(&choice.fastest[level],
                      took if choice.runs == 1 else min(choice.fastest[level], took))
    if choice.runs == TRIALS:
        next_level(choice, level, rows)


cdef void next_level(Choice* choice, int level, Py_ssize_t rows) noexcept nogil:
    """Try more threads as long as they are faster, then settle."""
    cdef int best = level, i
    cdef const double* fastest = choice.fastest
    cdef double lost = 0
    choice.runs = 0
    if level > 0 and fastest[level] > GAIN * fastest[level - 1]:
        best = level - 1
    elif threads_of(choice, level) < choice.all_threads and fastest[0] * rows >= MIN_RUN:
        choice.level = level + 1
        set_shared_int(&choice.threads, threads_of(choice, level + 1))
        return
    for i in range(level + 1):
        lost += TRIALS * (fastest[i] - fastest[best])
    choice.again = max(AGAIN, <int> min(COST * lost / fastest[best], 1e9))
    choice.level = SETTLED
    set_shared_int(&choice.threads, threads_of(choice, best))


cdef bint threads_forced() noexcept nogil:
    return shared_int(&forced)


def force_threads(bint force):
    """Let all work of networks use all threads, whatever it takes: for tests."""
    set_shared_int(&forced, force)


def simulate(int all_threads, seconds_of, Py_ssize_t runs, Py_ssize_t rows=128):
    """For tests: the threads of some runs, if a run on n of them takes ``seconds_of(n)``."""
    cdef Choice choice
    begin_choice(&choice, checked(all_threads, "all_threads"))
    numbers = []
    for _ in range(runs):
        numbers.append(choose(&choice))
        choice.begin = seconds() - seconds_of(choice.threads)
        chosen(&choice, rows)
    return numbers


def openmp_version():
    """The version of OpenMP as yyyymm, or 0 if relume was built without OpenMP."""
    return RELUME_OPENMP


def set_num_threads(n):
    """Set the number of threads that relume may use in this process.

    It takes effect at once, also in the `relume.num_threads` block that the calling Python thread
    is in, and stays after the block. Blocks of other Python threads keep their number.

    Results do not depend on the number of threads. A forked child process and a build without
    OpenMP always use one thread.

    Parameters
    ----------
    n : int
        Maximum number of threads, from 1 to 4096.

    Raises
    ------
    TypeError
        If `n` is not an integer.
    ValueError
        If `n` is less than 1 or greater than 4096.

    Examples
    --------
    >>> import relume
    >>> relume.set_num_threads(1)
    >>> relume.get_num_threads()
    1
    """
    global scoped
    cdef int threads = checked(n, "n") if RELUME_OPENMP else min(checked(n, "n"), 1)
    set_shared_int(&n_threads, threads)
    if scoped:
        scoped = local.blocks[-1][1] = threads


def get_num_threads():
    """Return the number of threads that relume may use in the calling Python thread.

    This is the number of the innermost `relume.num_threads` block that the Python thread is in, or
    else that of `relume.set_num_threads`. Where the system refuses to start a thread, as under a
    limit of memory or of processes, relume works with fewer.

    Returns
    -------
    n : int
        Maximum number of threads. It is 1 in a forked child process and in a build without OpenMP.

    Examples
    --------
    >>> import relume
    >>> with relume.num_threads(2):
    ...     relume.get_num_threads()
    2
    """
    return available_threads()


class num_threads:
    """Context manager that sets the number of threads within a ``with`` block.

    The number holds for the calling Python thread only. Blocks of several Python threads may
    therefore overlap, and none of them changes the number of the process. To set the number for
    all Python threads, such as those of a thread pool, call `relume.set_num_threads`.

    Parameters
    ----------
    n : int
        Maximum number of threads, from 1 to 4096.

    Raises
    ------
    TypeError
        If `n` is not an integer.
    ValueError
        If `n` is less than 1 or greater than 4096.

    Examples
    --------
    >>> import relume
    >>> with relume.num_threads(1):
    ...     y = relume.relu([-1.0, 2.0])
    """

    def __init__(self, n):
        self.n = checked(n, "n")

    def __enter__(self):
        global scoped
        if not hasattr(local, "blocks"):
            local.blocks = []
        scoped = self.n if RELUME_OPENMP else 1
        local.blocks.append([self, scoped])
        return self

    def __exit__(self, *exception):
        global scoped
        blocks = getattr(local, "blocks", ())
        for i in reversed(range(len(blocks))):
            if blocks[i][0] is self:    # not always the last, as generators show
                del blocks[i]
                break
        scoped = blocks[-1][1] if blocks else 0


local = threading.local()       # `blocks`: those that a Python thread is in, with their numbers


class SharedBlock:
    """The base class of a context manager that changes a setting of the process.

    Several Python threads may be inside at the same time: the first one to enter calls `begin`,
    and the last one to leave calls `end`.

    Python handles signals between bytecodes, so that an interrupt may skip any part of a context
    manager that is written in Python. Therefore this part is compiled. The methods of subclasses
    may be interrupted. `end` is then called again, and it also undoes what an interrupted `begin`
    has done.
    """

    def __init__(self):
        self._lock = threading.RLock()  # reentrant: a signal handler may fork or enter
        self._entries = {}      # how often each Python thread that is inside has entered

    def prepare(self):
        """What must be done before `begin`, without the lock."""

    def begin(self):
        """Change the setting."""

    def end(self):
        """Put the setting back, as far as that has not been done yet."""

    def __enter__(self):
        thread, entered = threading.get_ident(), False
        self.prepare()
        try:
            with self._lock:
                first = not self._entries
                self._entries[thread] = self._entries.get(thread, 0) + 1
                entered = True
                if first:
                    self.begin()
        except BaseException:
            if entered:
                self.leave(thread)
            raise

    def __exit__(self, *exception):
        self.leave(threading.get_ident())

    def leave(self, thread):
        """Leave once, whatever signals come meanwhile."""
        left, interrupt = False, None
        for _ in range(5):
            try:
                with self._lock:
                    if not left:
                        left = True
                        self._entries[thread] -= 1
                        if self._entries[thread] == 0:
                            del self._entries[thread]
                    if not self._entries:
                        self.end()
                break
            except BaseException as error:
                interrupt = error
        if interrupt is not None:
            raise interrupt


def checked(n, argument):
    """n as an int from 1 to 4096; an error names the argument."""
    try:
        number = None if isinstance(n, bool) else operator.index(n)
    except TypeError:
        number = None
    if number is None:
        got = repr(n) if isinstance(n, str | float | bool) else type(n).__name__   # no array
        raise TypeError(f"{argument} must be an integer between 1 and 4096, got {got}")
    if not 1 <= number <= 4096:
        raise ValueError(f"{argument} must be between 1 and 4096, got {n!r}")
    return number


def default_num_threads():
    """RELUME_NUM_THREADS, else OMP_NUM_THREADS, else the number of CPUs this process may use."""
    for variable in ("RELUME_NUM_THREADS", "OMP_NUM_THREADS"):
        value = os.environ.get(variable, "").partition(",")[0].strip()
        if value:
            try:
                return checked(int(value), variable)
            except ValueError:
                if variable == "RELUME_NUM_THREADS":
                    raise ValueError(
                        f"{variable} must be an integer between 1 and 4096, got {value!r}"
                    ) from None
    affinity = getattr(os, "sched_getaffinity", lambda pid: range(os.cpu_count() or 1))
    return max(1, min(len(affinity(0)), cgroup_quota()))


def cgroup_quota():
    """The number of CPUs that the cgroup (v2 or v1) may use, rounded up; 4096 without a limit."""
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


def openmp_stack_size():
    """The stack size in bytes that libgomp takes from the environment; 0 is the system's default.
    """
    for variable in ("OMP_STACKSIZE", "GOMP_STACKSIZE"):
        value = os.environ.get(variable, "").strip().lower()
        number, unit = (value[:-1], value[-1]) if value[-1:] in tuple("bkmg") else (value, "k")
        if number.strip().isdecimal():
            return min(int(number) << 10 * "bkmg".index(unit), 1 << 40)
    return 0


stack_size = openmp_stack_size()
set_num_threads(default_num_threads())
