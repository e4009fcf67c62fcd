"""Check in the compiler's report that every kernel loop is vectorized in every build.

Each build of src/relume/kernels is compiled with the flags of setup.py. For each function
  - the compiler must report every innermost loop of the source, or a loop around it, as
    vectorized, and none as missed; an in-order (fold-left) reduction does not count as vectorized;
  - every span must have at least one vectorized loop;
  - a float32 span must not convert to double, which a constant without a cast would cause.
A loop with the comment "by hand" is exempt: it is written in intrinsics, or it calls a function
with loops of its own for each row. "by hand in WHERE" exempts a loop in one build, on one
processor or with one compiler only, such as avx2, aarch64 and clang. A span that calls a function
of kernels/math/lanes.h needs no loop of its own in the builds that have it.

    python tools/vec.py [KERNELS.pyx ...]       default: the builds of this project

CC is the compiler: GCC, whose cross compiler it may be on another processor, or Clang. Clang's
report is its optimization record, which has the remarks of -Rpass and -Rpass-missed with their
functions. Clang unrolls short loops before, and may vectorize their statements.
"""

import os
import platform
import re
import shlex
import subprocess
import sys
import sysconfig
import tempfile
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from setup import BUILDS, DIRECTIVES, kernel_flags  # noqa: E402

REPORT = re.compile(r"^(?P<file>\S+\.px[id]|\S+\.pyx):(?P<line>\d+):\d+: (?P<text>.*)")
REMARK = re.compile(
    r"!(?P<kind>Passed|Missed)\nPass: +(?P<vectorizer>\S+)\n"
    r".*DebugLoc: +\{ File: '?(?P<file>[^',]+)'?,\s+Line: (?P<line>\d+)"
    r".*\nFunction: +(?P<function>\S+)",
    re.DOTALL,
)
FUNCTION = re.compile(r"^;; Function (\S+)")
SPAN = re.compile(r"^static void (__pyx_\w+_span)\(.*?\) {\n(.*?)^}", re.MULTILINE | re.DOTALL)
BY_HAND = re.compile(r"by hand(?: in (\w+))?")
CC = shlex.split(os.environ.get("CC", "gcc"))
CLANG = "clang" in subprocess.check_output([*CC, "--version"], text=True)
COMPILER = "clang" if CLANG else "gcc"


def loops_of(path, build):
    """The loops of a source file as {line of an innermost loop: lines of the loops around it}."""
    stack, around, lines = [], {}, Path(path).read_text().splitlines()
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        indent = len(line) - len(line.lstrip())
        while stack and stack[-1][0] >= indent:
            stack.pop()
        if line.lstrip().startswith("for "):
            for _, outer in stack:
                around.pop(outer, None)
            exempt = BY_HAND.search(line)
            if not exempt or exempt[1] not in (None, build, platform.machine(), COMPILER):
                around[number] = [outer for _, outer in stack]
            stack.append((indent, number))
    return around


def body_of(path, first):
    """The lines of the loop that begins in a line."""
    lines = Path(path).read_text().splitlines()
    indent = len(lines[first - 1]) - len(lines[first - 1].lstrip())
    last = first
    while last < len(lines) and (
        not lines[last].strip() or len(lines[last]) - len(lines[last].lstrip()) > indent
    ):
        last += 1
    return range(first, last + 1)


def compile_kernels(source, build, folder):
    """Compile one build; return the vectorizer's report, the assembly, and the C code."""
    c, report, asm = (folder / f"{build}{suffix}" for suffix in (".c", ".vect", ".s"))
    directives = [
        f"-X{key}={value}" for key, value in DIRECTIVES.items() if key != "language_level"
    ]
    subprocess.run(
        [sys.executable, "-m", "cython", "-3", "--line-directives", *directives, "-I", "src",
         "--module-name", f"relume.kernels.{build}", str(source), "-o", str(c)],
        cwd=ROOT, check=True)  # fmt: skip
    if CLANG:
        reporting = ["-fsave-optimization-record", f"-foptimization-record-file={report}",
                     "-foptimization-record-passes=loop-vectorize|slp-vectorizer"]  # fmt: skip
    else:
        reporting = ["-fno-ipa-icf", f"-fdump-tree-vect-optimized-missed-note={report}"]
    subprocess.run(
        [*CC, *kernel_flags(build), "-fPIC", *reporting,
         f"-I{sysconfig.get_path('include')}", "-Isrc/relume", "-Isrc/relume/kernels",
         "-w", "-S", str(c),
         "-o", str(asm)],
        cwd=ROOT, check=True)  # fmt: skip
    return report.read_text(), asm.read_text(), c.read_text()


def findings_of(report):
    """For each function, the source lines reported as vectorized, and those reported as missed."""
    vectorized, missed, name = defaultdict(Counter), defaultdict(Counter), ""
    if CLANG:
        for found in filter(None, map(REMARK.match, report.split("--- "))):
            source_line = Path(found["file"]).name, int(found["line"])
            if found["kind"] == "Passed":
                vectorized[found["function"]][source_line] += 1
            elif found["vectorizer"] == "loop-vectorize":
                missed[found["function"]][source_line] += 1
        return vectorized, missed
    for text in report.splitlines():
        if function := FUNCTION.match(text):
            name = function[1]
        elif found := REPORT.match(text):
            source_line = Path(found["file"]).name, int(found["line"])
            if "loop vectorized" in found["text"] or "turned into a library call" in found["text"]:
                vectorized[name][source_line] += 1
            elif "couldn't vectorize loop" in found["text"] or "fold-left" in found["text"]:
                missed[name][source_line] += 1
    return vectorized, missed


def failures_of(source, build, folder):
    report, asm, c = compile_kernels(source, build, folder)
    files = {
        path.name: path for path in [*(ROOT / "src/relume/kernels").rglob("*.pxi"), Path(source)]
    }
    loops = {name: loops_of(path, build) for name, path in files.items()}
    vectorized, missed = findings_of(report)
    for function in sorted({*vectorized, *missed}):
        for file, innermost in loops.items():
            for line, around in innermost.items():
                here, outer = (file, line), [(file, number) for number in around]
                seen = [
                    loop for loop in outer if vectorized[function][loop] or missed[function][loop]
                ]
                unrolled = not vectorized[function][here] and not missed[function][here]
                lost = seen and unrolled and not any(vectorized[function][loop] for loop in seen)
                if lost and CLANG:
                    body = body_of(files[file], line)
                    lost = not any(vectorized[function][file, number] for number in body)
                if missed[function][here] or lost:
                    yield f"{build}: {file}:{line} in {function} is not vectorized"
    for span, text in SPAN.findall(c):
        by_hand = "_by_lanes(" in text and "fma" in BUILDS[build]
        if not vectorized[span] and not by_hand:
            yield f"{build}: {span} has no vectorized loop"
    for body in re.findall(
        r"^(__pyx_fuse_0\w*_span):\n(.*?)\.size\t", asm, re.MULTILINE | re.DOTALL
    ):
        if re.search(r"\tv?cvt(ps2pd|ss2sd)", body[1]):
            yield f"{build}: {body[0]} converts float to double"


def main(sources):
    """Compile as many builds at a time as there are CPUs."""

    def failures_in(build):
        found = []
        for source in sources or [ROOT / f"src/relume/kernels/{build}.pyx"]:
            found += failures_of(Path(source).resolve(), build, Path(name))
        return found

    failures = []
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(os.cpu_count()) as pool:
        for build, found in zip(BUILDS, pool.map(failures_in, BUILDS), strict=True):
            print(f"{build}: {len(found)} loops not vectorized")
            failures += found
    print(*failures, sep="\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
