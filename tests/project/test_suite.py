"""The suite's own tools: the sample that `make check` runs, the planted faults, the summary."""

import ast
import runpy
import shutil
import subprocess
import sys
from collections import Counter
from itertools import product
from pathlib import Path

import pytest

from tests import conftest

ROOT = Path(__file__).parents[2]
SOURCE = pytest.mark.skipif(not (ROOT / "setup.py").exists(), reason="the source tree is not here")
CLOCKS = {"perf_counter", "perf_counter_ns", "monotonic", "process_time", "time", "time_ns"}


def grid(**sizes):
    return [
        dict(zip(sizes, values, strict=True)) for values in product(*map(range, sizes.values()))
    ]


@pytest.mark.parametrize(
    "cases",
    [
        [{}],
        grid(a=5),
        grid(a=2, b=3),
        grid(a=3, b=66, c=2),
        [{"a": i, "b": i // 2} for i in range(7)],
        [case for case in grid(a=4, b=4) if case["a"] != case["b"]],
    ],
    ids=["none", "one", "two", "three", "together", "gaps"],
)
def test_the_sample_holds_each_value_of_each_parameter(cases):
    chosen = [case for case, kept in zip(cases, conftest.sampled(cases), strict=True) if kept]
    assert {item for case in cases for item in case.items()} == {
        item for case in chosen for item in case.items()
    }
    assert chosen


def test_the_sample_of_a_grid_is_its_diagonal():
    """As many cases as the longest parameter has values, each with one value of the others."""
    cases = grid(dtype=3, function=66)
    chosen = [case for case, kept in zip(cases, conftest.sampled(cases), strict=True) if kept]
    assert len(chosen) == 66
    assert Counter(case["dtype"] for case in chosen) == {0: 22, 1: 22, 2: 22}


@pytest.mark.parametrize(
    ("reason", "tool"),
    [
        ("PyTorch is not installed; it is compared with", "PyTorch"),
        ("the package onnx is not installed", "onnx"),
        ("could not import 'jax': No module named 'jax'", "jax"),
        ("jax is not installed; its code in docs is not run", "jax"),
        ("exp(1e4) is infinite", None),
        ("this CPU lacks avx512f", None),
    ],
)
def test_a_missing_tool_is_read_from_the_reason(reason, tool):
    assert conftest.missing_tool(reason) == tool


SKIPPING = """
import pytest

@pytest.mark.parametrize("i", range(3))
def test_a(i):
    pytest.skip("No Such Tool is not installed; see there")

def test_b():
    pytest.skip("another reason")

def test_c():
    pytest.importorskip("no_such_tool", reason="Other is not installed")
"""


def test_missing_tools_are_printed_last(tmp_path):
    shutil.copy(conftest.__file__, tmp_path / "conftest.py")
    (tmp_path / "test_skipping.py").write_text(SKIPPING)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = quick\n")
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-rs", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    lines = result.stdout.splitlines()
    begin = next(i for i, line in enumerate(lines) if "not run, for want of a tool" in line)
    assert [line.split() for line in lines[begin + 1 : begin + 3]] == [
        ["3", "tests:", "No", "Such", "Tool"],
        ["1", "test:", "Other"],
    ]
    assert not any(line.startswith("SKIPPED") for line in lines[begin:])


@SOURCE
def test_every_fault_can_be_planted():
    """Its text occurs exactly once, and planting it changes something."""
    faults = runpy.run_path(str(ROOT / "tools" / "faults.py"))
    assert not faults["wrong_anchors"](ROOT)
    assert len(faults["FAULTS"]) == len({fault.name for fault in faults["FAULTS"]}) == 30
    assert all(fault.right != fault.wrong for fault in faults["FAULTS"])


def timed_assertions(text):
    """The lines of assertions that read a clock, or a name that a clock was assigned to."""
    tree = ast.parse(text)
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef):
            continue
        timed = set()
        for node in ast.walk(function):
            if isinstance(node, ast.Assign) and reads_a_clock(node.value, timed):
                timed |= {name.id for name in node.targets if isinstance(name, ast.Name)}
        for node in ast.walk(function):
            if isinstance(node, ast.Assert) and reads_a_clock(node.test, timed):
                yield node.lineno


def reads_a_clock(node, timed):
    for each in ast.walk(node):
        if isinstance(each, ast.Call) and isinstance(each.func, ast.Attribute):
            module = each.func.value
            if each.func.attr in CLOCKS and isinstance(module, ast.Name) and module.id == "time":
                return True
        if isinstance(each, ast.Name) and each.id in timed:
            return True
    return False


@pytest.mark.parametrize(
    "path", sorted((ROOT / "tests").rglob("*.py")), ids=lambda path: path.stem
)
def test_no_test_asserts_a_time(path):
    """A busy machine would fail it for no fault. Limits against hangs are arguments (timeout=)."""
    assert not list(timed_assertions(path.read_text()))


def test_a_timed_assertion_is_found():
    text = "def test():\n    t = time.time()\n    took = time.time() - t\n    assert took < 1\n"
    assert list(timed_assertions(text)) == [4]
    assert list(timed_assertions("def test():\n    assert time.monotonic() < 5")) == [2]
    assert not list(timed_assertions("def test():\n    x = time.sleep(1)\n    assert x is None"))
