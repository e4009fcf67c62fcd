"""Other systems and compilers, as far as their tools are there: Windows, Clang, arm64.

Where a tool is missing, its tests are skipped and the end of the run names it. With
RELUME_ALL_TOOLS=1, which the workflows set, a missing tool is a failure.
"""

import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MINGW = "x86_64-w64-mingw32-gcc"

pytestmark = pytest.mark.skipif(
    not (ROOT / "setup.py").exists(), reason="the source tree is not here"
)


def need(command, remedy):
    if shutil.which(command) is None:
        reason = f"{command} is not installed; {remedy}"
        if os.environ.get("RELUME_ALL_TOOLS") == "1":
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture(scope="module")
def mingw():
    need(MINGW, "`make mingw` installs it on Debian")
    need("apt-get", "the headers of Python for Windows are fetched by it")
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "mingw.py"], capture_output=True, text=True, check=False
    )
    return done, runpy.run_path(str(ROOT / "tools" / "mingw.py"))


def test_mingw_accepts_every_module(mingw):
    """Names that windows.h defines, such as hyper, were names of variables."""
    done, tool = mingw
    assert done.returncode == 0, done.stdout + done.stderr
    count = len(tool["setup"].extensions())
    assert f"{count} of {count} modules accepted" in done.stdout


@pytest.mark.parametrize(
    ("text", "accepted"),
    [
        ('#include "runtime/platform.h"\ndouble hyper, max(int a), min(int b);', True),
        ("#include <windows.h>\ndouble hyper;", False),
        ("int f(void) { return not_declared(); }", False),
    ],
    ids=["free names", "hyper", "not declared"],
)
def test_the_check_of_mingw_can_fail(mingw, text, accepted, tmp_path):
    module = mingw[1]["setup"].extension("none")
    module.sources = [str(tmp_path / "file.c")]
    (tmp_path / "file.c").write_text(text)
    assert mingw[1]["check"](module)[1] == accepted
