"""Check that a compiler for Windows accepts all compiled modules: `make mingw`.

MinGW's GCC checks the syntax and types of every generated C file, with its own Windows headers,
the headers of Python for Windows, which Debian's source of Python contains, and those of NumPy's
wheel for Windows. Nothing is linked or run.

    python tools/mingw.py

The headers are kept in build/mingw. Exit status 1 if a file is not accepted.
"""

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

import debian  # noqa: E402
from Cython.Build import cythonize  # noqa: E402

import setup  # noqa: E402

COMPILER = "x86_64-w64-mingw32-gcc"
HEADERS = ROOT / "build" / "mingw"
PYTHON = "python3.11"  # in Debian 12; what Cython writes is the same for each version
FLAGS = ["-fopenmp", "-DMS_WIN64", f"-I{HEADERS}/python", f"-I{HEADERS}/numpy/_core/include"]
# Warnings of this GCC that are errors for newer ones and for MSVC.
ERRORS = ["implicit-function-declaration", "incompatible-pointer-types", "int-conversion"]


def fetch_headers():
    """Put the headers of Python and NumPy for Windows into build/mingw."""
    if HEADERS.exists():
        return
    HEADERS.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=HEADERS.parent) as name:
        folder = Path(name, "headers")
        (folder / "download").mkdir(parents=True)
        archive = debian.fetch_source(PYTHON, folder / "download")
        with tarfile.open(archive) as files:
            unpack = [m for m in files if m.name.split("/")[1:2] in (["Include"], ["PC"])]
            files.extractall(folder / "download", unpack, filter="data")
        (source,) = (folder / "download").glob("Python-*")
        shutil.copytree(source / "Include", folder / "python")
        shutil.copy(source / "PC" / "pyconfig.h", folder / "python")
        debian.run(
            sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--platform",
            "win_amd64", "--python-version", PYTHON.removeprefix("python"), "--only-binary",
            ":all:", "--dest", folder / "download", "numpy",
        )  # fmt: skip
        (wheel,) = (folder / "download").glob("numpy-*.whl")
        with zipfile.ZipFile(wheel) as files:
            include = "numpy/_core/include/"
            files.extractall(folder, [n for n in files.namelist() if n.startswith(include)])
        shutil.rmtree(folder / "download")
        folder.rename(HEADERS)


def modules():
    """The modules as Extensions whose sources are C."""
    os.chdir(ROOT)
    return cythonize(
        setup.extensions(),
        build_dir="build/cython",
        compiler_directives=setup.DIRECTIVES,
        quiet=True,
    )


def check(module, compiler=COMPILER, flags=FLAGS):
    """The compiler's messages about a module's C file, and whether it accepts the file."""
    macros = [f"-D{name}={value}" for name, value in module.define_macros]
    own = [flag for flag in module.extra_compile_args if not flag.startswith("-O")]
    done = subprocess.run(
        [compiler, "-fsyntax-only", *(f"-Werror={name}" for name in ERRORS), *flags, *own, *macros,
         "-Isrc/relume", "-Isrc/relume/kernels", *module.sources],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stderr, done.returncode == 0


def main():
    debian.need({COMPILER: "gcc-mingw-w64-x86-64"})
    fetch_headers()
    checked = modules()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(check, checked))
    for module, (messages, accepted) in zip(checked, results, strict=True):
        if not accepted:
            print(f"{module.name} is not accepted:\n{messages}")
    refused = sum(not accepted for _, accepted in results)
    print(f"{COMPILER}: {len(checked) - refused} of {len(checked)} modules accepted")
    return int(refused > 0)


if __name__ == "__main__":
    sys.exit(main())
