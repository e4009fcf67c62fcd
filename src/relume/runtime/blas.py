"""BLAS held to one thread, so that what NumPy and SciPy compute with it has the same bits.

The engine needs no BLAS; orthogonal initial weights and L-BFGS do.
"""

import threading

from threadpoolctl import ThreadpoolController


class SingleThreadedBlas:
    """A context manager that many Python threads may be inside of at once.

    The first to enter notes the caller's settings, the last to leave restores them. The libraries
    are looked up once, since that costs milliseconds; a look at them then costs microseconds.
    """

    def __init__(self):
        self._lock = threading.Lock()
        self._inside = 0
        self._libraries = None
        self._changed = []

    def __enter__(self):
        with self._lock:
            if self._libraries is None:
                blas = ThreadpoolController().select(user_api="blas")
                self._libraries = blas.lib_controllers
            if self._inside == 0:
                threads = ((library, library.get_num_threads()) for library in self._libraries)
                self._changed = [(library, n) for library, n in threads if n != 1]
                for library, _ in self._changed:
                    _set_num_threads(library, 1)
            self._inside += 1

    def __exit__(self, *exception):
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                for library, before in self._changed:
                    _set_num_threads(library, before)


def _set_num_threads(library, n):
    """Set a library's number of threads from any Python thread.

    From 3.7 on, threadpoolctl's own set_num_threads does nothing in all Python threads but the
    one that came first, so that overlapping limits do not fight. Here they are counted instead.
    """
    getattr(library, "_real_set_num_threads", library.set_num_threads)(n)


single_threaded_blas = SingleThreadedBlas()
