"""Run the suite without the GIL: `make freethreaded`; or with ThreadSanitizer: TSAN=1.

A free-threaded Python is looked for among the commands; if there is none, CPython is built from
Debian's source in build/freethreaded, without its tests and without profiles. relume is built in a
copy of the tree there, and each file of the suite runs in a process of its own, with PYTHON_GIL=0
and within LIMIT. What a file needs and what has no wheel for this Python is named at the end. An
interrupted run goes on where it stopped.

    python tools/freethreaded.py [--tsan] [--interpreter PATH] [--again] [--args ARGS] [FILE ...]

With --tsan CPython and relume are built with ThreadSanitizer, relume with its baseline kernels
only and without OpenMP, and the tests of many Python threads run: ThreadSanitizer does not know
libgomp's barriers, and would report each region. NumPy's wheel is not instrumented, and
CPython has races of its own: reports count that name a module of relume. It needs GCC and Linux.
"""

import argparse
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import debian  # noqa: E402
from arm64 import WHEELS, translate  # noqa: E402
from pythons import copy  # noqa: E402

HERE = ROOT / "build" / "freethreaded"
PACKAGE, SUITE = "python3.13", "trixie"
COMMANDS = ["python3.15t", "python3.14t", "python3.13t"]
LIMIT = 1800  # seconds for a file
NAMED = re.compile(r"No module named '(\w+)'")
COUNT = re.compile(r"(\d+) (passed|failed|skipped|error|deselected)")
THREADED = [
    "tests/runtime/test_parallel.py", "tests/nn/training/test_sharing.py",
    "tests/engine/test_threads.py", "tests/runtime/test_threads.py",
]  # fmt: skip
# Of tests with ThreadSanitizer: forks, which it does not follow, limits of memory, and times.
LEFT_OUT = "not fork and not child and not memory and not process and not blas"
BUILD = "import sysconfig; raise SystemExit(not sysconfig.get_config_var('Py_GIL_DISABLED'))"
TRANSLATED = """
def cythonize(modules, build_dir, **_):
    for module in modules:
        module.sources = [f"{build_dir}/{source[:-3]}c" for source in module.sources]
    return modules
"""
OFF = "import sys, relume.nn, relume.sklearn; raise SystemExit(sys._is_gil_enabled())"


def interpreter(given, tsan):
    """A free-threaded Python, built if there is none."""
    for path in [given] if given else [] if tsan else map(shutil.which, COMMANDS):
        if path and subprocess.run([path, "-c", BUILD], check=False).returncode == 0:
            return path
    if given:
        raise SystemExit(f"{given} is no free-threaded Python")
    folder = HERE / ("cpython-tsan" if tsan else "cpython")
    found = folder / "bin" / "python3"
    if not found.exists():
        build_python(folder, tsan)
    return str(found)


def build_python(folder, tsan):
    """Build CPython from Debian's source, with as many processes as there are CPUs."""
    debian.need({"gcc": "gcc", "make": "make", "xz": "xz-utils"})
    source, work = HERE / "source", HERE / f"{folder.name}-build"
    if not source.exists():
        archives = HERE / "archives"
        archives.mkdir(parents=True, exist_ok=True)
        archive = debian.fetch_source(PACKAGE, archives, SUITE)
        partial = HERE / "source.partial"
        partial.mkdir(exist_ok=True)
        debian.run("tar", "--extract", "--strip-components=1", "-f", archive, "-C", partial)
        partial.rename(source)
    work.mkdir(exist_ok=True)
    flags = ["--disable-gil", "--disable-test-modules", f"--prefix={folder}"]
    flags += ["--with-thread-sanitizer", "OPT=-O1 -g"] if tsan else ["OPT=-O2"]
    with (HERE / f"{folder.name}.log").open("w") as log:
        options = {"cwd": work, "stdout": log, "stderr": subprocess.STDOUT}
        debian.run(source / "configure", *flags, **options)
        debian.run("make", f"-j{os.cpu_count()}", **options)
        # Not all of the library is compiled: with ThreadSanitizer that takes as long as the build.
        debian.run("make", "install", "COMPILEALL_OPTS=-j0 -r0", **options)


