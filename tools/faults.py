"""Plants faults on purpose, one at a time, in a copy of the tree, and says which tests see each.

    python tools/faults.py              all faults against the tests of `make check`
    python tools/faults.py --full       and those that it misses against all other tests
    python tools/faults.py relu_kink    these faults only
    python tools/faults.py --list       print them and check their anchors; plant nothing

A fault is a text that occurs exactly once in a file, and a wrong one to replace it: mistakes that
programmers make, in each part of relume. `make check` is to find at least FOUND of them, and the
whole suite all. The status is 1 where that is not so.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
FOUND = 24  # of FAULTS, by `make check`
LIMIT = 900  # seconds; a fault that makes a test hang has been found
BUILD_IN_USE = "baseline"  # of the kernels: the one that is built the fastest


class Fault(NamedTuple):
    name: str
    what: str
    file: str  # in src/relume
    right: str
    wrong: str


RECTIFIERS = "kernels/activations/rectifiers.pxi"
OPTIMIZERS = "kernels/optimizers.pxi"

FAULTS = [
    # -- kernels --
    Fault(
        "relu_kink", "the derivative at 0 is 1", RECTIFIERS,
        "relu_backward(floating g, floating x) noexcept nogil:\n    cdef floating r = g if x > 0",
        "relu_backward(floating g, floating x) noexcept nogil:\n    cdef floating r = g if x >= 0",
    ),
    Fault(
        "leaky_nan", "NaN in x is lost on the way back", RECTIFIERS,
        "keep_nan[floating](g if x > 0 else below, x)",
        "(g if x > 0 else below)",
    ),
    Fault(
        "gelu_constant", "a digit of a fitted constant", "kernels/math/gaussian.pxi",
        "<float> 0.00413164916", "<float> 0.00413264916",
    ),
    Fault(
        "softmax_block", "all blocks of a row go to the first", "kernels/softmax/rows.pxi",
        "x + start, row_max, out + start, min(<Py_ssize_t> SHORT",
        "x, row_max, out, min(<Py_ssize_t> SHORT",
    ),
    Fault(
        "half_tail", "the last float16 are stored one off", "kernels/math/float16.pxi",
        "float_to_half_block(x + n - HALF_BLOCK, out + n - HALF_BLOCK)",
        "float_to_half_block(x + n - HALF_BLOCK - 1, out + n - HALF_BLOCK)",
    ),
    Fault(
        "adam_bias", "no bias correction of the first moment", OPTIMIZERS,
        "hyper[0] * correction2 / correction1, 0", "hyper[0] * correction2, 0",
    ),
    Fault(
        "nesterov_momentum", "the weight of the velocity under Nesterov's momentum", OPTIMIZERS,
        "ahead = momentum if hyper[4] else 1 ", "ahead = 1 if hyper[4] else 1 ",
    ),
    Fault(
        "batch_norm_variance", "the running variance is biased",
        "kernels/layers/normalization.pxi",
        "take * (variance[j] * unbiased)", "take * variance[j]",
    ),
    Fault(
        "layer_norm_sign", "a sign in the backward pass", "kernels/layers/normalization.pxi",
        "(mean_slope + normal[j] * mean_product)", "(mean_slope - normal[j] * mean_product)",
    ),
    Fault(
        "dropout_scale", "kept values are not scaled up", "kernels/layers/noise.pxi",
        "mask[i] = kept if", "mask[i] = 1 if",
    ),
    Fault(
        "huber_slope", "the gradient is not limited", "kernels/losses.pxi",
        "slope[0] = at_most[floating](at_least[floating](d, -delta), delta)", "slope[0] = d",
    ),
    # -- ufuncs and runtime --
    Fault(
        "overlap", "an output that begins after its input is taken for one in place",
        "ufuncs/elementwise.pyx",
        "if args[k] == args[out] and", "if args[k] <= args[out] and",
    ),
    Fault(
        "block_edge", "the last strided block, where it has one element",
        "ufuncs/elementwise.pyx",
        "(n + BLOCK - 1) // BLOCK", "(n + BLOCK - 2) // BLOCK",
    ),
    Fault(
        "tile_stride", "the stride of the wrong axis", "ufuncs/along_axis.pyx",
        "steps[k] = call.inner[k] if tile.across else call.outer[k]",
        "steps[k] = call.outer[k]",
    ),
    Fault(
        "threads_kept", "the number of threads is not restored", "runtime/threads.pyx",
        "scoped = blocks[-1][1] if blocks else 0", "scoped = self.n",
    ),
    # -- engine --
    Fault(
        "short_minibatch", "the last minibatch counts like a full one", "engine/training.pyx",
        "share = self.p.rows if self.mean_penalty else self.batch_total", "share = batch_size",
    ),
    Fault(
        "same_noise", "every minibatch has the same dropout mask", "engine/training.pyx",
        "self.p.key = key + <uint64_t> step", "self.p.key = key",
    ),
    Fault(
        "clip_norm", "the square root of the gradient's norm", "engine/updates.pyx",
        "return sqrt(sum)", "return sum",
    ),
    Fault(
        "residual_gradient", "the gradient past a block replaces that through it",
        "engine/ops.pyx",
        "join.n_skip, dx)\n        q.accumulate = True",
        "join.n_skip, dx)\n        q.accumulate = False",
    ),
    Fault(
        "sparse_shard", "every shard of sparse rows predicts the first rows",
        "engine/prediction.pyx",
        "part.starts += first", "part.starts += 0",
    ),
    # -- networks --
    Fault(
        "decay", "coupled and decoupled weight decay, swapped", "nn/optimizers/optimizers.py",
        "(0.0, self.weight_decay) if self.decoupled else (self.weight_decay, 0.0)",
        "(self.weight_decay, 0.0) if self.decoupled else (0.0, self.weight_decay)",
    ),
    Fault(
        "patience", "early stopping waits one epoch more", "nn/callbacks/standard.py",
        "if self._waited < self.patience:", "if self._waited <= self.patience:",
    ),
    Fault(
        "sparse_variance", "zeros of a sparse column do not vary", "nn/data/rows.py",
        "(squares + zeros * mean**2) / n", "squares / n",
    ),
    Fault(
        "header_format", "a header field is not checked", "nn/saving/model_file.py",
        'if settings.get("format") != FORMAT:', 'if settings.get("format") is None:',
    ),
    Fault(
        "random_state", "a snapshot does not restore the random state",
        "nn/parameters/snapshot.py",
        "net._rng.bit_generator.state = self.rng  #", "_ = self.rng  #",
    ),
    # -- above networks --
    Fault(
        "tolerance", "the sign of tol", "sklearn/fitting.py",
        "e.loss_ > e.best_loss_ - e.tol", "e.loss_ > e.best_loss_ + e.tol",
    ),
    Fault(
        "onnx_bias", "softshrink is exported as hardshrink", "onnx/operators.py",
        "hardshrink(g, x, lambd, lambd)", "hardshrink(g, x, lambd)",
    ),
    Fault(
        "dead_constant", "dead units are reported as constant too", "diagnostics/layer_reports.py",
        "values.constant & ~dead", "values.constant",
    ),
    Fault(
        "plotted_slope", "the arguments of a backward function, swapped", "plots/curves.py",
        "(np.ones(len(x)), x)", "(x, np.ones(len(x)))",
    ),
    # -- functions --
    Fault(
        "kept_axis", "the kept axis is looked for at the end", "functional/softmax.py",
        "np.squeeze(np.asanyarray(grad), axes_of(axis, np.ndim(x)))",
        "np.asanyarray(grad)[..., 0]",
    ),
]  # fmt: skip

# Builds some of the extensions in place, as setup.py describes them but for -O1: the values are
# the same, and the kernels take a few seconds instead of a minute.
BUILD = """
import runpy, sys
from setuptools import setup
tree = runpy.run_path("setup.py", run_name="described")
chosen = [each for each in tree["extensions"]() if each.name in sys.argv[1:]]
assert len(chosen) == len(sys.argv) - 1, sys.argv
for each in chosen:
    flags = [flag for flag in each.extra_compile_args if "CYTHON_INLINE" not in flag]
    each.extra_compile_args = ["-O1" if flag == "-O3" else flag for flag in flags]
