"""Time the present tree as Clang builds it against GCC's build: ufuncs, steps and predictions.

Builds two copies of the tree in a temporary folder. Each build has a process of its own with one
thread, and the two take turns, round by round in a random order. A ratio is the median over the
rounds of the time of GCC's build over that of Clang's. Without Clang nothing is measured.
"""

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import programs
from targets import FASHION, SMALL
from workers import PAUSE, Worker
from works import Prediction, Training, Ufunc

from relume.functional.activations import ROWS

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tools.digests import build, copy_present, tell

COMPILERS = ["gcc", "clang"]
ROUNDS = 5
WORKS = [
    *(
        (contender, work)
        for contender in ("relume", "relume gelu")
        for work in (
            Training("digits", SMALL, 32, 1),
            *(Prediction(layers, rows) for layers in (SMALL, FASHION) for rows in (1, 256)),
        )
    ),
    *(
        ("relume", Ufunc(name, direction, n, in_place))
        for name, row in ROWS.items()
        for direction in ("forward", "backward")
        if direction in row["directions"] and name != "prelu"  # leaky_relu runs the same kernels
        for n, in_place in ((1_000, False), (100_000, False), (100_000, True))
    ),
]


def measured(work, sides, rounds, rng):
    """The times of each side in each round."""
    problem, times = work.problem(), [[] for _ in sides]
    for side in sides:
        side.call("prepare", work, problem)
        side.call("turn")  # warms up
    for _ in range(rounds):
        for i in rng.permutation(len(sides)):
            time.sleep(PAUSE)
            times[i].append(sides[i].call("turn"))
    return times


def compared(name, times):
    """The row of a work."""
    return {
        "work": name, "ours": "built with Clang", "theirs": "built with GCC", "must": 0.8,
        "aim": 0.95, "ratio": statistics.median(a / b for a, b in zip(*times, strict=True)),
        "medians": [statistics.median(side) for side in times[::-1]],
    }  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description="Time Clang's build against GCC's.")
    parser.add_argument("--only", default="", help="a part of the works' names")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--trees", nargs=2, type=Path, metavar=("GCC", "CLANG"),
                        help="trees that are built already")  # fmt: skip
    parser.add_argument("--out", help="JSON file to write for run.py")
    options = parser.parse_args()
    rows, rng = [], np.random.default_rng()
    if missing := [compiler for compiler in COMPILERS if not shutil.which(compiler)]:
        print(f"nothing is measured without {' and '.join(missing)}")
        programs.write(rows, sys.argv)
        return
    with tempfile.TemporaryDirectory() as folder:
        trees = options.trees or [Path(folder, compiler) for compiler in COMPILERS]
        if not options.trees:
            for compiler, tree in zip(COMPILERS, trees, strict=True):
                tell(f"building with {compiler}")
                tree.mkdir()
                copy_present(tree)
                build(tree, CC=compiler)
        sides = {
            contender: [Worker(contender, 1, {"PYTHONPATH": str(tree / "src")}) for tree in trees]
            for contender in dict.fromkeys(contender for contender, _ in WORKS)
        }
        try:
            for contender, work in WORKS:
                name = f"{work}" if contender == "relume" else f"{work}, gelu"
                if options.only in name:
                    rows.append(
                        compared(name, measured(work, sides[contender], options.rounds, rng))
                    )
                    print(f"| {name:<60} | {rows[-1]['ratio']:.2f} |", flush=True)
        finally:
            for side in (side for both in sides.values() for side in both):
                side.end()
    programs.write(rows, sys.argv)


if __name__ == "__main__":
    os.environ.setdefault("PYTHONPATH", "")
    sys.exit(main())
