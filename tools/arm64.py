"""Build for arm64, and run the suite and the demo there, emulated: `make arm64`.

Debian's arm64 Python and NumPy's wheels for arm64 are unpacked in build/arm64. Python runs in
qemu's user emulation and runs setup.py, which calls GCC's cross compiler for arm64. The suite runs
a file at a time. What a file found is kept, so that an interrupted run goes on where it stopped as
long as the sources are the same. Emulation shows that results are correct; it says nothing about
speed.

    python tools/arm64.py [STEP ...]       fetch, build, vec, suite, demo; all of them by default
    python tools/arm64.py suite --jobs 1 --tests tests/kernels tests/ufuncs/test_values.py
    python tools/arm64.py run ARGS         Python for arm64 with relume, as `run -m pytest ARGS`

Tests of how the sources read (tests/project) are left out. It needs Debian, whose compiler and
emulator it installs when it is run as root.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import debian  # noqa: E402

HERE = ROOT / "build" / "arm64"
SYSTEM, SITE, TREE = HERE / "system", HERE / "site", HERE / "tree"
RESULTS = HERE / "results.json"
GCC = "aarch64-linux-gnu-gcc"
QEMU = "qemu-aarch64-static"
TOOLS = {GCC: "gcc-aarch64-linux-gnu", QEMU: "qemu-user-static"}
PACKAGES = ["python3-dev", "libc6-dev", "libgomp1", "libstdc++6"]
PYTHON = SYSTEM / "usr/bin/python3.11"
WHEELS = [f"manylinux{version}_aarch64" for version in ("_2_28", "_2_27", "_2_17", "2014")]
# They check the sources; or they end with a signal in the emulator when they are imported.
LEFT_OUT = {"cython-lint", "import-linter", "mypy", "numpydoc", "ruff", "onnxruntime"}
PARTS = ["benchmarks", "docs", "src", "tests", "tools", "LICENSE", "MANIFEST.in", "README.md",
         "pyproject.toml", "setup.py"]  # fmt: skip
BINFMT = Path("/proc/sys/fs/binfmt_misc")
FORMAT = Path("/usr/lib/binfmt.d/qemu-aarch64.conf")

STEPS = ["fetch", "build", "vec", "suite", "demo"]
LIMIT = 3600  # seconds for a file
COUNTS = ["passed", "failed", "errors", "skipped", "xfailed"]


def environment():
    """The variables for Python on arm64, which the processes that it starts inherit."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "RELUME_"))}
    return kept | {
        "CC": f"{GCC} --sysroot={SYSTEM}",
        "PYTHONPATH": f"{TREE / 'src'}:{SITE}",
        "QEMU_LD_PREFIX": str(SYSTEM),
    }


def python(*arguments, **options):
    """Run Python for arm64 in the copy of the tree."""
    command = [QEMU, str(PYTHON), *map(str, arguments)]
    return subprocess.run(command, cwd=TREE, env=environment(), **({"check": True} | options))


# -- what is needed -------------------------------------------------------------------------------


def fetch():
    debian.need(TOOLS)
    register()
    if not SYSTEM.exists():
        partial = HERE / "system.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        count = debian.fetch_root(PACKAGES, partial, "arm64")
        partial.rename(SYSTEM)
        print(f"{count} packages of Debian's arm64")
    if not SITE.exists():
        partial = HERE / "site.partial"
        shutil.rmtree(partial, ignore_errors=True)
        debian.run(
            sys.executable, "-m", "pip", "install", "--quiet", "--target", partial,
            *(f"--platform={name}" for name in WHEELS), "--python-version=3.11",
            "--only-binary=:all:", *requirements(),
        )  # fmt: skip
        partial.rename(SITE)


def requirements():
    """What building, using and testing relume requires."""
    text = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project = text["project"]
    needed = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    return [need for need in needed if re.match(r"[\w-]+", need)[0] not in LEFT_OUT]


def register():
    """Let the kernel run arm64's programs in qemu, since tests start new processes."""
    if (BINFMT / "qemu-aarch64").exists():
        return
    if os.geteuid() != 0:
        raise SystemExit(
            f"programs for arm64 do not start: as root, write {FORMAT} to {BINFMT}/register"
        )
    if not (BINFMT / "register").exists():
        debian.run("mount", "-t", "binfmt_misc", "binfmt_misc", BINFMT)
    (BINFMT / "register").write_text(FORMAT.read_text())


# -- build ----------------------------------------------------------------------------------------


def copy():
    """Copy the sources; what has not changed keeps its time, and is not built again."""
    ignored = shutil.ignore_patterns("*.so", "__pycache__", ".*", "*.egg-info", "results")
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, TREE / part, ignore=ignored, dirs_exist_ok=True)
        else:
            shutil.copy2(ROOT / part, TREE / part)