setup(
    script_args=["-q", "build_ext", "--inplace"],
    ext_modules=tree["cythonize"](
        chosen, build_dir="build/cython", compiler_directives=tree["DIRECTIVES"], quiet=True
    ),
    cmdclass={"build_ext": tree["BuildExtensions"]},
)
"""


def extensions_of(file):
    """The extension modules to build where a source has changed; of the kernels, one build."""
    path = Path(file)
    if path.suffix == ".py":
        return []
    if path.parts[0] == "kernels":
        return [f"relume.kernels.{BUILD_IN_USE}"]
    return [f"relume.{path.with_suffix('').as_posix().replace('/', '.')}"]


# The tests nearest to a source, by the beginning of its path: they are run first, to save time.
NEAREST = {
    "kernels/activations": ["ufuncs/test_values.py", "functional"],
    "kernels/math": ["ufuncs/test_values.py", "ufuncs/test_dtypes.py", "functional"],
    "kernels/softmax": ["functional/test_softmax.py", "ufuncs/test_along_axis.py"],
    "kernels/optimizers": ["nn/optimizers", "nn/test_network.py"],
    "kernels/layers": ["nn/layers", "kernels/test_noise.py", "engine/test_ops.py", "nn"],
    "kernels/losses": ["nn/test_losses.py", "nn"],
    "ufuncs/along_axis": ["ufuncs/test_along_axis.py", "functional"],
    "ufuncs": ["ufuncs/test_memory.py", "ufuncs"],
    "engine/ops": ["engine/test_ops.py", "nn/layers", "nn"],
    "engine": ["engine", "nn/training", "nn"],
    "nn/parameters": ["nn/parameters", "nn/callbacks", "nn"],
}


def nearest_tests(file):
    """Folders or files of tests, the nearest first; by default those that mirror the source's."""
    key = max((key for key in NEAREST if file.startswith(key)), key=len, default=None)
    folders = [parent.as_posix() for parent in Path(file).parents][:-1]
    return [f"tests/{name}" for name in NEAREST.get(key, folders)]


