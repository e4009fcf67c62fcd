"""The number of threads: settings, forks and many Python threads; and the effects of importing."""

import itertools
import os
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import relume
from relume.runtime import threads
from relume.runtime.threads import openmp_stack_size, openmp_version
from tests.support.ops import OPS, UFUNCS, assert_same, each_op, wake_threads

needs_openmp = pytest.mark.skipif(not openmp_version(), reason="built without OpenMP")
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads Linux's /proc")

LIMIT = 60  # seconds, for a subprocess that takes one or two


def run(script, **environment):
    """Run a script in a new process with these environment variables, unset if None."""
    changed = {"RELUME_NUM_THREADS": None, "OMP_NUM_THREADS": None, **environment}
    variables = {k: v for k, v in {**os.environ, **changed}.items() if v is not None}
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env=variables,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )


def printed(script, **environment):
    done = run(script, **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(autouse=True)
def _same_number_afterwards():
    before = relume.get_num_threads()
    yield
    relume.set_num_threads(before)


# -- the number --


@needs_openmp
@pytest.mark.parametrize("n", [1, 2, 5, np.int64(3), np.uint8(4)], ids=repr)
def test_set_and_get(n):
    assert relume.set_num_threads(n) is None
    assert relume.get_num_threads() == n
    assert type(relume.get_num_threads()) is int


@needs_openmp
def test_context_manager():
    relume.set_num_threads(3)
    with relume.num_threads(2):
        assert relume.get_num_threads() == 2
        with relume.num_threads(5):
            assert relume.get_num_threads() == 5
        assert relume.get_num_threads() == 2
    assert relume.get_num_threads() == 3
    with pytest.raises(ZeroDivisionError), relume.num_threads(2):
        1 / 0  # noqa: B018
    assert relume.get_num_threads() == 3


@needs_openmp
def test_a_context_manager_may_be_kept_and_nested():
    relume.set_num_threads(3)
    two = relume.num_threads(2)
    assert relume.get_num_threads() == 3
    for _ in range(2):
        with two:
            assert relume.get_num_threads() == 2
            with two:
                assert relume.get_num_threads() == 2
            assert relume.get_num_threads() == 2
        assert relume.get_num_threads() == 3


each_setter = pytest.mark.parametrize("call", [relume.set_num_threads, relume.num_threads])


@each_setter
@pytest.mark.parametrize("n", [0, -1, -(2**70), 2**70, 4097])
def test_numbers_out_of_range(call, n):
    before = relume.get_num_threads()
    with pytest.raises(ValueError, match=rf"n must be between 1 and 4096, got {n}"):
        call(n)
    assert relume.get_num_threads() == before


@each_setter
@pytest.mark.parametrize(
    "n", [1.0, 2.5, "2", None, True, [2], np.float32(2), np.array([1, 2])], ids=repr
)
def test_numbers_that_are_not_integers(call, n):
    before = relume.get_num_threads()
    with pytest.raises(TypeError, match="n must be an integer"):
        call(n)
    assert relume.get_num_threads() == before


@each_setter
def test_a_missing_number(call):
    with pytest.raises(TypeError):
        call()


@needs_openmp
def test_a_number_set_within_blocks_holds_at_once_and_stays():
    """Restoring what a block had found when it began would lose it."""
    relume.set_num_threads(3)
    with relume.num_threads(2):
        with relume.num_threads(4):
            relume.set_num_threads(7)
            assert relume.get_num_threads() == 7
        assert relume.get_num_threads() == 2
    assert relume.get_num_threads() == 7


def in_python_thread(call):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result(LIMIT)


@needs_openmp
def test_a_block_is_that_of_its_python_thread():
    relume.set_num_threads(3)
    with relume.num_threads(2):
        assert in_python_thread(relume.get_num_threads) == 3
        in_python_thread(lambda: relume.set_num_threads(5))
        assert relume.get_num_threads() == 2
    assert relume.get_num_threads() == 5


@needs_openmp
@pytest.mark.parametrize("shared", [False, True], ids=["own objects", "one object"])
@pytest.mark.parametrize("first_ends", [0, 1])
def test_blocks_of_python_threads_that_overlap(first_ends, shared):
    """The one that ends last would put back what the other one had set."""
    relume.set_num_threads(3)
    blocks = [relume.num_threads(1)] * 2 if shared else [relume.num_threads(n) for n in (1, 4)]
    begun, ended = threading.Barrier(2), threading.Event()

    def work(k):
        with blocks[k]:
            begun.wait(LIMIT)
            assert relume.get_num_threads() == blocks[k].n
            if k != first_ends:
                assert ended.wait(LIMIT)
            assert relume.get_num_threads() == blocks[k].n
        if k == first_ends:
            ended.set()
        return relume.get_num_threads()

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(work, range(2), timeout=LIMIT)) == [3, 3]
    assert relume.get_num_threads() == 3


