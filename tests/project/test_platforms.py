"""Other systems and compilers, as far as their tools are there: Windows, Clang, arm64.

Where a tool is missing, its tests are skipped and the end of the run names it. With
RELUME_ALL_TOOLS=1, which the workflows set, a missing tool is a failure.
"""

import os
import platform
import re
import runpy
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from relume.runtime import threads

ROOT = Path(__file__).parents[2]
MINGW = "x86_64-w64-mingw32-gcc"
GCC_ARM64, QEMU = "aarch64-linux-gnu-gcc", "qemu-aarch64-static"

pytestmark = pytest.mark.skipif(
    not (ROOT / "setup.py").exists(), reason="the source tree is not here"
)


def lacks(reason):
    if os.environ.get("RELUME_ALL_TOOLS") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def need(command, remedy):
    if shutil.which(command) is None:
        lacks(f"{command} is not installed; {remedy}")


@pytest.fixture(scope="module")
def mingw():
    need(MINGW, "`make mingw` installs it on Debian")
    need("apt-get", "the headers of Python for Windows are fetched by it")
    tool = runpy.run_path(str(ROOT / "tools" / "mingw.py"))
    try:
        tool["fetch_headers"]()
    except subprocess.CalledProcessError:
        lacks("there is no build/mingw with the headers for Windows, and fetching them failed")
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "mingw.py"], capture_output=True, text=True, check=False
    )
    return done, tool


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


@pytest.fixture(scope="module")
def clang():
    need("clang", "it is in Debian's package clang")
    return runpy.run_path(str(ROOT / "tools" / "mingw.py"))


def test_clang_accepts_every_module(clang):
    """macOS's compiler is a Clang; GCC alone would accept its own extensions."""
    headers = (sysconfig.get_path("include"), np.get_include())
    flags = ["-Wno-error=incompatible-pointer-types-discards-qualifiers"]  # Cython drops const
    flags += [f"-I{folder}" for folder in headers]
    results = [clang["check"](module, "clang", flags) for module in clang["modules"]()]
    assert all(accepted for _, accepted in results), "".join(messages for messages, _ in results)


# What platform.h has in assembly or intrinsics for each processor.
PROGRAM = """
#include "platform.h"
#include <fenv.h>
#include <stdio.h>

int main(void)
{
    volatile float tiny = 1e-38f, half = 0.5f, zero = 0;
    const float_mode mode = flush_subnormals();
    const int flushed = tiny * half == 0;
    restore_float_mode(mode);
    const int restored = tiny * half != 0;

    feclearexcept(FE_ALL_EXCEPT);
    const float_flags flags = save_float_flags();
    zero = half / zero;
    const int raised = fetestexcept(FE_DIVBYZERO) != 0;
    restore_float_flags(flags);
    const int cleared = fetestexcept(FE_ALL_EXCEPT) == 0;

    int a, b;
    void *place = &a;
    const int exchanged = exchange_pointer(&place, &b) == &a && place == &b;
    uint64_t parts;
    set_parts(&parts, 3, 6);
    const long first = (long)take_part(&parts, 0), last = (long)take_part(&parts, 1);
    const long middle = (long)take_part(&parts, 0), none = (long)take_part(&parts, 1);
    printf("%d%d%d%d%d %ld%ld%ld%ld %d", flushed, restored, raised, cleared, exchanged,
           first, last, middle, none, seconds() > 0 && !cpu_supports("no such feature"));
    return 0;
}
"""


HALVES = """
#include "math/intrinsics.h"
#include <stdio.h>

static uint64_t wrong;

static void compare(uint32_t bits, uint32_t step)
{
    float floats[HALF_BLOCK];
    uint16_t halves[HALF_BLOCK];
    for (uint32_t i = 0; i < HALF_BLOCK; i++) floats[i] = float_of_bits(bits + i * step);
    float_to_half_block(floats, halves);
    for (int i = 0; i < HALF_BLOCK; i++) wrong += halves[i] != float_to_half(floats[i]);
}

int main(void)
{
    for (uint32_t h = 0; h < 65536; h += HALF_BLOCK) {
        uint16_t halves[HALF_BLOCK];
        float floats[HALF_BLOCK];
        for (int i = 0; i < HALF_BLOCK; i++) halves[i] = (uint16_t)(h + (uint32_t)i);
        half_to_float_block(halves, floats);
        for (int i = 0; i < HALF_BLOCK; i++)
            wrong += bits_of_float(floats[i]) != bits_of_float(half_to_float(halves[i]));
    }
    /* Around each half and each middle of two halves of both signs; floats of all magnitudes. */
    for (uint32_t bits = 0; bits < 0x80000000u; bits += 0x1000)
        for (uint32_t sign = 0; sign < 2; sign++)
            compare((bits | sign << 31) - HALF_BLOCK / 2, 1);
    for (uint32_t i = 0; i < 1u << 19; i++) compare(i * 0x9e3779b9u, 0x01234567);
    printf("%d differ", (int)wrong);
    return 0;
}
"""