def wrong_anchors(root, faults=FAULTS):
    """The faults whose text does not occur exactly once, with how often it does."""
    counts = {}
    for fault in faults:
        path = root / "src" / "relume" / fault.file
        counts[fault.name] = path.read_text().count(fault.right) if path.exists() else 0
    return {name: count for name, count in counts.items() if count != 1}


class Tree:
    """A copy of the tree, with what is built in it."""

    def __init__(self, folder):
        self.root = Path(folder) / "relume"
        left_out = (".git", ".venv*", "results", ".asv", "__pycache__", "dist", ".mypy_cache")
        ignored = shutil.ignore_patterns(*left_out)
        shutil.copytree(ROOT, self.root, ignore=ignored)
        self.env = {
            **os.environ,
            "PYTHONPATH": str(self.root / "src"),
            "RELUME_SIMD": BUILD_IN_USE,
        }
        if shutil.which("ccache"):
            self.env |= {"CC": "ccache cc", "CCACHE_BASEDIR": str(self.root)}

    def run(self, *command, limit=LIMIT):
        return subprocess.run(
            command, cwd=self.root, env=self.env, capture_output=True, text=True, check=False,
            timeout=limit,
        )  # fmt: skip

    def build(self, extensions):
        if extensions:
            result = self.run(sys.executable, "-c", BUILD, *extensions)
            if result.returncode:
                raise SystemExit(f"{' '.join(extensions)} cannot be built:\n{result.stderr}")

    def first_failure(self, *arguments):
        """The first test that fails, or how the run ended otherwise; None if all pass."""
        command = [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "-rfE"]
        try:
            result = self.run(*command, "-p", "no:cacheprovider", *arguments)
        except subprocess.TimeoutExpired:
            return "(hangs)"
        if result.returncode in (0, 5):  # 5: none of these tests was chosen
            return None
        found = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - |$)", result.stdout, re.MULTILINE)
        return found[1] if found else f"(pytest ended with status {result.returncode})"

    def planted(self, fault, full):
        """Who sees a fault: the first of `make check`'s tests, and of all others."""
        path = self.root / "src" / "relume" / fault.file
        text, extensions = path.read_text(), extensions_of(fault.file)
        modules = {file: file.read_bytes() for file in built_files(self.root, extensions)}
        path.write_text(text.replace(fault.right, fault.wrong))
        try:
            self.build(extensions)
            return self.seen(nearest_tests(fault.file), full)
        finally:
            path.write_text(text)
            for file, content in modules.items():
                file.write_bytes(content)

    def check_that_it_passes(self, test):
        """A test that fails without a fault too, as in a tree that is not built, found none."""
        if test and not test.startswith("(") and self.first_failure(test):
            raise SystemExit(f"{test} fails on the tree as it is: mend that first")

    def seen(self, nearest, full):
        """Tests of how the code reads are left out: a change of the text alone could fail them."""
        near = [path for path in nearest if (self.root / path).exists()]
        all_tests = ["tests", "--ignore=tests/project", "-n", "2"]
        check = self.first_of("quick", near, all_tests)
        if check or not full:
            return check, None
        return None, self.first_of("not quick", near, all_tests)

    def first_of(self, marked, near, all_tests):
        for arguments in (*([path] for path in near), all_tests):
            found = self.first_failure("-m", marked, *arguments)
            if found:
                return found
        return None