@needs_openmp
@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
def test_blocks_of_generators_end_in_any_order(order):
    """Restoring what a block had found put back the number of one that had ended."""

    def rows(n):
        with relume.num_threads(n):
            yield

    relume.set_num_threads(3)
    generators = {n: rows(n) for n in (1, 2, 4)}
    for each in generators.values():
        next(each)
    inside = [1, 2, 4]
    for i in order:
        n = (1, 2, 4)[i]
        generators[n].close()
        inside.remove(n)
        assert relume.get_num_threads() == (inside[-1] if inside else 3)


@needs_openmp
def test_a_block_left_by_another_python_thread_does_not_change_that_one():
    relume.set_num_threads(3)
    block = relume.num_threads(2)
    block.__enter__()
    in_python_thread(lambda: block.__exit__(None, None, None))
    assert in_python_thread(relume.get_num_threads) == 3
    assert relume.get_num_threads() == 2
    block.__exit__(None, None, None)
    assert relume.get_num_threads() == 3


# -- the environment --

NUMBER = "import relume; print(relume.get_num_threads())"


@needs_openmp
@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"RELUME_NUM_THREADS": "3"}, "3"),
        ({"OMP_NUM_THREADS": "4"}, "4"),
        ({"RELUME_NUM_THREADS": "3", "OMP_NUM_THREADS": "4"}, "3"),
        ({"RELUME_NUM_THREADS": "", "OMP_NUM_THREADS": "5"}, "5"),
        ({"OMP_NUM_THREADS": "6,2"}, "6"),  # OpenMP's syntax: one number per nesting level
        ({"RELUME_NUM_THREADS": " 2 "}, "2"),
    ],
)
def test_environment(variables, expected):
    assert printed(NUMBER, **variables) == expected


@pytest.mark.parametrize("value", ["0", "-2", "many", "1.5", "3 4"])
def test_environment_that_is_wrong_names_variable_and_value(value):
    done = run(NUMBER, RELUME_NUM_THREADS=value)
    assert done.returncode != 0
    error = done.stderr.strip().splitlines()[-1]
    assert "RELUME_NUM_THREADS" in error
    assert repr(value) in error


@pytest.mark.parametrize("value", ["0", "-2", "many"])
def test_wrong_value_of_a_variable_of_others_is_ignored(value):
    assert printed(NUMBER, OMP_NUM_THREADS=value) == printed(NUMBER)


@linux
@needs_openmp
def test_default_is_the_cpus_this_process_may_use():
    allowed = sorted(os.sched_getaffinity(0))
    assert 1 <= int(printed(NUMBER)) <= len(allowed)
    script = f"import os; os.sched_setaffinity(0, {{{allowed[0]}}}); {NUMBER}"
    assert printed(script) == "1"


# -- the same results --


@each_op
def test_bits_are_equal_for_any_number_of_threads(op):
    for n in (65_535, 65_537, 200_001):
        inputs = op.operands(np.float32, n)
        with relume.num_threads(1):
            expected = op.function(*inputs)
        for n in (2, 3, 16):
            wake_threads()
            with relume.num_threads(n):
                actual = op.function(*inputs)
            assert_same(actual, expected, f"{op} with {n} threads")


