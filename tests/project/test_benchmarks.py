"""Guards of benchmarks/: nothing of the table is forgotten, and what is timed is right.

Nothing here needs asv, and nothing is timed.
"""

import importlib
import json
import re
import runpy
from itertools import product
from pathlib import Path

import numpy as np
import pytest

import relume
from relume.functional.activations import ROWS

ROOT = Path(__file__).parents[2]
if not (ROOT / "benchmarks" / "asv.conf.json").exists():
    pytest.skip("the source tree is not here", allow_module_level=True)

from benchmarks import (  # noqa: E402
    bench_memory,
    bench_networks,
    bench_ratios,
    bench_startup,
    bench_training,
    bench_ufuncs,
    calls,
)
from benchmarks.peers.contenders import CASES  # noqa: E402

MODULES = [bench_memory, bench_networks, bench_ratios, bench_startup, bench_training, bench_ufuncs]
KINDS = ("time_", "timeraw_", "track_", "peakmem_")
HISTORIES = [
    path
    for path in sorted((ROOT / "benchmarks" / "results").glob("*/"))
    if path.name != "here"  # those of `make bench`, which are not kept
]
RESULTS = [
    ROOT / "benchmarks" / "results" / "benchmarks.json",
    *(path for history in HISTORIES for path in sorted(history.glob("*.json"))),
]
cpu_name = runpy.run_path(str(ROOT / "tools" / "cpu_name.py"))


def benchmarks():
    """Every benchmark by the name that asv gives it, with the class or None, as asv finds them."""
    found = {}
    for module in MODULES:
        prefix = module.__name__.removeprefix("benchmarks.")
        for name, value in vars(module).items():
            if isinstance(value, type):
                for method in dir(value):
                    if method.startswith(KINDS):
                        found[f"{prefix}.{name}.{method}"] = value, getattr(value, method)
            elif name.startswith(KINDS):
                found[f"{prefix}.{name}"] = None, value
    return found


BENCHMARKS = benchmarks()


@pytest.fixture(autouse=True)
def _threads():
    """Benchmarks choose the number of threads for their process."""
    with relume.num_threads(relume.get_num_threads()):
        yield


def assert_benchmarked(names, listed):
    missing = sorted(set(names) - set(listed))
    assert not missing, f"benchmarks/calls.py has no benchmark for {missing}"


def test_every_activation_has_a_benchmark():
    assert_benchmarked(ROWS, calls.FUNCTIONS)
    assert_benchmarked(calls.FUNCTIONS, ROWS)


def test_every_other_function_has_a_benchmark():
    """Those along an axis, gated ones, crelu, maxout and rrelu."""
    modules = ("crelu", "gated", "maxout", "rrelu", "softmax")
    names = {
        name
        for module in modules
        for name in importlib.import_module(f"relume.functional.{module}").__all__
        if "_backward" not in name
    }
    assert_benchmarked(names, calls.OTHERS)
    assert_benchmarked(CASES, [*calls.FUNCTIONS, *calls.OTHERS])


def test_a_missing_benchmark_is_named():
    """The guard above, where somebody has added an activation and no benchmark."""
    with pytest.raises(AssertionError, match=r"no benchmark for \['no_such_function'\]"):
        assert_benchmarked([*ROWS, "no_such_function"], calls.FUNCTIONS)


def test_every_direction_is_timed():
    """A direction that relume has is not skipped as one that it has not."""
    for name, row in ROWS.items():
        for direction in set(row["directions"]) & set(calls.DIRECTIONS):
            assert calls.statement("relume", name, direction)


@pytest.mark.parametrize("function", calls.FUNCTIONS)
@pytest.mark.parametrize("step", [1, 2])
@pytest.mark.parametrize("dtype", calls.DTYPES)
def test_relume_and_numpy_compute_the_same(function, dtype, step):
    for direction in calls.DIRECTIONS[:2]:
        results = []
        for library in calls.LIBRARIES:
            call = calls.prepared(library, function, direction, dtype, 300, step)
            results.append(result_of(call, direction))
        tolerance = {"float16": 2e-2, "float32": 1e-5, "float64": 1e-12}[dtype]
        assert results[0].dtype == dtype
        np.testing.assert_allclose(*results, rtol=tolerance, atol=tolerance)


def result_of(call, direction):
    """Where a prepared call leaves its result: prelu_backward's only inside."""
    name = "out" if direction == "forward" else "dx"
    scope = call.__globals__
    if name in call.__code__.co_varnames:
        return relume.prelu_backward(scope["g"], scope["x"], scope["w"])[0]
    return scope[name]


@pytest.mark.parametrize("name", BENCHMARKS)
def test_benchmark_has_what_a_history_needs(name):
    """A version of its own, so that a new comment does not end the history, and a name to read."""
    owner, function = BENCHMARKS[name]
    assert isinstance(getattr(owner or function, "version", None), str)
    assert function.pretty_name
    params = getattr(owner or function, "params", [])
    assert len(params) == len(getattr(owner or function, "param_names", []))
    assert all(isinstance(value, str | int) for values in params for value in values)


@pytest.mark.parametrize("name", [name for name in BENCHMARKS if ".time_" in name])
def test_timed_call_runs(name):
    """One set of parameters of each, the first and small."""
    owner, function = BENCHMARKS[name]
    for parameters in product(*owner.params):
        benchmark = owner()
        benchmark.setup(*parameters)
        function(benchmark, *parameters)
        break


