"""What `make check` runs of the suite, and what a run says at its end.

`quick` marks a sample that takes little time and finds most: of every test in tests/, so many
cases that each value of each parameter occurs. Of THINNED tests it takes every third of these, and
COSTLY tests are left to `make test`.
"""

import re
import signal
from collections import Counter, defaultdict

import pytest

from relume.runtime import threads

# A shell starts jobs in the background with SIGINT ignored, and Python then leaves it so: tests of
# Ctrl-C need the handler that Python usually installs.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Tests that took seconds of a CPU, and whose faults others find too: those that build, start
# many processes or run experiments, and the largest of several that look alike.
COSTLY = re.compile(
    "|".join(
        [
            "test_vec.py",
            "test_simd.py",
            "test_peers.py",
            "test_checks.py",
            "test_platforms.py",
            "test_sweep.py",
            "test_imports.py::test_a_broken",
            "test_imports.py::test_an_upward_cimport_is_found",
            "test_memory.py::test_broadcasting$",
            "test_memory.py::test_overlap_with_other_strides",
            "test_sparse_matmul.py::test_other_instruction_sets",
            "test_network.py::test_forward_of_many_layers_and_outputs",
            "test_threads.py::test_ctrl_c",
            "test_threads.py::test_environment",
            "test_threads.py::test_wrong_value_of_a_variable",
            "test_model_file.py::test_killed_runs",
            "test_estimators.py::test_pickles_hold",
            "test_experiments.py::test_page_loads_nothing",
            "test_experiments.py::test_measures_what_it_says",
            "test_experiments.py::test_images_load_nothing",
            "test_experiments.py::test_every_picture_has_words_and_both_themes",
            "test_estimators.py::test_figures_are_numpys",
            "test_estimators.py::test_grid_search_in_two_processes",
            "test_estimators.py::test_importing_relume_imports_no_scikit_learn",
            "test_datasets.py::test_fashion_mnist_of_debian",
            "test_swapped.py",
            "test_typing.py::test_stubs_are_what_they_describe",
            "test_digests.py::test_network_trains",
            "test_docs.py::test_code_of_other_libraries",
            "test_optimizers.py::test_extreme_gradients_on_every_instruction_set",
            "test_training.py::test_fifty_iterations_of_lbfgs",
            "test_softmax.py::test_long_sums",
            "test_long_rows.py::test_scratch_does_not_grow",
            "test_threads.py::test_blas_setting_when",
            "test_blas.py::test_fork",
            "test_blas.py::test_importing_registers",
            "test_skl2onnx.py::test_nothing_is_registered",
            "test_matmul.py::test_a_step_in_larger_shards",
            "test_fit.py::test_same_bits_in_other_processes",
            "test_experiments.py::test_page_has_contents",
        ]
    )
)

# Tests of what all functions share: one inner loop, one way to make ufuncs, one set of points.
THINNED = re.compile(
    "|".join(
        [
            "ufuncs/test_values.py::test_bits",
            "ufuncs/test_memory.py",
            "ufuncs/test_dtypes.py",
            "ufuncs/test_protocol.py",
            "runtime/test_threads.py",
            "runtime/test_parallel.py",
            "test_accuracy.py::test_accuracy",
            "functional/test_pytorch.py",
            "test_project.py::test_docstring_is_numpydoc",
        ]
    )
)
FEW = 12  # cases of a test that is not thinned


def sampled(cases):
    """Of a function's cases, dicts of parameter to index, choose so many that each index occurs.

    Where the cases are a grid, they are its diagonal: each value of the longest parameter once,
    and those of the others in turn. Cases with values that are missing then are added.
    """
    sizes = Counter()
    for case in cases:
        for name, index in case.items():
            sizes[name] = max(sizes[name], index + 1)
    if not sizes:
        return [True] * len(cases)
    longest = max(sizes, key=sizes.get)
    chosen = [all(case[longest] % sizes[name] == case[name] for name in case) for case in cases]
    seen = {
        item for case, kept in zip(cases, chosen, strict=True) if kept for item in case.items()
    }
    for i, case in enumerate(cases):
        if not chosen[i] and not seen.issuperset(case.items()):
            chosen[i] = True
            seen.update(case.items())
    return chosen


def indices_of(cases):
    """Of each case, which value each parameter has, counted in the order of their first use."""
    known = defaultdict(dict)
    return [
        {
            name: known[name].setdefault(id(value), len(known[name]))
            for name, value in (case.callspec.params if hasattr(case, "callspec") else {}).items()
        }
        for case in cases
    ]


def pytest_collection_modifyitems(items):
    functions = defaultdict(list)
    for item in items:
        if isinstance(item, pytest.Function):
            functions[item.nodeid.partition("[")[0]].append(item)
    for name, cases in functions.items():
        if COSTLY.search(name):
            continue
        chosen = [c for c, kept in zip(cases, sampled(indices_of(cases)), strict=True) if kept]
        if THINNED.search(name) and len(chosen) > FEW:
            chosen = chosen[::3]
        for case in chosen:
            case.add_marker(pytest.mark.quick)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter):
    """Say, after all else, which tools were missing and how many tests were not run for that."""
    result = yield
    reasons = Counter(
        report.longrepr[2].removeprefix("Skipped: ")
        for report in terminalreporter.stats.get("skipped", [])
        if isinstance(report.longrepr, tuple)
    )
    tools = Counter()
    for reason, count in reasons.items():
        tools[missing_tool(reason)] += count
    tools.pop(None, None)
    if tools:
        terminalreporter.section("not run, for want of a tool")
        for tool, count in tools.most_common():
            terminalreporter.line(f"{count:6} {'test' if count == 1 else 'tests'}: {tool}")
    return result


def missing_tool(reason):
    """The tool that a reason for skipping says is not there; None for any other reason."""
    match = re.match(r"(?:the package )?(.+?) is not (?:installed|there)", reason)
    match = match or re.match(r"could not import '([\w.]+)'", reason)
    match = match or re.match(r"(?:there is no|needs) (.+)", reason)
    return match[1] if match else None


@pytest.fixture
def _all_threads():
    """Work uses all threads that it may, also where one is faster."""
    threads.force_threads(True)
    yield
    threads.force_threads(False)