@pytest.mark.parametrize("machine", ["this", "arm64"])
@pytest.mark.parametrize(
    ("text", "said"),
    [(PROGRAM, "11111 354-1 1"), (HALVES, "0 differ")],
    ids=["platform", "float16"],
)
def test_code_for_the_processor(machine, text, said, tmp_path):
    """On arm64 it is run by an emulator, which knows its control register and conversions."""
    compiler, emulator = ("gcc", []) if machine == "this" else (GCC_ARM64, [QEMU])
    flags = [f"-I{ROOT}/src/relume/{folder}" for folder in ("runtime", "kernels")]
    flags += ["-ffp-contract=off", "-fno-trapping-math"]
    flags += ["-march=native"] if machine == "this" else []
    for command in (compiler, *emulator):
        need(command, "`make arm64` installs it on Debian" if emulator else "see CONTRIBUTING.md")
    (tmp_path / "program.c").write_text(text)
    program = tmp_path / "program"
    subprocess.run(
        [compiler, "-O3", "-static", *flags, tmp_path / "program.c",
         "-o", program, "-lm"],
        check=True,
    )  # fmt: skip
    printed = subprocess.run([*emulator, program], stdout=subprocess.PIPE, text=True, check=True)
    assert printed.stdout == said


@pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64"),
    reason="the names of glibc's versions are those of Linux, and of these processors",
)
def test_threads_are_started_by_any_glibc():
    """Built with glibc 2.34 or newer, the module did not load with an older one."""
    assert b"GLIBC_2.34" not in Path(threads.__file__).read_bytes()


def test_old_libgomp_is_taken_only_where_debian_is(monkeypatch):
    """The containers of manylinux have one that is old enough."""
    tool = SimpleNamespace(**runpy.run_path(str(ROOT / "tools" / "wheel.py")))
    monkeypatch.setattr(shutil, "which", lambda command: None)
    assert tool.old_libgomp("x86_64") == {}


# The functions whose loops are looked at.
PRODUCTS = """
#include "matmul/dense.h"
void product(const Product *q) { %s(q); }
"""


@pytest.mark.parametrize("name", ["matmul_float", "matmul_double"])
def test_loops_of_products_on_arm64(name, tmp_path):
    """GCC copied the sums around each multiply-add, and copied a part of a row by a call."""
    need(GCC_ARM64, "`make arm64` installs it on Debian")
    (tmp_path / "products.c").write_text(PRODUCTS % name)
    flags = ["-O3", "-fPIC", "-ffp-contract=off", "-fno-trapping-math", "-fno-math-errno"]
    subprocess.run(
        [GCC_ARM64, "-S", *flags, f"-I{ROOT}/src/relume/kernels", tmp_path / "products.c",
         "-o", tmp_path / "products.s"],
        check=True,
    )  # fmt: skip
    text = (tmp_path / "products.s").read_text()
    lines = [line for line in text.splitlines() if re.match(r"\t[a-z]|\.L\w+:", line)]
    assert not [line for line in lines if re.match(r"\s+bl?\s+mem", line)]
    loops = [body for body in short_loops(lines) if sum("fmla" in line for line in body) >= 24]
    assert len(loops) >= 3  # whole tiles, where b is in place, copied, and packed
    for body in loops:
        text = "\n".join(body)
        assert not re.search(r"\s(mov|dup)\s+v", text), text
        assert text.count("fmla") > len(body) / 2, text


