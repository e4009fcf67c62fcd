"""Guards of the project: how it reads, and that nothing of the table is forgotten."""

import doctest
import importlib.metadata
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpydoc.validate import validate

import relume
import relume.sklearn
from relume import datasets, diagnostics, nn, onnx, plots
from tests.support import reference

ROOT = Path(__file__).parents[2]
SOURCE = pytest.mark.skipif(not (ROOT / "setup.py").exists(), reason="the source tree is not here")
PUBLIC = {
    f"{module.__name__}.{name}": getattr(module, name)
    for module in (relume, nn, datasets, diagnostics, onnx, plots, relume.sklearn)
    for name in module.__all__
    if not inspect.ismodule(getattr(module, name))
}
UFUNCS = {name: value for name, value in PUBLIC.items() if isinstance(value, np.ufunc)}

# What numpydoc asks for and relume's docstrings leave out, and why.
IGNORED = {
    "ES01",  # an extended summary, where the formula says it all
    "SA01",  # a "See Also" section
    "EX01",  # examples stand in the class, not in each of its methods
    "GL08",  # numpydoc takes inherited and generated members for undocumented ones
    "RT03",  # a description of what is returned beside its name and type
    "PR02",  # NumPy's signature of a ufunc has x1, x2 where the docstring has names
    "PR01",
    "GL02",  # the place of closing quotes, lost where docstrings are compiled or generated
}


def run(*command):
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    result = subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PATH": path},
    )
    return result.returncode, result.stdout + result.stderr


@SOURCE
@pytest.mark.parametrize(
    "command",
    [("ruff", "check", "."), ("ruff", "format", "--check", "."), ("cython-lint", "src")],
    ids=" ".join,
)
def test_lint(command):
    status, output = run(*command)
    assert status == 0, output


def assert_rows_match(table, rows):
    """A new activation is a block in src/relume/kernels and a row in the tests' reference.py."""
    missing = sorted(set(table) - set(rows))
    assert not missing, f"tests/support/reference.py has no row for {missing}"
    extra = sorted(set(rows) - set(table))
    assert not extra, f"src/relume/kernels has no block for {extra}"


def test_every_activation_has_a_reference_row():
    assert_rows_match(relume.functional.activations.ROWS, reference.ROWS)


def test_a_missing_row_or_block_is_named():
    """The guard above, on copies: it must fail whichever side is forgotten."""
    table = dict.fromkeys(relume.functional.activations.ROWS)
    rows = {name: row for name, row in reference.ROWS.items() if name in table}
    no_such_function = {"no_such_function": reference.Row(abs, abs, lambda: ((0, 0), (0, 0)))}
    without = {name: row for name, row in rows.items() if name != "tanh"}
    assert_rows_match(table | no_such_function, rows | no_such_function)
    with pytest.raises(AssertionError, match=r"reference.py has no row for \['tanh'\]"):
        assert_rows_match(table, without)
    with pytest.raises(
        AssertionError, match=r"reference.py has no row for \['no_such_function'\]"
    ):
        assert_rows_match(table | no_such_function, rows)
    with pytest.raises(AssertionError, match=r"kernels has no block for \['no_such_function'\]"):
        assert_rows_match(table, rows | no_such_function)


def test_every_activation_is_public_in_all_its_directions():
    for name, row in relume.functional.activations.ROWS.items():
        for direction in row["directions"]:
            if direction == "parameter_gradient":
                continue
            suffix = "" if direction == "forward" else f"_{direction}"
            assert f"{name}{suffix}" in relume.__all__


@pytest.mark.parametrize("name", [name for name in PUBLIC if inspect.isclass(PUBLIC[name])])
def test_inspect_returns_no_source_of_something_else(name):
    """A class's public module is not the file that defines it: its own source, or an error."""
    try:
        source = inspect.getsource(PUBLIC[name])
    except (OSError, TypeError):
        return
    assert f"class {PUBLIC[name].__name__}" in source


@pytest.mark.parametrize("name", PUBLIC)
def test_docstring_is_numpydoc(name):
    found = validate(name)["errors"] if not isinstance(PUBLIC[name], np.ufunc) else []
    errors = [error for error in found if error[0] not in IGNORED]
    assert not errors, f"{name}: {errors}"


@pytest.mark.parametrize("name", UFUNCS)
def test_docstring_of_ufunc_has_all_sections(name):
    doc = UFUNCS[name].__doc__
    for section in ("Parameters", "Returns", "Raises", "Notes", "References", "Examples"):
        assert f"\n{section}\n{'-' * len(section)}\n" in doc, f"{name} lacks {section}"


METHODS = {
    f"{name}.{method}": value
    for name, cls in PUBLIC.items()
    if inspect.isclass(cls)
    for method, value in vars(cls).items()
    if not method.startswith("_") and ">>> " in (getattr(value, "__doc__", None) or "")
}


@pytest.mark.parametrize("name", [*PUBLIC, *METHODS])
def test_examples_of_docstring_run(name):
    """doctest finds no ufuncs, no generated functions, and no methods of public classes."""
    value = (PUBLIC | METHODS)[name]
    tests = doctest.DocTestParser().get_doctest(
        inspect.cleandoc(value.__doc__ or ""), {}, name, None, None
    )
    output = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    runner.run(tests, out=output.append)
    assert runner.failures == 0, "".join(output)
    if name in PUBLIC and (isinstance(value, np.ufunc) or inspect.isfunction(value)):
        assert tests.examples, f"{name} has no example"


@SOURCE
def test_one_version():
    """The version stands in relume.__init__ and is what is installed."""
    installed = importlib.metadata.version("relume")
    assert installed == relume.__version__
    assert f"version: {installed}" in (ROOT / "CITATION.cff").read_text()


@SOURCE
def test_make_help_lists_the_targets():
    _, output = run("make", "help")
    for target in (
        *("demo", "check", "test", "lint", "faults", "vec", "parallel", "accuracy", "sweep"),
        *("durability", "fuzz", "sanitize", "peers", "digests", "mingw"),
        *("arm64", "pythons", "freethreaded", "workflows"),
        *("bench", "bench-compare", "bench-history", "bench-publish"),
        *("sdist", "wheel", "size", "release", "docs", "example"),
        *("peers-docs", "test-pytorch"),
    ):
        assert f"\n{target} " in output


@SOURCE
def test_targets_that_are_named_exist():
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]:
        named = set(re.findall(r"`make ([a-z0-9-]*[a-z0-9])", page.read_text()))
        assert named <= targets, f"{page.name} names {named - targets}"


@SOURCE
def test_workflows_call_targets_that_exist():
    """What a workflow runs can be run here: make, after what Debian's packages install."""
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in ROOT.glob(".github/workflows/*.yml"):
        for command in re.findall(r"\brun: (.*)", page.read_text()):
            words = command.split()
            if command != "|" and words[:2] != ["sudo", "apt-get"]:
                assert words[0] == "make", f"{page.name} runs {command}"
                assert words[1] in targets, f"{page.name} runs {command}"
