"""The limit of BLAS to one thread: Python threads that overlap, settings of others, and forks."""

import contextlib
import os
import subprocess
import sys
import textwrap
import threading

import pytest
import threadpoolctl

from relume.runtime import blas as blas_module
from relume.runtime.blas import SingleThreadedBlas
from tools import durability

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
LIMIT = 60  # seconds


def numbers():
    """The number of threads of each BLAS library."""
    pools = threadpoolctl.threadpool_info()
    return {pool["num_threads"] for pool in pools if pool["user_api"] == "blas"}


@pytest.fixture(autouse=True)
def _three_threads():
    with threadpoolctl.threadpool_limits(3, user_api="blas"):
        yield


@pytest.mark.parametrize("first_ends", [0, 1])
def test_python_threads_that_overlap(first_ends):
    blas, begun, ended = SingleThreadedBlas(), threading.Barrier(2), threading.Event()

    def work(k):
        with blas, blas:
            begun.wait(LIMIT)
            if k != first_ends:
                assert ended.wait(LIMIT)
            assert numbers() == {1}
        if k == first_ends:
            ended.set()

    threads = [threading.Thread(target=work, args=(k,)) for k in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
    assert numbers() == {3}
    assert blas._n_inside == 0


def test_a_number_that_was_set_meanwhile_stays():
    blas = SingleThreadedBlas()
    with blas:
        threadpoolctl.threadpool_limits(2, user_api="blas")
    assert numbers() == {2}


def interrupt_in(filename, line):
    """A trace function that raises once, at the line that is run as number `line` in a file."""
    count = 0

    def trace(frame, event, argument):
        nonlocal count
        if frame.f_code.co_filename != filename:
            return None
        count += 1
        if count == line:
            raise KeyboardInterrupt
        return trace

    return trace


@pytest.mark.parametrize("line", range(1, 41, 4))
@pytest.mark.parametrize("module", [blas_module, threadpoolctl], ids=["here", "below"])
def test_interrupts_leave_the_numbers(module, line):
    """An interrupt within the context manager skipped what came after it."""
    blas, before = SingleThreadedBlas(), sys.gettrace()
    with blas:
        pass  # the libraries are looked up
    sys.settrace(interrupt_in(module.__file__, line))
    try:
        with contextlib.suppress(KeyboardInterrupt), blas:
            pass
    finally:
        sys.settrace(before)
    assert numbers() == {3}
    assert blas._n_inside == 0
    with blas:
        assert numbers() == {1}
    assert numbers() == {3}


def test_libraries_that_are_loaded_later_are_limited_too():
    """SciPy has a BLAS of its own, and is imported when L-BFGS needs it."""
    script = """
    import numpy as np, threadpoolctl
    from relume import nn
    from relume.runtime.blas import single_threaded_blas
    def numbers():
        pools = threadpoolctl.threadpool_info()
        return {pool["num_threads"] for pool in pools if pool["user_api"] == "blas"}
    with single_threaded_blas:
        assert numbers() == {1}
    seen = []
    def loss(y, z):
        seen.append(numbers())
        return float(((z - y) ** 2).mean()), 2 * (z - y) / z.size
    net = nn.Network([nn.Dense(2)], loss=loss, optimizer=nn.LBFGS(max_iter=2), seed=0)
    net.fit(np.ones((4, 3)), np.ones((4, 2)))
    assert all(each == {1} for each in seen), seen
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True)


# `fork(work)` runs `work` in a child; it returns 0, or what went wrong.
FORK = """
import os, signal, threading
import numpy as np
import threadpoolctl
from relume import nn
from relume.runtime.blas import single_threaded_blas

def numbers():
    pools = threadpoolctl.threadpool_info()
    return {pool["num_threads"] for pool in pools if pool["user_api"] == "blas"}

def fit():
    X = np.random.default_rng(0).random((60, 8))
    net = nn.Network([nn.Dense(3, weight_init="orthogonal")], seed=0,
                     optimizer=nn.LBFGS(max_iter=3))
    net.fit(X, np.arange(60) % 3)

def fork(work):
    child = os.fork()
    if child == 0:
        signal.alarm(20)        # ends a child that hangs
        try:
            work()
        except BaseException as error:
            print(repr(error), flush=True)
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

fit()           # imports all that there is
threadpoolctl.threadpool_limits(3, user_api="blas")
"""


def printed(script):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORK + textwrap.dedent(script)],
        capture_output=True, text=True, timeout=LIMIT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.split("\n")[:-1]


@needs_fork
def test_fork_while_another_python_thread_is_inside():
    """The child would keep the count of a thread that it does not have, and its limit."""
    script = """
    inside, end = threading.Event(), threading.Event()
    def other():
        with single_threaded_blas:
            inside.set()
            end.wait(20)
    thread = threading.Thread(target=other)
    thread.start()
    inside.wait(20)

    def check():
        assert single_threaded_blas._n_inside == 0
        assert numbers() == {3}, numbers()
        fit()
        assert fork(fit) == 0, "the grandchild"
        assert numbers() == {3}, numbers()

    assert numbers() == {1}
    print(fork(check))
    assert numbers() == {1}
    end.set()
    thread.join()
    print(numbers(), single_threaded_blas._n_inside)
    """
    assert printed(script) == ["0", "{3} 0"]


@needs_fork
def test_fork_by_a_python_thread_that_is_inside():
    script = """
    def check():
        assert single_threaded_blas._n_inside == 1
        assert numbers() == {1}, numbers()
        single_threaded_blas.__exit__()
        assert single_threaded_blas._n_inside == 0
        assert numbers() == {3}, numbers()

    with single_threaded_blas:
        print(fork(check))
        assert numbers() == {1}
    print(numbers())
    """
    assert printed(script) == ["0", "{3}"]


@needs_fork
def test_fork_while_another_python_thread_changes_the_setting():
    """The lock would never be released in the child."""
    script = """
    stop = False
    def others():
        while not stop:
            with single_threaded_blas:
                pass
    threads = [threading.Thread(target=others) for _ in range(3)]
    for thread in threads:
        thread.start()
    def check():
        fit()
        assert single_threaded_blas._n_inside == 0
        assert numbers() == {3}, numbers()
    print({fork(check) for _ in range(10)})
    stop = True
    for thread in threads:
        thread.join()
    print(numbers())
    """
    assert printed(script) == ["{0}", "{3}"]


@needs_fork
def test_fork_while_three_python_threads_fit():
    """Estimators, and networks by L-BFGS; `make durability` forks 500."""
    assert durability.fork_children(10) == []


@needs_fork
def test_fork_while_a_progress_bar_is_drawn():
    """tqdm's bars share one lock."""
    script = """
    import io, sys
    import tqdm
    class Terminal(io.StringIO):
        def isatty(self):
            return True
    sys.stderr = Terminal()
    X, y = np.zeros((9, 2)), np.arange(9) % 3
    def show():
        nn.Network([nn.Dense(3)], seed=0).fit(X, y, progress=True)
    show()
    drawing, end = threading.Event(), threading.Event()
    class Drawing(nn.Callback):
        def on_epoch_end(self, net, epoch, logs):
            from relume.nn.training.history import bar_class
            with tqdm.tqdm.get_lock(), bar_class().get_lock():
                drawing.set()
                end.wait(20)
    thread = threading.Thread(
        target=lambda: nn.Network([nn.Dense(3)], seed=0).fit(X, y, callbacks=[Drawing()])
    )
    thread.start()
    drawing.wait(20)
    print(fork(show))
    end.set()
    thread.join()
    show()
    """
    assert printed(script) == ["0"]


def test_importing_registers_no_handler():
    script = """
    import os
    registered = []
    os.register_at_fork = lambda **handlers: registered.append(handlers)
    import relume, relume.nn, relume.sklearn, relume.runtime.blas
    print([each for each in registered if "relume" in str(each)])
    """
    code = textwrap.dedent(script)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