def built_files(root, extensions):
    for name in extensions:
        folder = root.joinpath("src", *name.split(".")[:-1])
        yield from folder.glob(f"{name.rpartition('.')[2]}.*.so")


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="FAULT", help="these only; all by default")
    parser.add_argument("--full", action="store_true", help="missed ones: run all other tests")
    parser.add_argument("--list", action="store_true", help="print the faults; plant nothing")
    options = parser.parse_args(arguments)
    unknown = set(options.names) - {fault.name for fault in FAULTS}
    if unknown:
        parser.error(f"no such fault: {', '.join(sorted(unknown))}")
    wrong = wrong_anchors(ROOT)
    if wrong:
        raise SystemExit(f"texts that do not occur exactly once: {wrong}")
    faults = [fault for fault in FAULTS if not options.names or fault.name in options.names]
    if options.list:
        for fault in faults:
            print(f"{fault.name:<20} {fault.file:<36} {fault.what}")
        return 0
    return report(faults, options.full)


def report(faults, full):
    in_check, in_all = 0, 0
    with tempfile.TemporaryDirectory() as folder:
        tree = Tree(folder)
        for fault in faults:
            begin = time.monotonic()
            check, rest = tree.planted(fault, full)
            tree.check_that_it_passes(check or rest)
            in_check += check is not None
            in_all += (check or rest) is not None
            seen = check or (f"only make test: {rest}" if rest else "NOT FOUND")
            print(f"{fault.name:<20} {time.monotonic() - begin:4.0f} s  {seen}", flush=True)
    print(f"\nmake check finds {in_check} of {len(faults)}", end="")
    print(f", make test {in_all}" if full else "")
    return int(in_check < FOUND * len(faults) / len(FAULTS) or (full and in_all < len(faults)))


if __name__ == "__main__":
    sys.exit(main())
