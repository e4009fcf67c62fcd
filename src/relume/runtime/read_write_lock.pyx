"""Locks of an object that several Python threads use: of its values, and of who may change it.

`ReadWriteLock` is held for a moment: by threads that read the values of a network, together, and
by the one thread that writes them, alone. `OneThread` is held from the beginning to the end of a
change, such as a fit; a second thread is refused at once.

Both need no GIL, and nothing that a fork could leave locked: see read_write_lock.h.
"""

import os

cdef extern from "runtime/read_write_lock.h" nogil:
    int forks_so_far
    int thread_number()
    int load_int(const int* at)
    void c_count_fork "count_fork"()
    bint exists(int thread)
    int add_to_int(int* at, int value)
    bint swap_int_if(int* at, int before, int after)
    void store_int(int* at, int value)
    int c_try_reading "try_reading"(rw_lock* lock)
    int c_begin_reading "begin_reading"(rw_lock* lock)
    void c_end_reading "end_reading"(rw_lock* lock, int line)
    void c_begin_writing "begin_writing"(rw_lock* lock)
    void c_end_writing "end_writing"(rw_lock* lock)

cdef bint handles_forks = False


cdef int handle_forks() except -1:
    """Let children be counted, from the first lock on."""
    global handles_forks
    if not handles_forks:
        handles_forks = True
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=count_fork)


def count_fork():
    """Called in a forked child."""
    c_count_fork()


cdef int try_reading(rw_lock* lock) noexcept nogil:
    """Begin to read, or return BUSY while another thread writes."""
    return c_try_reading(lock)


cdef int begin_reading(rw_lock* lock) noexcept nogil:
    return c_begin_reading(lock)


cdef void end_reading(rw_lock* lock, int line) noexcept nogil:
    c_end_reading(lock, line)


cdef void begin_writing(rw_lock* lock) noexcept nogil:
    c_begin_writing(lock)


cdef void end_writing(rw_lock* lock) noexcept nogil:
    c_end_writing(lock)


cdef int line_of_thread() noexcept nogil:
    """0 to 15, for memory that few Python threads share, or none."""
    return thread_number() % THREAD_LINES


cdef class ReadWriteLock:
    """A lock of values that many threads read at once, and one at a time writes.

    `reading` and `writing` give context managers. A thread that reads must neither read again nor
    write before it has ended. One that writes may read. Copies are new locks.
    """

    def __cinit__(self):
        handle_forks()
        self.state.fork = load_int(&forks_so_far)

    def __reduce__(self):
        return ReadWriteLock, ()

    def reading(self):
        """A context manager for reading."""
        return _Reading(self)

    def writing(self):
        """A context manager for writing; the caller sees to it that only one thread does."""
        return _Writing(self)


cdef class _Reading:
    cdef ReadWriteLock lock
    cdef int line

    def __init__(self, ReadWriteLock lock not None):
        self.lock = lock

    def __enter__(self):
        self.line = try_reading(&self.lock.state)
        if self.line == BUSY:
            with nogil:
                self.line = begin_reading(&self.lock.state)

    def __exit__(self, *exception):
        end_reading(&self.lock.state, self.line)


cdef class _Writing:
    cdef ReadWriteLock lock

    def __init__(self, ReadWriteLock lock not None):
        self.lock = lock

    def __enter__(self):
        with nogil:
            begin_writing(&self.lock.state)

    def __exit__(self, *exception):
        end_writing(&self.lock.state)


cdef class OneThread:
    """A context manager that one thread at a time can be in, as often as it likes.

    A second thread gets a RuntimeError. Copies are new ones, that no thread is in.

    Parameters
    ----------
    message : str
        The text of the error.
    """

    cdef str message
    cdef int owner              # number of the thread; 0: none
    cdef int depth              # how often it has entered
    cdef int changes            # how often any thread has entered

    def __cinit__(self, str message not None):
        handle_forks()
        self.message = message

    def __reduce__(self):
        return OneThread, (self.message,)

    @property
    def elsewhere(self):
        """Whether another thread is inside."""
        cdef int owner = load_int(&self.owner)
        return owner != 0 and owner != thread_number() and exists(owner)

    def absent(self):
        """A context manager for what several threads may do as long as no other one is inside.

        The RuntimeError comes at its beginning, or at its end if a thread has entered meanwhile.
        """
        return _Absent(self)

    def __enter__(self):
        cdef int own = thread_number(), owner = load_int(&self.owner)
        if owner != own:
            if owner != 0 and exists(owner) or not swap_int_if(&self.owner, owner, own):
                raise RuntimeError(self.message)
            self.depth = 0
            add_to_int(&self.changes, 1)
        self.depth += 1

    def __exit__(self, *exception):
        self.depth -= 1
        if self.depth == 0:
            store_int(&self.owner, 0)


cdef class _Absent:
    cdef OneThread lock
    cdef int before

    def __init__(self, OneThread lock not None):
        self.lock = lock

    def __enter__(self):
        self.before = load_int(&self.lock.changes)
        if self.lock.elsewhere:
            raise RuntimeError(self.lock.message)

    def __exit__(self, kind, *exception):
        if kind is None and load_int(&self.lock.changes) != self.before:
            raise RuntimeError(self.lock.message)