def environment(python, tsan):
    """A virtual environment with what has wheels; the names of what has not."""
    folder = HERE / ("environment-tsan" if tsan else "environment")
    known = folder / "lacking.json"
    if known.exists():
        return folder / "bin" / "python", json.loads(known.read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needed = project["build-system"]["requires"] + project["project"]["dependencies"]
    tests = project["project"]["optional-dependencies"]["test"]
    debian.run(python, "-m", "venv", "--clear", *["--without-pip"] * tsan, folder)
    pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--only-binary=:all:"]
    if tsan:
        pip = [helper(needed), *pip[1:], *for_python(python), f"--target={site_of(folder)}"]
    debian.run(*pip, *needed)
    lacking = [each for each in tests if subprocess.run([*pip, each], check=False).returncode]
    known.write_text(json.dumps(lacking))
    return folder / "bin" / "python", lacking


def helper(needed):
    """A Python that runs pip and Cython, which take half an hour with ThreadSanitizer."""
    folder = HERE / "helper"
    python = folder / "bin" / "python"
    if not python.exists():
        debian.run(sys.executable, "-m", "venv", folder)
        debian.run(python, "-m", "pip", "install", "--quiet", *needed)
    return python


def for_python(python):
    """The options of pip that choose wheels for this Python instead of pip's own."""
    script = "import sys; print('{}.{}'.format(*sys.version_info))"
    version = debian.run(python, "-c", script, capture_output=True, text=True).stdout.strip()
    names = [name.replace("aarch64", platform.machine()) for name in WHEELS]
    return [f"--python-version={version}", f"--abi=cp{version.replace('.', '')}t", "--abi=abi3t",
            "--abi=none", *(f"--platform={name}" for name in names)]  # fmt: skip


def site_of(folder):
    (site,) = folder.glob("lib/python*/site-packages")
    return site


def variables(tree, tsan, **more):
    """The variables of builds and runs."""
    found = os.environ | {"PYTHON_GIL": "0", "PYTHONPATH": str(tree / "src")} | more
    if tsan:
        found |= {
            "OPENBLAS_NUM_THREADS": "1", "RELUME_SIMD": "baseline",
            "TSAN_OPTIONS": f"exitcode=0:log_path={HERE / 'reports' / 'report'}",
        }  # fmt: skip
    return found


def build(python, tree, tsan):
    """Build relume in a copy of the tree, and see that importing it leaves the GIL off."""
    if not (tree / "built").exists():
        copy(tree)
        flags = {}
        if tsan:
            path = tree / "setup.py"
            text = path.read_text()
            text = text.replace("for build in BUILDS)", "for build in ['baseline'])")
            path.write_text(text)
            translate(HERE / "helper" / "bin" / "python", tree)
            path.write_text(text.replace("from Cython.Build import cythonize", TRANSLATED))
            flags = {"CFLAGS": "-fsanitize=thread -g -w", "LDFLAGS": "-fsanitize=thread",
                     "RELUME_DEBUG": "1", "RELUME_OPENMP": "0"}  # fmt: skip
        debian.run(
            *unshuffled(tsan), python, "setup.py", "-q", "build_ext", "--inplace", cwd=tree,
            env=variables(tree, tsan, **flags),
        )  # fmt: skip
        (tree / "built").touch()
    debian.run(*unshuffled(tsan), python, "-W", "error", "-c", OFF, env=variables(tree, tsan))


def unshuffled(tsan):
    """What GCC 12's ThreadSanitizer needs before a command: memory at fixed places."""
    return ["setarch", "-R"] if tsan else []


def run(python, tree, file, tsan, arguments):
    """The counts of a file's tests, what it lacks, and what failed."""
    command = [*unshuffled(tsan), python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p",
               "no:xdist", *arguments, file]  # fmt: skip
    command += ["-k", LEFT_OUT] if tsan else []
    try:
        done = subprocess.run(
            command, cwd=tree, env=variables(tree, tsan), check=False, timeout=LIMIT,
            capture_output=True, text=True,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return {"counts": {}, "lacking": [], "failures": [f"{file}: not done in {LIMIT} s"]}
    last = done.stdout.splitlines()[-1] if done.stdout else ""
    counts = {word: int(n) for n, word in COUNT.findall(last)}
    lacking = sorted(set(NAMED.findall(done.stdout))) if counts.get("error") else []
    failures = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    if counts.pop("error", 0) and not lacking:
        failures.append(f"{file}: {last}")
    if done.returncode not in (0, 1, 2, 5):
        failures.append(f"{file}: ended with status {done.returncode}")
    return {"counts": counts, "lacking": lacking, "failures": failures}


def reports():
    """ThreadSanitizer's reports that name a module of relume."""
    found = []
    for path in sorted((HERE / "reports").glob("report*")):
        for text in path.read_text(errors="replace").split("==================\n"):
            if "WARNING: ThreadSanitizer" in text and re.search(r"relume/\w+/\w+\.\w+", text):
                found.append(text)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", metavar="FILE", help="tests; by default all")
    parser.add_argument("--tsan", action="store_true", help="with ThreadSanitizer")
    parser.add_argument("--interpreter", help="a free-threaded Python; by default one is sought")
    parser.add_argument("--again", action="store_true", help="forget what has run and was built")
    parser.add_argument("--args", default="", help="arguments for pytest")
    options = parser.parse_args()
    tsan = options.tsan
    HERE.mkdir(parents=True, exist_ok=True)
    python, lacking = environment(interpreter(options.interpreter, tsan), tsan)
    tree, known = HERE / ("tree-tsan" if tsan else "tree"), HERE / f"done{'-tsan' * tsan}.json"
    if options.again:
        shutil.rmtree(tree, ignore_errors=True)
        shutil.rmtree(HERE / "reports", ignore_errors=True)
        known.unlink(missing_ok=True)
    (HERE / "reports").mkdir(exist_ok=True)
    build(python, tree, tsan)
    done = json.loads(known.read_text()) if known.exists() else {}
    every = THREADED if tsan else sorted(
        str(path.relative_to(ROOT)) for path in ROOT.glob("tests/**/test_*.py")
        if "project" not in path.parts  # how the code reads does not depend on the GIL
    )  # fmt: skip
    for file in options.files or every:
        if file not in done:
            done[file] = run(python, tree, file, tsan, shlex.split(options.args))
            known.write_text(json.dumps(done))
            print(f"{file}: {done[file]['counts']}", flush=True)
    total: dict[str, int] = {}
    for result in done.values():
        for word, n in result["counts"].items():
            total[word] = total.get(word, 0) + n
        for line in result["failures"]:
            print(line)
    for file, result in done.items():
        if result["lacking"]:
            print(f"{file}: not run, needs {', '.join(result['lacking'])}")
    print(f"no wheels: {', '.join(lacking) or 'none lacks'}")
    print(", ".join(f"{n} {word}" for word, n in total.items()), f"in {len(done)} files")
    found = reports() if tsan else []
    if tsan:
        print("\n".join(found), f"{len(found)} reports name relume", sep="\n")
    return 1 if found or any(result["failures"] for result in done.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