def short_loops(lines):
    """The lines of each loop of at most 60 lines, without its label."""
    labels = {}
    for end, line in enumerate(lines):
        if label := re.match(r"(\.\w+):", line):
            labels[label[1]] = end
        jump = re.match(r"\s+(?:b\.?\w\w|cbn?z\s+\w+,|tbn?z\s+\w+, \d+,)\s+(\.\w+)", line)
        if jump and end - labels.get(jump[1], -100) <= 60:
            yield lines[labels[jump[1]] + 1 : end + 1]


@pytest.fixture(scope="module")
def pythons():
    return SimpleNamespace(**runpy.run_path(str(ROOT / "tools" / "pythons.py")))


def test_an_interpreter_is_found_by_running_it(pythons):
    """A command of pyenv's may exist and not run."""
    version = "{}.{}".format(*sys.version_info)
    _, full = pythons.interpreter(version)
    assert full.startswith(f"{version}.")
    assert pythons.interpreter("3.1") is None


@pytest.mark.parametrize(
    ("recipe", "good", "said"),
    [
        ("@echo '== 3 passed, 1 skipped in 1.20s (0:00:01) =='", True, "3 passed, 1 skipped"),
        ("@echo '2 passed in 0.10s'", True, "2 passed"),
        ("@echo '= 1 failed, 2 passed in 0.10s ='; false", False, "1 failed, 2 passed; see "),
        ("@echo '2 passed in 0.10s'; false", False, "2 passed; see "),
        ("@true", False, "not built; see "),
    ],
)
def test_what_a_run_of_another_python_says(pythons, recipe, good, said, tmp_path):
    """Success needs both: the status of make, and tests that were counted."""
    (tmp_path / "Makefile").write_text(f"test:\n\t{recipe}\n")
    log = ROOT / "build" / f"{tmp_path.name}.log"
    log.parent.mkdir(exist_ok=True)
    try:
        passed, counts = pythons.make("test", "python3", tmp_path, None, log, "")
    finally:
        log.unlink()
    assert passed == good
    assert counts.startswith(said)


def test_the_parts_of_a_suite_are_added_up(pythons):
    """Every test is in one part; a part that failed or was not done is named."""
    listed = " ".join(pythons.parts()).split()
    assert len(set(listed)) == len(listed)
    assert all(
        any(file.relative_to(ROOT).is_relative_to(part) for part in listed)
        for file in (ROOT / "tests").rglob("test_*.py")
    )
    good = [(True, "3 passed, 1 skipped"), (True, "20 passed")]
    assert pythons.summed(good) == (True, "23 passed, 1 skipped")
    bad = [*good, (False, "1 failed, 2 passed; see a.log"), (False, "not done in 9 s; see b.log")]
    assert pythons.summed(bad) == (False, "25 passed, 1 skipped, 1 failed; see a.log, b.log")


def test_a_run_that_hangs_is_ended(pythons, monkeypatch, tmp_path):
    """With the processes that make has started."""
    monkeypatch.setitem(pythons.make.__globals__, "LIMIT", 2)
    (tmp_path / "Makefile").write_text("test:\n\t@sleep 600 & echo $$! > pid; wait\n")
    log = ROOT / "build" / f"{tmp_path.name}.log"
    log.parent.mkdir(exist_ok=True)
    try:
        assert pythons.make("test", "python3", tmp_path, None, log, "") == (
            False, f"not done in 2 s; see {log.relative_to(ROOT)}"
        )  # fmt: skip
    finally:
        log.unlink()
    process = Path("/proc", (tmp_path / "pid").read_text().strip(), "stat")
    assert ends(process)


def ends(process, seconds=30):
    """Whether a killed process is gone, or a zombie, in time."""
    for _ in range(seconds * 10):
        try:
            state = process.read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.1)
    return False


def test_the_emulated_suite_needs_what_the_suite_needs():
    """All that testing requires but tools that read the sources, and what qemu cannot run."""
    tool = SimpleNamespace(**runpy.run_path(str(ROOT / "tools" / "arm64.py")))
    names = {need.split(">")[0].split("[")[0].split("=")[0] for need in tool.requirements()}
    assert {"numpy", "scipy", "pytest", "cython", "setuptools", "safetensors"} <= names
    assert names.isdisjoint(tool.LEFT_OUT)
