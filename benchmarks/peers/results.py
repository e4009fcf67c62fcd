"""The results of a run, in a JSON file that is written after each work."""

import json
import platform
import statistics
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from problems import rows_of
from targets import WORKS
from workers import THREADS

import relume
from relume.cli import info

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
from cpu_name import cpu_name  # noqa: E402

DISTRIBUTIONS = ["numpy", "scipy", "scikit-learn", "torch", "jax", "onnxruntime", "numexpr"]
ORDER = [  # of the rows in the table
    (group, str(work), target.ours, target.label)
    for group, works in WORKS.items()
    for work, targets in works
    for target in targets
]


class Results:
    """The rows and the times that they are made from, including an earlier run's if `keep`."""

    def __init__(self, path, keep):
        self.path = path
        self.content = json.loads(path.read_text()) if keep else {"rows": [], "works": []}
        self.content.setdefault("machine", machine())
        self.content["machine"]["data"] = rows_of("Fashion-MNIST")[2]

    @property
    def rows(self):
        return self.content["rows"]

    def add(self, rows, measured=None):
        """Add the rows of one work or program, replacing earlier ones."""
        new = {"rows": rows, "works": []}
        if measured:
            head = {key: rows[0][key] for key in ("group", "work")}
            new["works"] = [head | {"times": measured.times, "notes": measured.notes}]
        for part, entries in new.items():
            again = {identity(entry) for entry in entries}
            kept = [e for e in self.content[part] if identity(e) not in again]
            self.content[part] = sorted(kept + entries, key=position)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(self.content, indent=1))


def identity(entry):
    """The fields that identify an entry; a new entry replaces an older one with these fields."""
    return tuple(entry.get(key) for key in ("group", "work", "ours", "theirs"))


def position(entry):
    """The position of an entry in the table; the rows of programs come last."""
    return ORDER.index(identity(entry)) if identity(entry) in ORDER else len(ORDER)


def machine():
    """The CPU, instruction set, versions and commit of a run."""
    versions = {"Python": platform.python_version(), "relume": relume.__version__}
    for name in DISTRIBUTIONS:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "cpu": info.cpu_name(), "name": cpu_name(), "cpus": THREADS[-1], "simd": relume.simd(),
        "versions": versions, "commit": commit(),
    }  # fmt: skip


def commit():
    """The short name of the tree's commit; empty outside of a repository."""
    command = ["git", "-C", str(ROOT), "rev-parse", "--short=8", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def compared(group, work, targets, measured):
    """A row for each target: their time over ours, each with its faster number of threads."""
    rows = []
    for target in targets:
        row = {
            "group": group, "work": str(work), "ours": target.ours, "theirs": target.label,
            "must": target.must, "aim": target.aim,
        }  # fmt: skip
        names = [target.ours, *target.peers]
        missing = [
            f"{name}: {measured.notes.get(name, 'not measured')}"
            for name in names
            if name not in measured.times
        ]
        ours, theirs = (
            fastest(measured.times, side, target.threads)
            for side in ((target.ours,), target.peers)
        )
        if not ours or not theirs:
            rows.append(row | {"ratio": None, "note": "; ".join(missing)})
            continue
        ratio = statistics.median(a / b for a, b in zip(theirs.times, ours.times, strict=True))
        wrong = [f"{name} computes something else" for name in names if name in measured.wrong]
        faster = [theirs.name] if len(target.peers) > 1 else []
        rows.append(row | {
            "ratio": ratio, "threads": [ours.threads, theirs.threads],
            "note": "; ".join([*faster, *missing, *wrong]),
            "medians": [statistics.median(side.times) for side in (ours, theirs)],
        })  # fmt: skip
    return rows


class Side(NamedTuple):
    """The contender and number of threads of one side of a comparison."""

    name: str
    threads: int
    times: list


def fastest(times, names, threads=None):
    """The side with the lowest median time among contenders and numbers of threads, or None."""
    sides = [
        Side(name, t, taken)
        for name in names
        for t, taken in times.get(name, {}).items()
        if threads in (None, t)
    ]
    return min(sides, key=lambda side: statistics.median(side.times), default=None)
