"""Run tests and random calls with AddressSanitizer and UBSan: `make sanitize`.

A copy of the tree is built with both sanitizers, with bounds checks, and with the baseline kernels
only. In it run the tests of the engine, the kernels and the ufuncs, and `tools/fuzz.py`. A read or
write outside an array, or undefined behaviour, ends the run with a report. It needs GCC and Linux.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
TESTS = (
    "tests/engine/test_arrays.py", "tests/engine/test_memory_safety.py",
    "tests/engine/test_ops.py", "tests/nn/training/test_groups.py",
    "tests/ufuncs/test_direct_calls.py",
    "tests/engine/test_training.py", "tests/engine/test_skip_zeros.py",
    "tests/kernels/test_matmul.py", "tests/kernels/test_noise.py",
    "tests/kernels/test_sparse_matmul.py", "tests/ufuncs/test_memory.py",
    "tests/ufuncs/test_protocol.py", "tests/ufuncs/test_along_axis.py",
    "tests/nn/test_attributes.py", "tests/nn/saving/test_model_file.py",
)  # fmt: skip
FLAGS = "-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer"
# `shift-base`, `alignment`: NumPy passes unaligned arrays to loops that copy them byte by byte.
OFF = "-fno-sanitize=alignment,shift-base,vptr"

# Checks of memory. With --reverts each is left out; random calls of a kind must fail then.
REVERTS = (
    ("labels", "engine/training.pyx",
     "if self.labels and not 0 <= label[i] < self.plan.n_out:", "if False:", "engine"),
    ("rows", "engine/training.pyx", "if not 0 <= rows[start] < n:", "if False:", "engine"),
    ("sizes", "engine/arrays.pyx",
     "if (cnp.PyArray_SIZE(array) != size or not", "if (not", "engine"),
)  # fmt: skip


def copy_of_the_tree(folder):
    """Copy the sources without what was built."""
    built = shutil.ignore_patterns("*.so", "__pycache__", "build", ".*", "*.egg-info", "results")
    shutil.copytree(ROOT, folder, ignore=built, dirs_exist_ok=True)
    replace(Path(folder, "setup.py"), "for build in BUILDS)", "for build in ['baseline'])")


def replace(path, old, new):
    """Replace a text in a file, which must hold it."""
    text = path.read_text()
    if old not in text:
        raise ValueError(f"{path} must hold {old!r}")
    path.write_text(text.replace(old, new))


def build(folder):
    """Build the copy in place, with the baseline kernels only."""
    flags = {"CFLAGS": f"{FLAGS} {OFF} -w", "LDFLAGS": FLAGS, "RELUME_DEBUG": "1"}
    command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
    subprocess.run(command, cwd=folder, env=os.environ | flags, check=True)


def library(name):
    """The path of a library of GCC's."""
    command = ["gcc", f"-print-file-name={name}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def environment(folder):
    """The variables with which Python loads the copy, and the sanitizers before it."""
    first = ":".join(map(library, ("libasan.so", "libubsan.so", "libstdc++.so")))
    return os.environ | {
        "LD_PRELOAD": first,
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",
        "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
        "PYTHONMALLOC": "malloc",
        "PYTHONPATH": str(Path(folder, "src")),
        "RELUME_SIMD": "baseline",
    }


def run(folder, *command):
    """Run Python in the copy; return its exit status."""
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment(folder), check=False
    )
    return done.returncode


def unseen_reverts(folder, seconds, seed):
    """Leave out one check at a time; return those that the random calls do not miss."""
    unseen = []
    for name, file, old, new, kind in REVERTS:
        path = Path(folder, "src/relume", file)
        replace(path, old, new)
        build(folder)
        seen = run(folder, "tools/fuzz.py", "--seconds", str(seconds), "--seed", str(seed),
                   "--kind", kind, "--count", "400")  # fmt: skip
        print(f"without the check of {name}: {'seen' if seen else 'not seen'}", flush=True)
        unseen += [] if seen else [name]
        replace(path, new, old)
    return unseen


def main(arguments):
    parser = argparse.ArgumentParser(description="Run tests and random calls with sanitizers.")
    parser.add_argument("--seconds", type=float, default=300, help="of random calls")
    parser.add_argument("--seed", type=int, default=0, help="of the random calls")
    parser.add_argument("--tests", nargs="*", default=TESTS)
    parser.add_argument(
        "--folder", help="build there, and keep it; built again only where changed"
    )
    parser.add_argument("--reverts", action="store_true", help="see that missing checks are seen")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or temporary
        copy_of_the_tree(folder)
        build(folder)
        if options.reverts:
            return 1 if unseen_reverts(folder, options.seconds, options.seed) else 0
        failed = 0
        if options.tests:
            # Tests of memory measure the sanitizer's. Fifty iterations of L-BFGS amplify the
            # rounding of the baseline kernels, which are built without optimization here. Other
            # instruction sets are not built.
            left_out = "not scratch and not peak and not lbfgs and not instruction_sets"
            chosen = ["-k", left_out, *options.tests]
            failed |= run(folder, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", *chosen)
        if options.seconds:
            failed |= run(folder, "tools/fuzz.py", "--seconds", str(options.seconds),
                          "--seed", str(options.seed))  # fmt: skip
    print("a report, or a failure" if failed else "no report")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
