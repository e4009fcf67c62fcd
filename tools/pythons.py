"""Run the suite on each version of Python, from source and from the wheel: `make pythons`.

For each version an interpreter is looked for among the commands and in pyenv's folder. A version
that is not there is run in a root of its own with the Debian that has it, if this process is root.
In a copy of the tree `make test` runs, folder by folder, each within LIMIT, and then `make wheel`,
which builds a wheel from the sdist and tests it where neither sources nor a compiler are. A line
for each version says what passed.

    python tools/pythons.py [VERSION ...] [--only source|wheel] [--args ARGS] [--go-on]

ARGS are passed to pytest. The copies, the roots, the logs and the counts are in build/pythons.
With --go-on an interrupted run keeps its copies and what has been counted in them.
"""

import argparse
import glob
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import debian  # noqa: E402

HERE = ROOT / "build" / "pythons"
SUITES = {"3.11": "bookworm", "3.12": None, "3.13": "trixie", "3.14": "testing"}
TARGETS = {"source": "test", "wheel": "wheel"}
PACKAGES = ["python3", "python3-venv", "python3-dev", "gcc", "make", "git", "ca-certificates"]
# What pip and the name resolution of a root need to reach what this system reaches.
COPIED = ["etc/resolv.conf", "etc/ssl/certs/ca-certificates.crt", "etc/pip.conf"]
LIMIT = 5400  # seconds for a folder of tests, or for the wheel
COUNTS = re.compile(r"(?:=+ )?(\d+ (?:passed|failed|error|skipped).*) in [\d.]+s")


def interpreter(version):
    """A Python of this version that runs, and has its headers; None if there is none."""
    pyenv = os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv"
    found = [shutil.which(f"python{version}"), sys.executable]
    found += sorted(glob.glob(f"{pyenv}/versions/{version}.*/bin/python"))
    script = (
        "import os, sys, sysconfig; print(sys.version.split()[0]); "
        "sys.exit(not os.path.exists(sysconfig.get_path('include') + '/Python.h'))"
    )
    for path in filter(None, found):
        done = subprocess.run([path, "-c", script], capture_output=True, text=True, check=False)
        if done.returncode == 0 and done.stdout.startswith(f"{version}."):
            return path, done.stdout.strip()
    return None


def root_of(suite):
    """A root with this suite of Debian, made if it is not there."""
    root = HERE / suite
    if root.exists():
        return root
    debian.need({"debootstrap": "debootstrap"})
    partial = HERE / f"{suite}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    debian.run(
        "debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", suite, partial,
        debian.MIRROR, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    for name in COPIED:
        if Path("/", name).exists():
            shutil.copy(Path("/", name), partial / name)
    partial.rename(root)
    return root


def copy(tree):
    """Copy the sources, without what is built."""
    shutil.rmtree(tree, ignore_errors=True)
    built = shutil.ignore_patterns("*.so", "__pycache__", "build", "dist", ".*", "*.egg-info")
    shutil.copytree(ROOT, tree, ignore=built)
    for name in (".ci", ".github", ".pre-commit-config.yaml"):  # tests read them
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tree / name)


def parts():
    """The arguments of pytest that make up the suite."""
    tests = ROOT / "tests"
    folders = sorted({path.relative_to(tests).parts[0] for path in tests.glob("*/**/test_*.py")})
    alone = sorted(path.name for path in tests.glob("test_*.py"))
    return [*(f"tests/{name}" for name in folders + alone), "src/relume README.md docs"]


def summed(results):
    """What all parts counted together, and whether all passed."""
    total, others = {}, []
    for passed, said in results:
        for n, word in re.findall(r"(\d+) ([a-z]{4,})", said.partition("; ")[0]):
            total[word] = total.get(word, 0) + int(n)
        if not passed:
            others.append(said.partition("see ")[2] or said)
    counts = ", ".join(f"{n} {word}" for word, n in total.items()) or "nothing counted"
    seen = f"; see {', '.join(others)}" if others else ""
    return not others, counts + seen


