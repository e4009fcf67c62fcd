"""Who may import whom: import-linter's contracts for Python, and the same layers for Cython and C.

Both are run on broken copies of the package too: a guard that finds nothing might look nowhere.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "relume"
pytestmark = pytest.mark.skipif(
    not (ROOT / "setup.py").exists(), reason="the source tree is not here"
)

# What a compiled package may cimport, import or include, of relume.
CIMPORTS = {
    "runtime": {"runtime"},
    "kernels": {"kernels"},
    "ufuncs": {"ufuncs", "kernels", "runtime", "keywords"},  # the texts of errors, below all
    "engine": {"engine", "kernels", "runtime"},
}
HEADERS = CIMPORTS | {"kernels": {"kernels", "runtime"}}  # dispatch asks runtime/platform.h
COMPILED = (".pyx", ".pxd", ".pxi", ".h")
MODULE = re.compile(r"^\s*(?:from\s+(\.*[\w.]*)\s+c?import\s+(\w*)|c?import\s+([\w.]+))", re.M)
FILE = re.compile(r'^\s*(?:cdef extern from|include|#\s*include)\s*"([^<"]+)"', re.M)


def lint_imports(source):
    """Status and output of import-linter for the package in the folder `source`."""
    command = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run(
        [command, "--config", ROOT / "pyproject.toml", "--no-cache"],
        cwd=source,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "utf-8", "PYTHONPATH": str(source)},
        encoding="utf-8",
    )
    return result.returncode, result.stdout + result.stderr


def compiled_files(package):
    for name in CIMPORTS:
        for path in sorted((package / name).rglob("*")):
            if path.suffix in COMPILED:
                yield name, path


def imported_packages(text, path, package):
    """The packages of relume that a Cython file imports or cimports, by line of the import."""
    for match in MODULE.finditer(text):
        start, name, plain = match.groups()
        module = plain or start
        if module.startswith("."):
            levels = len(module) - len(module.lstrip("."))
            folder = path.parents[levels - 1].relative_to(package.parent)
            module = ".".join([*folder.parts, module.lstrip(".")]).rstrip(".")
        if module == "relume":
            module = f"relume.{name}"
        if module.startswith("relume."):
            yield module.split(".")[1], match.group().strip()


def included_packages(text, path, package):
    """The packages of relume that an included file is in; None where there is no such file."""
    for match in FILE.finditer(text):
        for folder in (path.parent, package, package / "kernels"):  # as setup.py tells compilers
            file = (folder / match[1]).resolve()
            if file.exists():
                yield file.relative_to(package.resolve()).parts[0], match.group().strip()
                break
        else:
            yield None, match.group().strip()


def upward_imports(package):
    """Every line of the compiled packages that imports or includes what its layer may not."""
    found = []
    for layer, path in compiled_files(package):
        text = path.read_text()
        where = path.relative_to(package).as_posix()
        modules = imported_packages(text, path, package) if path.suffix != ".h" else ()
        found += [f"{where}: {line}" for name, line in modules if name not in CIMPORTS[layer]]
        files = included_packages(text, path, package)
        found += [f"{where}: {line}" for name, line in files if name not in HEADERS[layer]]
    return found


def test_contracts_of_import_linter_hold():
    status, output = lint_imports(PACKAGE.parent)
    assert status == 0, output


def test_compiled_modules_import_nothing_upwards():
    assert not upward_imports(PACKAGE)


def test_every_compiled_package_has_a_layer():
    packages = {path.relative_to(PACKAGE).parts[0] for path in PACKAGE.rglob("*.pyx")}
    assert packages == set(CIMPORTS)


@pytest.fixture
def copy(tmp_path):
    """A copy of the package's sources, to be broken."""
    keep = (".py", *COMPILED)

    def ignore(folder, names):
        paths = [(name, Path(folder, name)) for name in names]
        return [name for name, p in paths if not (p.is_dir() or p.suffix in keep)]

    return shutil.copytree(PACKAGE, tmp_path / "relume", ignore=ignore)


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("runtime/__init__.py", "import relume.kernels", "nothing imports upwards"),
        ("functional/__init__.py", "import relume.nn.losses", "nothing imports upwards"),
        ("nn/__init__.py", "from relume.sklearn import base", "nothing imports upwards"),
        ("nn/__init__.py", "def f():\n    import relume.plots", "nothing imports upwards"),
        ("plots/__init__.py", "from relume import diagnostics", "nothing imports upwards"),
        ("onnx/__init__.py", "import relume.sklearn", "nothing imports upwards"),
        ("validation.py", "import relume.nn", "nothing imports upwards"),
        ("sklearn/__init__.py", "from relume.cli import demo", "nothing imports upwards"),
        ("engine/__init__.py", "from relume.ufuncs import elementwise", "calls the kernels"),
        ("nn/optimizers/__init__.py", "import relume.nn.network", "in a circle"),
        ("nn/layers/__init__.py", "import relume.nn.saving.load", "in a circle"),
    ],
)
def test_a_broken_contract_is_found(copy, file, line, contract):
    path = copy / file
    path.write_text(f"{path.read_text()}\n{line}\n")
    status, output = lint_imports(copy.parent)
    assert status != 0, output
    broken = [
        text for text in output.splitlines() if text.endswith("BROKEN") or "BROKEN (" in text
    ]
    assert any(contract in text for text in broken), output


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("runtime/threads.pyx", "from relume.kernels.table cimport Kernel"),
        ("kernels/table.pxd", "from relume.runtime.threads cimport begin"),
        ("kernels/losses.pxi", "from relume.ufuncs.strided cimport copy_strided"),
        ("kernels/math/intrinsics.h", '#include "engine/shapes.h"'),
        ("kernels/dispatch.pyx", 'cdef extern from "ufuncs/loops.h":'),
        ("kernels/fill_table.pxi", 'include "no_such_file.pxi"'),
        ("ufuncs/elementwise.pyx", "from relume.engine.arrays cimport address"),
        ("ufuncs/elementwise.pyx", "from relume.nn import Network"),
        ("engine/plan.pyx", "from relume.ufuncs.strided cimport copy_strided"),
        ("engine/plan.pyx", "    import relume.functional.activations"),
        ("engine/plan.pyx", "from relume cimport ufuncs"),
        ("engine/plan.pxd", "from ..ufuncs.strided cimport copy_strided"),
        ("engine/plan.pxd", "from .. cimport ufuncs"),
    ],
)
def test_an_upward_cimport_is_found(copy, file, line):
    (copy / "engine" / "shapes.h").touch()
    (copy / "ufuncs" / "loops.h").touch()
    path = copy / file
    path.write_text(f"{path.read_text()}\n{line}\n")
    assert upward_imports(copy) == [f"{file}: {line.strip().removesuffix(':')}"]
