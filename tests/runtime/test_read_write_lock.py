"""The lock of a network's values, in C alone: no read sees half a write, and no access races."""

import shutil
import subprocess
from pathlib import Path

import pytest

import relume

SOURCE = Path(__file__).with_name("read_write_lock.c")
HEADERS = Path(relume.__file__).parent / "runtime"


def built(folder, *flags):
    """The program, built with GCC."""
    if shutil.which("gcc") is None or not (HEADERS / "read_write_lock.h").exists():
        pytest.skip("needs gcc, and relume's headers, which no wheel has")
    program = folder / "program"
    command = ["gcc", "-O1", "-g", f"-I{HEADERS}", *flags, SOURCE, "-o", program, "-lpthread"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "-fsanitize=thread" in flags and done.returncode != 0 and "tsan" in done.stderr:
        pytest.skip("needs the library of ThreadSanitizer")
    assert done.returncode == 0, done.stderr
    return program


def test_no_read_sees_half_a_write(tmp_path):
    done = subprocess.run([built(tmp_path)], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "torn 0, readers 20, writes 2000\n")


def test_thread_sanitizer_reports_nothing(tmp_path):
    """With the memory at fixed places, since GCC 12's does not run with all random ones."""
    program = [built(tmp_path, "-fsanitize=thread")]
    if shutil.which("setarch"):
        program = ["setarch", "-R", *program]
    done = subprocess.run(program, capture_output=True, text=True, timeout=120)
    if "unexpected memory mapping" in done.stderr or "setarch" in done.stderr:
        pytest.skip("ThreadSanitizer does not run on this system")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "torn 0, readers 20, writes 2000\n"
    assert not done.stderr