def make(target, python, tree, root, log, arguments):
    """Run a target of the Makefile, in a root if there is one; return what pytest counted."""
    command = ["make", target, f"PYTHON={python}", f"ARGS={arguments}"]
    if root:
        mounts = "".join(
            f"mount --rbind /{name} {shlex.quote(str(root / name))}; " for name in ("proc", "dev")
        )
        inside = f"cd /{tree.relative_to(root)} && exec {shlex.join(command)}"
        enter = shlex.join(["chroot", str(root), "/bin/sh", "-c", inside])
        command = ["unshare", "--mount", "/bin/sh", "-e", "-c", f"{mounts}exec {enter}"]
    outside = (
        "PYTHONPATH",
        "PYTHONHOME",
        "VIRTUAL_ENV",
        "MAKEFLAGS",
        "MAKELEVEL",
        "VENV",
        "TMPDIR",
    )
    variables = {name: value for name, value in os.environ.items() if name not in outside}
    with log.open("w") as file:
        running = subprocess.Popen(
            command, cwd=tree, env=variables, stdout=file, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
        try:
            status = running.wait(LIMIT)
        except BaseException as error:
            os.killpg(running.pid, signal.SIGKILL)
            running.wait()
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            return False, f"not done in {LIMIT} s; see {log.relative_to(ROOT)}"
    counted = [match[1] for line in log.read_text().splitlines() if (match := COUNTS.match(line))]
    if status == 0 and counted:
        return True, counted[-1]
    return False, f"{counted[-1] if counted else 'not built'}; see {log.relative_to(ROOT)}"


def run(version, kinds, arguments, goes_on=False):
    """The line for a version, and whether all passed."""
    root, found = None, interpreter(version)
    if not found:
        suite = SUITES[version]
        if suite is None:
            return f"{version}: no interpreter is here, and no Debian has it", False
        if os.geteuid() != 0:
            return f"{version}: no interpreter is here; root may install Debian's {suite}", False
        root = root_of(suite)
        full = subprocess.run(
            ["chroot", root, "python3", "-c", "import platform; print(platform.python_version())"],
            check=True, stdout=subprocess.PIPE, text=True,
        ).stdout.strip()  # fmt: skip
        found = "python3", f"{full} (Debian {suite})"
    tree = (root or HERE) / "trees" / version
    counted = HERE / f"{version}.json"
    if not (goes_on and tree.exists()):
        copy(tree)
        counted.unlink(missing_ok=True)
    known = json.loads(counted.read_text()) if counted.exists() else {}
    results = {}
    for kind in kinds:
        each = {}
        for part in parts() if kind == "source" else [""]:
            name = f"{version}-{kind}{re.sub('[^a-z]+', '-', f' {part}') if part else ''}"
            if name not in known:
                known[name] = make(
                    TARGETS[kind], found[0], tree, root, HERE / f"{name}.log",
                    f"{part} {arguments}".strip(),
                )  # fmt: skip
                counted.write_text(json.dumps(known))
            each[part] = known[name]
        results[kind] = summed(each.values())
    said = "; ".join(f"from {kind}: {counts}" for kind, (_, counts) in results.items())
    return f"{found[1]}: {said}", all(passed for passed, _ in results.values())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("versions", nargs="*", metavar="VERSION", help=", ".join(SUITES))
    parser.add_argument("--only", choices=TARGETS, help="only from source, or only from the wheel")
    parser.add_argument("--args", default="", help="arguments for pytest")
    parser.add_argument("--go-on", action="store_true", help="continue an interrupted run")
    options = parser.parse_args()
    if unknown := set(options.versions) - set(SUITES):
        parser.error(f"unknown version {', '.join(unknown)}; there are {', '.join(SUITES)}")
    HERE.mkdir(parents=True, exist_ok=True)
    passed = True
    for version in options.versions or SUITES:
        kinds = [options.only] if options.only else list(TARGETS)
        line, good = run(version, kinds, options.args, options.go_on)
        print(line, flush=True)
        passed &= good
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
