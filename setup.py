"""Builds the compiled modules. The metadata of the package are in pyproject.toml.

RELUME_DEBUG=1   build with bounds checks and assertions, and with -O1 -g
RELUME_OPENMP=0  build without OpenMP; relume then uses one thread
"""

import glob
import os
import platform
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

DEBUG = os.environ.get("RELUME_DEBUG") == "1"
MSVC = sys.platform == "win32"
X86 = platform.machine().lower() in ("x86_64", "amd64")

# The same kernel source is compiled once for each of these builds, with -m<feature> for every
# feature. They are in ascending order; relume.kernels.dispatch imports the last one that the CPU
# supports.
V2 = ["sse3", "ssse3", "sse4.1", "sse4.2", "popcnt", "cx16"]
AVX2 = [*V2, "avx", "avx2", "fma", "f16c"]
AVX512 = [*AVX2, "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"]
BUILDS = {"baseline": V2, "avx2": AVX2, "avx512": AVX512} if X86 else {"baseline": []}

# A module exports only its PyInit function, so that no symbol can conflict with another library's.
# GCC vectorizes the kernels only with -O3 and without traps and errno. -ffp-contract=off gives a
# vector body and its scalar tail the same bits. Never use -ffast-math: it breaks NaN, and when
# linking it sets flush-to-zero for the whole process.
if MSVC:
    FLAGS = ["/O2", "/fp:precise"]
else:
    FLAGS = ["-fvisibility=hidden", "-ffp-contract=off"]
    if DEBUG:
        FLAGS += ["-O1", "-g", "-UNDEBUG"]
    else:
        FLAGS += ["-O3", "-g0", "-fno-trapping-math", "-fno-math-errno"]
MSVC_FLAGS = {"baseline": [], "avx2": ["/arch:AVX2"], "avx512": ["/arch:AVX512"]}

DIRECTIVES = {
    "language_level": 3,
    "boundscheck": DEBUG,
    "initializedcheck": DEBUG,
    "cdivision": True,  # division as in C: x / 0 is infinity, and // truncates
    "embedsignature": True,
    "freethreading_compatible": True,  # the rule for threads is in docs/reliability.md
}


def kernel_flags(build):
    # A loop is vectorized only if all functions that it calls are inlined. In a file as large as
    # the kernels', compilers inline them only if they are forced to.
    if MSVC:
        return [*FLAGS, *MSVC_FLAGS[build], "/DCYTHON_INLINE=__forceinline"]
    inline = "-DCYTHON_INLINE=inline __attribute__((always_inline))"
    width = ["-mprefer-vector-width=512"] if build == "avx512" else []
    return [*FLAGS, inline, *(f"-m{feature}" for feature in BUILDS[build]), *width]


def extension(name, flags=FLAGS, macros=()):
    return Extension(
        f"relume.{name}",
        [f"src/relume/{name.replace('.', '/')}.pyx"],
        include_dirs=["src/relume", "src/relume/kernels", numpy.get_include()],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION"), *macros],
        depends=glob.glob("src/relume/**/*.h", recursive=True),
        extra_compile_args=list(flags),
    )


def extensions():
    builds = ";".join(f"{name}:{','.join(needs)}" for name, needs in BUILDS.items())
    return [
        *(extension(f"kernels.{build}", kernel_flags(build)) for build in BUILDS),
        extension("kernels.dispatch", macros=[("RELUME_BUILDS", f'"{builds}"')]),
        extension("runtime.read_write_lock"),
        extension("runtime.threads"),
        extension("ufuncs.elementwise"),
        extension("ufuncs.along_axis"),
        extension("engine.arrays"),
        extension("engine.ops"),
        extension("engine.skip_zeros"),
        extension("engine.plan"),
        extension("engine.tree"),
        extension("engine.prediction"),
        extension("engine.updates"),
        extension("engine.observer"),
        extension("engine.training"),
        extension("engine.group_training"),
    ]


class BuildExtensions(build_ext):
    """Builds in parallel, with OpenMP if the compiler supports it."""

    def finalize_options(self):
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()

    def build_extensions(self):
        flags = self.openmp_flags()
        for ext in self.extensions:
            ext.extra_compile_args += flags
            ext.extra_link_args += [] if MSVC else flags
        super().build_extensions()

    def openmp_flags(self):
        if os.environ.get("RELUME_OPENMP") == "0":
            return []
        if MSVC:
            return ["/openmp"]
        # Apple's clang accepts -fopenmp only after -Xpreprocessor, and needs a separate libomp.
        for flags in (["-fopenmp"], ["-Xpreprocessor", "-fopenmp", "-lomp"]):
            if self.can_link(flags):
                return flags
        print("relume: this compiler has no OpenMP; building for one thread", file=sys.stderr)
        return []

    def can_link(self, flags):
        source = "#include <omp.h>\nint main(void) { return omp_get_max_threads() < 1; }\n"
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "openmp.c")
            path.write_text(source)
            command = [
                *self.compiler.compiler,
                str(path),
                *flags,
                "-o",
                str(Path(folder, "openmp")),
            ]
            return subprocess.run(command, capture_output=True, check=False).returncode == 0


if __name__ == "__main__":
    runpy.run_path(str(Path(__file__).with_name("tools") / "stubs.py"), run_name="__main__")
    setup(
        ext_modules=cythonize(
            extensions(), build_dir="build/cython", compiler_directives=DIRECTIVES
        ),
        cmdclass={"build_ext": BuildExtensions},
    )