def test_ten_python_threads_at_once():
    relume.set_num_threads(2)
    inputs = [op.operands("f", 200_003) for op in UFUNCS]
    calls = [(op, a, op.ufunc(*a)) for op, a in zip(UFUNCS, inputs, strict=True)]
    barrier, failures = threading.Barrier(10), []

    def work(k):
        try:
            barrier.wait()
            for op, arrays, expected in calls[k:] + calls[:k]:
                assert_same(op.ufunc(*arrays), expected, f"{op} in Python thread {k}")
        except BaseException as failure:
            failures.append(failure)

    workers = [threading.Thread(target=work, args=(k,), daemon=True) for k in range(10)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(LIMIT)
        assert not worker.is_alive(), "a call hangs"
    if failures:
        raise failures[0]


def test_the_number_may_change_while_others_compute():
    op = OPS[0]
    inputs = op.random("f", 200_003)
    expected = op.function(*inputs)
    stop = threading.Event()

    def change():
        n = 0
        while not stop.is_set():
            relume.set_num_threads(n % 4 + 1)
            n += 1

    changer = threading.Thread(target=change, daemon=True)
    changer.start()
    try:
        for _ in range(50):
            assert_same(op.function(*inputs), expected, f"{op} while the number changes")
    finally:
        stop.set()
        changer.join(LIMIT)


# -- forked children --

# Defines `check`, which is run in a child, and `wait`, which kills a child that hangs.
FORK = """
import os, signal, sys, time
import numpy as np
import relume

x = np.linspace(-3, 3, 1_000_000, dtype=np.float32)
relume.set_num_threads(2)
expected = [relume.relu(x), relume.sigmoid(x), relume.leaky_relu(x, 0.1)]

def tasks():
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:
        return 1

def check():
    for ask in (None, 2, 4):
        if ask:
            relume.set_num_threads(ask)
        for _ in range(3):
            with relume.num_threads(3):
                results = [relume.relu(x), relume.sigmoid(x), relume.leaky_relu(x, 0.1)]
                assert relume.get_num_threads() == 1, relume.get_num_threads()
            assert all((a == b).all() for a, b in zip(results, expected))
        assert relume.get_num_threads() == 1, relume.get_num_threads()
    assert tasks() == 1, f"{tasks()} threads in the child"

def wait(child):
    end = time.monotonic() + 20
    while time.monotonic() < end:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "hangs"

def fork(work):
    child = os.fork()
    if child:
        return wait(child)
    status = 1
    try:
        work()
        status = 0
    except BaseException as error:
        print(repr(error), file=sys.stderr, flush=True)
    finally:
        os._exit(status)
"""


@needs_fork
def test_forked_child():
    assert printed(FORK + "print(fork(check))") == "0"


@needs_fork
@needs_openmp
def test_parent_keeps_its_threads_after_a_fork():
    script = """
    code = fork(check)
    assert relume.get_num_threads() == 2, relume.get_num_threads()
    assert (relume.relu(x) == expected[0]).all()
    print(code, fork(check))
    """
    assert printed(FORK + textwrap.dedent(script)) == "0 0"


@needs_fork
def test_child_of_a_child():
    script = """
    def generations():
        check()
        assert fork(check) == 0, "the grandchild"
        check()

    def silent():
        assert fork(check) == 0, "the grandchild of a child that called nothing"

    print(fork(generations), fork(silent))
    """
    assert printed(FORK + textwrap.dedent(script)) == "0 0"


@needs_fork
def test_fork_from_a_python_thread():
    """The fork happens while another Python thread is in a call that uses threads."""
    script = """
    import threading
    stop = False
    def busy():
        while not stop:
            relume.sigmoid(x)
    worker = threading.Thread(target=busy)
    worker.start()
    codes = {fork(check) for _ in range(5)}
    stop = True
    worker.join()
    print(codes)
    """
    assert printed(FORK + textwrap.dedent(script)) == "{0}"


@needs_fork
def test_multiprocessing_fork():
    script = """
    import multiprocessing
    def work(k):
        check()
        return k
    context = multiprocessing.get_context("fork")
    with context.Pool(3) as pool:
        print(pool.map_async(work, range(6)).get(30))
    """
    assert printed(FORK + textwrap.dedent(script)) == "[0, 1, 2, 3, 4, 5]"


@needs_openmp
def test_spawned_process_has_threads_of_its_own():
    """A new program is not a fork, so it may use threads although its parent has used them."""
    script = FORK + textwrap.dedent(f"""
    import subprocess
    code = "import relume; relume.set_num_threads(3); {NUMBER}"
    print(subprocess.run([sys.executable, "-c", code], capture_output=True).stdout.decode())
    """)
    assert printed(script) == "3"


# -- threads that cannot be started --

# `limit(megabytes)` lets the process have so much more memory.
LIMITED = """
import os, resource, threading
import numpy as np
import relume
from relume import nn

X = np.random.default_rng(0).random((20_000, 64), "f4")
net = nn.Network([nn.Dense(256, "relu"), nn.Dense(10)], seed=0).build(64)
relume.set_num_threads(1)
expected = net.predict_proba(X)

def limit(megabytes):
    now = int(open("/proc/self/statm").read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (now + int(megabytes * 2**20), -1))

def call():
    "What a call gives under a limit: the result, or an error that leaves the network as it was."
    try:
        return "right" if (net.predict_proba(X) == expected).all() else "wrong"
    except MemoryError:
        return "MemoryError"
"""


@linux
@needs_openmp
@pytest.mark.parametrize("threads", [2, 64])
@pytest.mark.parametrize("megabytes", [0, 1, 9, 17, 30, 100])
def test_memory_limit(megabytes, threads):
    """libgomp ends the process where it cannot start a thread."""
    script = f"""
    relume.set_num_threads({threads})
    limit({megabytes})
    print(call())
    resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
    assert call() == "right"
    """
    assert printed(LIMITED + textwrap.dedent(script)) in {"right", "MemoryError"}


@linux
@needs_openmp
def test_limit_of_threads():
    """As another user, who may have no process more."""
    if os.getuid() != 0:
        pytest.skip("needs root, to become another user")
    script = """
    relume.set_num_threads(2)
    resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
    os.setgid(65534), os.setuid(65534)
    relume.gelu(X.reshape(-1))
    print(call())
    """
    assert printed(LIMITED + textwrap.dedent(script)) == "right"


@linux
@needs_openmp
def test_threads_are_used_again_after_a_limit():
    script = """
    import time
    def tasks():
        return len(os.listdir("/proc/self/task"))
    before = tasks()
    relume.set_num_threads(3)
    limit(8)
    assert relume.gelu(X[:2000]).shape == (2000, 64)
    assert tasks() == before, tasks()
    resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
    time.sleep(0.2)
    while tasks() != before + 2:        # regions rest on a busy machine
        relume.gelu(X)
    print("used")
    """
    assert printed(LIMITED + textwrap.dedent(script)) == "used"


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, 0),
        ({"OMP_STACKSIZE": "64"}, 64 << 10),
        ({"OMP_STACKSIZE": " 2 M "}, 2 << 20),
        ({"OMP_STACKSIZE": "100000B"}, 100_000),
        ({"GOMP_STACKSIZE": "1g"}, 1 << 30),
        ({"OMP_STACKSIZE": "16k", "GOMP_STACKSIZE": "32"}, 16 << 10),
        ({"OMP_STACKSIZE": "much", "GOMP_STACKSIZE": "32"}, 32 << 10),
        ({"OMP_STACKSIZE": "-1"}, 0),
    ],
)
def test_stack_size_of_the_environment(variables, expected, monkeypatch):
    for name in ("OMP_STACKSIZE", "GOMP_STACKSIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert openmp_stack_size() == expected


# -- importing --


def test_import_leaves_the_floating_point_control_register():
    """Flush-to-zero or denormals-are-zero, also by a link option, would turn these into 0."""
    script = """
    import numpy as np

    def subnormals():
        small = np.array([5e-324, 2.2250738585072014e-308])
        single = np.array([1e-45, 1.17549435e-38], np.float32)
        python = [5e-324 * 1.0, 2.2250738585072014e-308 / 2]
        return (small * 1.0).tolist(), (small / 2).tolist(), (single * 1).tolist(), \\
            (single / 2).tolist(), (single + single).tolist(), python

    before = subnormals()
    import relume
    after = subnormals()
    relume.sigmoid(np.linspace(-800, 800, 1_000_000))
    relume.sigmoid(np.linspace(-800, 800, 1_000_000, dtype=np.float32))
    assert before == after == subnormals(), (before, after, subnormals())
    assert before[0][0] > 0 < before[2][0]
    """
    printed(script)


def test_exactly_one_kernel_build_is_imported():
    script = """
    import sys, relume
    from relume.kernels import dispatch
    builds = set(dispatch.builds())
    loaded = [b for b in builds if f"relume.kernels.{b}" in sys.modules]
    print(loaded == [relume.simd()])
    """
    assert printed(script) == "True"


# -- the choice of threads for repeated work --


@pytest.mark.parametrize("fastest", [1, 2, 4, 8, 13, 16])
def test_the_fastest_number_of_threads_is_found(fastest):
    """1, 2, 4, ... and all of them are timed in turn, as long as more are faster."""
    levels = [1, 2, 4, 8, max(fastest, 13)]
    seconds = {n: 1 / n if n <= fastest else n for n in levels}
    found = threads.simulate(levels[-1], seconds.__getitem__, 300)  # then they are compared again
    assert set(found[40:]) == {fastest}
    assert sorted(set(found)) == [n for n in levels if n <= 2 * fastest]


def test_short_runs_stay_on_one_thread():
    """A parallel region would take as long itself."""
    assert set(threads.simulate(16, lambda n: 3e-5 / n, 2000)) == {1}


def test_threads_are_compared_again_but_rarely():
    ratio = 3.0
    found = threads.simulate(2, lambda n: ratio if n == 2 else 1.0, 20_000)
    assert 3 < found.count(2) < 20_000 / 128


def test_numbers_that_took_about_as_long_are_compared_again_soon():
    """Another process had the second CPU for the first 20 runs; comparing has cost nothing."""
    calls = itertools.count()
    found = threads.simulate(2, lambda n: 1.0 if next(calls) < 20 else 1 / n, 200)
    assert set(found[:20]) == {1, 2}
    assert set(found[100:]) == {2}


def test_a_machine_that_becomes_free_gets_more_threads():
    calls = itertools.count()
    found = threads.simulate(2, lambda n: n if next(calls) < 300 else 1 / n, 1200)
    assert set(found[100:300]) == {1}
    assert found[-300:].count(2) > 290