def translate(python, tree):
    """Translate the sources of a tree to C with a Python that is faster than the tree's own."""
    script = (
        "import os, setup; from Cython.Build import cythonize; "
        "cythonize(setup.extensions(), build_dir='build/cython', quiet=True, "
        "compiler_directives=setup.DIRECTIVES, nthreads=os.cpu_count())"
    )
    subprocess.run([python, "-c", script], cwd=tree, check=True)


def build():
    """Build with setup.py, emulated; only translating to C, which is the same here, is not."""
    TREE.mkdir(exist_ok=True)
    copy()
    translate(sys.executable, TREE)
    python("setup.py", "-q", "build_ext", "--inplace")
    built = sorted((TREE / "src").rglob("*-aarch64-linux-gnu.so"))
    print(f"{len(built)} modules built for arm64")
    python("-c", "import relume; relume.show_config()")


def vec():
    return python("tools/vec.py", check=False).returncode


# -- the suite, file by file ----------------------------------------------------------------------


def files_of(paths):
    """The files of tests below these paths; a part of the suite is one file."""
    named = [TREE / path for path in paths]
    below = [[path] if path.is_file() else path.rglob("test_*.py") for path in named]
    return sorted(str(file.relative_to(TREE)) for files in below for file in files)


def digest():
    """What the results depend on: the sources and the tests."""
    result = hashlib.sha256()
    for path in sorted([*(TREE / "src").rglob("*"), *(TREE / "tests").rglob("*")]):
        if path.suffix in (".py", ".pyx", ".pxd", ".pxi", ".h"):
            result.update(path.read_bytes())
    return result.hexdigest()


def run_file(file):
    begin = time.monotonic()
    try:
        done = python("-m", "pytest", "-q", "-rfE", "-p", "no:cacheprovider", file,
                      capture_output=True, text=True, timeout=LIMIT, check=False)  # fmt: skip
        text = done.stdout
    except subprocess.TimeoutExpired:
        return file, {"errors": 1, "text": f"{file} took more than {LIMIT} s", "seconds": LIMIT}
    last = next((line for line in reversed(text.splitlines()) if " in " in line), "")
    counts = {
        kind: int(found[1])
        for kind in COUNTS
        if (found := re.search(rf"(\d+) {kind.removesuffix('s')}", last))
    }
    if done.returncode not in (0, 1, 5):  # 5: the whole file was skipped
        counts["errors"] = counts.get("errors", 0) + 1
    faults = [line for line in text.splitlines() if line.startswith(("FAILED", "ERROR"))]
    said = faults or [text[-1000:], done.stderr[:1000]] if done.returncode not in (0, 5) else []
    return file, counts | {"text": "\n".join(said), "seconds": round(time.monotonic() - begin)}


def suite(paths, jobs):
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    if known.get("digest") != digest():
        known = {"digest": digest(), "files": {}}
    files = files_of(paths or ["tests"])
    if not paths:
        files = [file for file in files if not file.startswith("tests/project/")]
    left = [file for file in files if file not in known["files"]]
    with ThreadPoolExecutor(jobs) as pool:
        for done in as_completed([pool.submit(run_file, file) for file in left]):
            file, counts = done.result()
            known["files"][file] = counts
            RESULTS.write_text(json.dumps(known, indent=1))
            said = ", ".join(f"{counts[kind]} {kind}" for kind in COUNTS if kind in counts)
            print(f"{file}: {said} in {counts['seconds']} s", flush=True)
            if counts["text"]:
                print(counts["text"], flush=True)
    results = [known["files"][file] for file in files]
    total = {kind: sum(counts.get(kind, 0) for counts in results) for kind in COUNTS}
    seconds = sum(counts["seconds"] for counts in results)
    print("arm64, emulated:", ", ".join(f"{n} {kind}" for kind, n in total.items()),
          f"in {len(files)} files, which took {seconds} s one after the other")  # fmt: skip
    return int(total["failed"] + total["errors"] > 0)


def demo():
    return python("-m", "relume", "demo", check=False).returncode


def main():
    if sys.argv[1:2] == ["run"]:
        return python(*sys.argv[2:], check=False).returncode
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("steps", nargs="*", metavar="STEP", help=", ".join(STEPS))
    parser.add_argument("--tests", nargs="+", default=[], help="only these files and folders")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="files at once")
    options = parser.parse_args()
    if unknown := set(options.steps) - set(STEPS):
        parser.error(f"no such step: {', '.join(unknown)}; there are {', '.join(STEPS)}")
    status = 0
    for step in options.steps or STEPS:
        print(f"-- {step}", flush=True)
        function = globals()[step]
        arguments = (options.tests, options.jobs) if step == "suite" else ()
        status |= function(*arguments) or 0
    return status


if __name__ == "__main__":
    sys.exit(main())