@pytest.mark.parametrize("call", bench_memory.CALLS)
def test_memory_benchmark_runs(call):
    x = np.ones((300, 100), np.float32)
    bench_memory.CALLS[call][1](x, np.ones_like(x))


def test_ratios_are_ratios(monkeypatch):
    monkeypatch.setattr(bench_ratios, "PAIRS", 2)
    for name, (_, function) in BENCHMARKS.items():
        if name.startswith("bench_ratios."):
            for parameters in product(*function.params):
                assert 0 < function(*parameters) < float("inf")


@pytest.mark.parametrize("work", bench_networks.ZEROS)
def test_auto_is_compared_with_the_better_mode(monkeypatch, work):
    """The worst share of zeros counts; the times here are those of never, auto and always."""
    times = iter([[4.0, 3.0, 3.0], [4.0, 6.0, 5.0], *[[1.0, 1.0, 1.0]] * 6])
    monkeypatch.setattr(bench_networks.zeros, "medians", lambda functions, seconds: next(times))
    assert bench_networks.track_auto_over_better(work) == 1.5


@pytest.mark.parametrize("formula", ["sigmoid", "tanh"])
def test_exponential_formula(formula):
    x = np.linspace(-3, 3, 7)
    out = np.empty_like(x)
    getattr(bench_ufuncs, formula)(x, out)
    np.testing.assert_allclose(out, getattr(relume, formula)(x), rtol=1e-14, atol=1e-15)


def test_history_and_comparison_select_benchmarks():
    """The Makefile's expression: the ratios, and a subset that leaves the whole table out."""
    (expression,) = re.findall(r"^HISTORY := (.*)$", (ROOT / "Makefile").read_text(), re.M)
    chosen = {name for name in BENCHMARKS if re.search(expression, name)}
    assert {name for name in BENCHMARKS if ".track_" in name} <= chosen
    assert "bench_ufuncs.Everyday.time_call" in chosen
    assert "bench_ufuncs.Table.time_call" not in chosen
    # What relu is for: its time beside that of sigmoid and tanh, alone and in training.
    assert {"bench_ratios.track_relu_over_tanh", "bench_training.Training.time_epoch"} <= chosen
    for name in ("bench_training.Training.time_epoch", "bench_ufuncs.Everyday.time_call"):
        assert {"relu", "sigmoid", "tanh"} <= set(BENCHMARKS[name][0].params[0])


def test_history_sees_every_compiled_package():
    recipe = re.search(r"^bench-history:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.M)[
        1
    ]
    package = ROOT / "src" / "relume"
    compiled = {path.relative_to(ROOT).parts[2] for path in package.rglob("*.pyx")}
    assert set(re.findall(r"src/relume/(\w+)", recipe)) == compiled


@pytest.mark.parametrize("history", HISTORIES, ids=lambda path: path.name)
def test_results_are_filed_under_one_machine(history):
    assert json.loads((history / "machine.json").read_text())["machine"] == history.name
    for path in history.glob("*-*.json"):
        assert json.loads(path.read_text())["params"]["machine"] == history.name, path.name


@pytest.mark.parametrize(
    ("cpuinfo", "name"),
    [
        (
            "vendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: 17\nmodel name\t: AMD EPYC\n",
            "amd-epyc-25-17",
        ),
        (
            "cpu family\t: 6\nmodel\t\t: 143\nmodel name\t: Intel(R) Xeon(R) CPU @ 2.10GHz\n",
            "intel-xeon-6-143",
        ),
        (
            "cpu family\t: 25\nmodel\t\t: 1\nmodel name\t: AMD EPYC 7763 64-Core Processor\n\n"
            "model name\t: another\n",
            "amd-epyc-7763-25-1",
        ),
        ("processor\t: 0\nCPU implementer\t: 0x41\n", None),
    ],
)
def test_name_of_a_cpu(cpuinfo, name):
    assert cpu_name["name_in_cpuinfo"](cpuinfo) == name


@pytest.mark.parametrize(
    ("cpuinfo", "ending"),
    [
        ("model name\t: AMD EPYC\nflags\t\t: sse2 avx avx2 avx512f avx512bw\n", ""),
        ("model name\t: AMD EPYC\nflags\t\t: sse2 avx avx2\n", "-avx2"),
        ("model name\t: Intel(R) Xeon(R)\nflags\t\t: sse2 avx\n", "-baseline"),
        ("processor\t: 0\nCPU implementer\t: 0x41\n", ""),
    ],
)
def test_results_with_and_without_avx512_are_apart(cpuinfo, ending):
    """A virtual machine without AVX-512 wrote into the history of the CPU that has it."""
    assert cpu_name["ending_for"](cpuinfo) == ending


def test_a_history_has_the_name_of_this_cpu_by_default():
    """Neither "here", which is for results that are not kept, nor empty."""
    assert re.search(
        r"^MACHINE = \$\(shell .*tools/cpu_name.py\)$", (ROOT / "Makefile").read_text(), re.M
    )
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", cpu_name["cpu_name"]())
    assert cpu_name["cpu_name"]() != "here"


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.name[:8])
def test_results_hold_no_path_of_a_machine(path):
    """Nor its name: results are for everybody."""
    texts = [path.name, *texts_in(json.loads(path.read_text()))]
    assert not [text for text in texts if re.match(r"(/|[A-Za-z]:\\|~)\w", text)]
    assert not [text for text in texts if re.search(r"/(home|root|tmp|Users)/", text)]


def texts_in(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        yield from value if isinstance(value, dict) else ()
        for part in value.values() if isinstance(value, dict) else value:
            yield from texts_in(part)
