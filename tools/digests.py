"""Compare what two commits compute, bit by bit: `make digests REV=main`.

Builds a revision and the present tree, uncommitted changes included, side by side in a temporary
folder. In each, every public function is called for all dtypes and layouts, and 200 networks and
estimators are trained, on every instruction set of this CPU and with one and two threads. The
digests of all results are compared; a line names each that differs. Exit status 1 if any does.

For a change that must not change results. The digests are compared and forgotten, not kept as
test data: another processor, compiler, or version of NumPy, SciPy or BLAS gives other bits.

    python tools/digests.py REV         the results of REV beside those of the present tree
    python tools/digests.py --list      the descriptions of the networks
"""

import argparse
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HERE = "the present tree"
SIMD = ["baseline", "avx2", "avx512"]  # those of them that both trees have and the CPU runs
THREADS = [1, 2]


def git(*arguments):
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout


def tell(text):
    """Say what is done meanwhile, apart from the results."""
    print(f"{text} ...", file=sys.stderr, flush=True)


# -- trees ----------------------------------------------------------------------------------------


def check_out(revision, folder):
    """The files of a revision."""
    archive = io.BytesIO(git("archive", "--format=tar", f"{revision}^{{commit}}"))
    with tarfile.open(fileobj=archive) as files:
        files.extractall(folder, filter="data")


def copy_present(folder):
    """The files of the present tree as they are, without those that git ignores."""
    listed = git("ls-files", "-z", "--cached", "--others", "--exclude-standard").decode()
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():  # and has not been deleted
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


def build(folder, **variables):
    """Build a tree in place, with some variables of the environment."""
    done = subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", "--inplace"],
        cwd=folder, env=os.environ | {"PYTHONPATH": ""} | variables, capture_output=True,
        text=True,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{folder.name} does not build:\n{done.stdout}{done.stderr}")


# -- digests --------------------------------------------------------------------------------------


def run(folder, simd, *arguments, threads=1, names=None):
    """The same program, the one of the present tree, on the library that is built in a folder."""
    environment = {
        "PYTHONPATH": str(folder / "src"),
        "RELUME_SIMD": simd,
        "RELUME_NUM_THREADS": str(threads),
    }
    return subprocess.run(
        [sys.executable, "-m", "tools.digest", *arguments],
        cwd=ROOT, env=os.environ | environment, input=json.dumps(names), capture_output=True,
        text=True,
    )  # fmt: skip


def result_of(done):
    if done.returncode:
        raise SystemExit(f"a process ended with status {done.returncode}:\n{done.stderr}")
    return json.loads(done.stdout)


def instruction_sets(folders):
    """Those that both trees run on here; what is left out is said."""
    for simd in SIMD:
        refused = [done for done in (run(each, simd, "--names") for each in folders.values())
                   if done.returncode]  # fmt: skip
        if not refused:
            yield simd
        elif "RELUME_SIMD" in refused[0].stderr:
            print(f"{simd} is left out: {refused[0].stderr.splitlines()[-1]}")
        else:
            result_of(refused[0])


def common_names(folders, simd):
    """What both trees have; what only one has is said."""
    found = {tree: result_of(run(folder, simd, "--names")) for tree, folder in folders.items()}
    for tree, folder in folders.items():
        if not Path(found[tree]["file"]).is_relative_to(folder):
            raise SystemExit(f"{tree} is not what was imported, but {found[tree]['file']}")
    (one, first), (other, second) = found.items()
    tables = first["classes"].keys() & second["classes"].keys()
    return {
        "functions": _common(first["functions"], second["functions"], one, other, "relume"),
        "classes": {
            table: _common(first["classes"][table], second["classes"][table], one, other, "nn")
            for table in sorted(tables)
        },
    }


def _common(first, second, one, other, module):
    for tree, mine, others in ((one, first, second), (other, second, first)):
        for name in sorted({*mine} - {*others}):
            print(f"only in {tree}: {module}.{name}")
    return sorted({*first} & {*second})


def compare(first, second, where, differing):
    """Note under its item where a digest differs, or is there on one side only."""
    for kind, digests in first.items():
        for item in dict.fromkeys([*digests, *second[kind]]):
            if digests.get(item) != second[kind].get(item):
                differing[kind][item].append(where)


def report(names, networks, differing, n_settings):
    """A line for each item that differs, and the sum; the exit status."""
    for items in differing.values():
        for item, where in items.items():
            everywhere = len(where) == n_settings
            print(item if everywhere else f"{item}  [only with {'; '.join(where)}]")
    differ = {item.partition(":")[0] for items in differing.values() for item in items}
    print(f"{len(names)} functions, {networks} networks: {len(differ)} differ")
    return 1 if differ else 0


def main(arguments):
    parser = argparse.ArgumentParser(description="Compare what two commits compute, bit by bit.")
    parser.add_argument("revision", nargs="?", help="what the present tree is compared with")
    parser.add_argument("--list", action="store_true", help="print the networks that are trained")
    options = parser.parse_args(arguments)
    if options.list:
        print(run(ROOT, "", "--list").stdout, end="")
        return 0
    if options.revision is None:
        parser.error("which revision? Name a commit, such as main or HEAD~3")
    with tempfile.TemporaryDirectory() as folder:
        folders = {options.revision: Path(folder, "revision"), HERE: Path(folder, "present")}
        check_out(options.revision, folders[options.revision])
        copy_present(folders[HERE])
        for tree, each in folders.items():
            tell(f"building {tree}")
            build(each)
        sets = list(instruction_sets(folders))
        names = common_names(folders, sets[0])
        tell(f"comparing on {', '.join(sets)}")
        settings = [(simd, threads) for simd in sets for threads in THREADS]
        differing = {"functions": defaultdict(list), "networks": defaultdict(list)}
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            jobs = [
                [pool.submit(run, each, simd, threads=threads, names=names)
                 for each in folders.values()]
                for simd, threads in settings
            ]  # fmt: skip
            for (simd, threads), pair in zip(settings, jobs, strict=True):
                first, second = (result_of(job.result()) for job in pair)
                compare(first, second, f"{simd}, {threads} threads", differing)
    return report(names["functions"], len(first["networks"]), differing, len(settings))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
