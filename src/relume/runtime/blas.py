"""BLAS limited to one thread, so that results of NumPy and SciPy are the same on every machine.

The engine does not use BLAS, but orthogonal initial weights and L-BFGS do.
"""

import os
import sys
import threading

from threadpoolctl import LibController, ThreadpoolController

from relume.runtime.threads import SharedBlock


class SingleThreadedBlas(SharedBlock):
    """A context manager that several Python threads may use at the same time.

    The number of threads of a BLAS library is a setting of the process. The first Python thread to
    enter changes it to 1, and the last one to leave restores it, unless somebody else has changed
    it meanwhile. The libraries are looked up once, and again after SciPy's has been loaded, which
    takes milliseconds; reading their settings takes microseconds.

    In a forked child only the thread that forked lives on. The child forgets the others, and
    restores the setting unless the one that forked is inside. While a process forks, no other
    thread is changing a setting. The handlers for this are registered at the first use, not at
    import.
    """

    def __init__(self) -> None:
        super().__init__()
        self._libraries: list[LibController] = []
        self._has_scipy = False
        self._changed: list[tuple[LibController, int]] = []  # the libraries' numbers before
        self._has_fork_handlers = False

    @property
    def _n_inside(self) -> int:
        """The number of Python threads of this process that are inside."""
        return len(self._entries)

    def prepare(self) -> None:
        """Register the handlers of forks."""
        if not self._has_fork_handlers:
            self._handle_forks()

    def begin(self) -> None:
        """Limit the libraries to one thread."""
        has_scipy = "scipy.linalg" in sys.modules  # which has a library of its own
        if not self._libraries or has_scipy != self._has_scipy:
            blas = ThreadpoolController().select(user_api="blas")
            self._libraries, self._has_scipy = blas.lib_controllers, has_scipy
        threads = [(library, library.get_num_threads()) for library in self._libraries]
        self._changed = [(library, n) for library, n in threads if n != 1]
        for library, _ in self._changed:
            _set_num_threads(library, 1)

    def end(self) -> None:
        """Restore the numbers that are still 1; else somebody else has set them meanwhile."""
        while self._changed:
            library, before = self._changed[-1]
            if library.get_num_threads() == 1:
                _set_num_threads(library, before)
            self._changed.pop()

    def _handle_forks(self) -> None:
        with self._lock:
            if not self._has_fork_handlers and hasattr(os, "register_at_fork"):
                os.register_at_fork(
                    before=self._lock.acquire,
                    after_in_parent=self._lock.release,
                    after_in_child=self._forked,
                )
            self._has_fork_handlers = True

    def _forked(self) -> None:
        """In a child, forget the threads that it does not have, and release the lock."""
        thread = threading.get_ident()
        self._entries = {each: n for each, n in self._entries.items() if each == thread}
        if not self._entries:
            self.end()
        self._lock.release()


def _set_num_threads(library: LibController, n: int) -> None:
    """Set a library's number of threads from any Python thread.

    From version 3.7 on, threadpoolctl's set_num_threads has no effect except in the first Python
    thread that calls it, so that overlapping limits do not conflict. Here overlapping limits are
    counted instead.
    """
    getattr(library, "_real_set_num_threads", library.set_num_threads)(n)


single_threaded_blas = SingleThreadedBlas()
