"""BLAS limited to one thread, so that results of NumPy and SciPy are the same on every machine.

The engine does not use BLAS, but orthogonal initial weights and L-BFGS do.
"""

import threading

from threadpoolctl import LibController, ThreadpoolController


class SingleThreadedBlas:
    """A context manager that several Python threads may use at the same time.

    The first thread to enter saves the current settings, and the last one to leave restores them.
    The BLAS libraries are looked up once, which takes milliseconds; reading their settings later
    takes microseconds.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._n_inside = 0
        self._libraries: list[LibController] | None = None
        self._changed: list[tuple[LibController, int]] = []

    def __enter__(self) -> None:
        with self._lock:
            if self._libraries is None:
                blas = ThreadpoolController().select(user_api="blas")
                self._libraries = blas.lib_controllers
            if self._n_inside == 0:
                threads = ((library, library.get_num_threads()) for library in self._libraries)
                self._changed = [(library, n) for library, n in threads if n != 1]
                for library, _ in self._changed:
                    _set_num_threads(library, 1)
            self._n_inside += 1

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            self._n_inside -= 1
            if self._n_inside == 0:
                for library, before in self._changed:
                    _set_num_threads(library, before)


def _set_num_threads(library: LibController, n: int) -> None:
    """Set a library's number of threads from any Python thread.

    From version 3.7 on, threadpoolctl's set_num_threads has no effect except in the first Python
    thread that calls it, so that overlapping limits do not conflict. Here overlapping limits are
    counted instead.
    """
    getattr(library, "_real_set_num_threads", library.set_num_threads)(n)


single_threaded_blas = SingleThreadedBlas()
