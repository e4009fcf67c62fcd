"""What type checkers see of relume: a user's code, and every stub beside what it describes."""

import subprocess
import sys
from inspect import signature
from pathlib import Path

import pytest

import relume
from relume.sklearn import MLPClassifier
from tests.support import typed_sample

ROOT = Path(__file__).parents[2]
SOURCE = pytest.mark.skipif(not (ROOT / "setup.py").exists(), reason="the source tree is not here")

CACHE = ROOT / ".mypy_cache"  # mypy's own: what has not changed takes a second instead of twenty

# What stubtest is to leave out, and why.
ALLOWED = {
    r"relume\.kernels\.(baseline|avx2|avx512)": "importing what the CPU cannot run could crash",
    r"relume\.(kernels|ufuncs|runtime|engine)\.\w+\.__\w+__": "Cython's own",
    r"relume\.ufuncs\.(along_axis|elementwise)\.\w+": "made from tables, kept there for pickle",
    r"relume(\.nn|\.nn\.layers|\.functional)?\.__all__": "made from tables; stubs say `import *`",
    r"relume\.functional\.\w+\._\w+": "a cache around a function has another signature",
    r"relume\.nn\.training\.history\.bar_class": "a cache around a function, as before",
    rf"relume\.sklearn\.\w+\.\w+\.({'|'.join(signature(MLPClassifier).parameters)})": (
        "the constructor's defaults, which a decorator puts into the class"
    ),
    r"relume\.sklearn\.\w+\.\w+\.set_\w+_request": "made by scikit-learn for its metadata routing",
    r"relume\.nn\.layers\.activations\.\w+\.__init__": "takes what __signature__ says",
    r"relume\.nn\.network\.Network\.forward": "refuses the keywords that __signature__ leaves out",
}


def mypy(module, *arguments):
    command = [sys.executable, "-m", module, *map(str, arguments)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return result.returncode, result.stdout + result.stderr


def test_package_says_that_it_is_typed():
    assert (Path(relume.__file__).parent / "py.typed").exists()


def test_user_code_is_checked_strictly():
    """Right code passes, wrong code does not, with what relume is installed as."""
    status, output = mypy(
        "mypy", "--strict", "--config-file=", "--cache-dir", CACHE / "user", typed_sample.__file__
    )
    assert status == 0, output


@SOURCE
def test_modules_are_checked_strictly():
    """As pyproject.toml says, which also says what of strictness is left out inside, and why."""
    status, output = mypy("mypy", "--cache-dir", CACHE)
    assert status == 0, output


def test_what_is_accepted_runs():
    typed_sample.accepted()


@SOURCE
def test_stubs_are_what_they_describe(tmp_path):
    allowlist = tmp_path / "allowlist"
    allowlist.write_text("".join(f"{names}  # {why}\n" for names, why in ALLOWED.items()))
    status, output = mypy(
        "mypy.stubtest", "relume", "--concise", "--allowlist", allowlist,
        "--mypy-config-file", "pyproject.toml",
    )  # fmt: skip
    assert status == 0, output
