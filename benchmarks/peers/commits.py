"""Time relume's side of the works of `make peers` at two commits: `make peers-commits REV=main`.

Builds a revision and the present tree side by side in a temporary folder. Each side has a process
of its own with one thread, and one with all threads. The sides take turns, round by round. The
revision runs twice in each round, and its ratio to itself (A/A) shows the noise of the machine.
A ratio is the revision's time over the present tree's: below 1, the present tree is slower. The
interval is the 95 % confidence interval of the median over the rounds, from order statistics. The
exit status is 1 if the interval of any work lies below 0.97.

Nothing else may run meanwhile.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy.stats import binom
from targets import WORKS
from workers import PAUSE, THREADS, Worker

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tools.digests import HERE, build, check_out, copy_present, tell

LIMIT = 0.97
ROUNDS = 15
CONTENDERS = {"train": ["relume", "relume.sklearn"], "predict": ["relume"], "zeros": ["relume"]}


def interval_of_median(values):
    """The 95 % confidence interval of a median: two of the sorted values."""
    ordered, n = sorted(values), len(values)
    low = max(int(binom.ppf(0.025, n, 0.5)) - 1, 0)
    return ordered[low], ordered[n - 1 - low]


def measured(work, contender, threads, trees, rounds):
    """The times of each side in each round; the sides are REV, the present tree, and REV again."""
    problem, sides = work.problem(), []
    try:
        for tree in (trees[0], trees[1], trees[0]):
            side = Worker(contender, threads, {"PYTHONPATH": str(tree / "src")})
            sides.append(side)
            side.call("prepare", work, problem)
            side.call("answer")  # warms up
        times, rng = [[] for _ in sides], np.random.default_rng()
        for _ in range(rounds):
            for i in rng.permutation(len(sides)):
                time.sleep(PAUSE)
                times[i].append(sides[i].call("turn"))
    finally:
        for side in sides:
            side.end()
    return times


def show(name, times):
    """Print a row; return whether the present tree is slower than allowed."""
    before, now, again = times
    ratios = [a / b for a, b in zip(before, now, strict=True)]
    same = [a / b for a, b in zip(before, again, strict=True)]
    low, high = interval_of_median(ratios)
    same_low, same_high = interval_of_median(same)
    slower = high < LIMIT
    print(
        f"| {name} | {statistics.median(before) * 1e6:,.2f} | {statistics.median(now) * 1e6:,.2f} "
        f"| {statistics.median(ratios):.3f} | {low:.3f} | {high:.3f} "
        f"| {same_low:.3f} | {same_high:.3f} |{' SLOWER' if slower else ''}",
        flush=True,
    )
    return slower


def main():
    parser = argparse.ArgumentParser(description="Time relume at two commits.")
    parser.add_argument("revision", metavar="REV")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--only", default="", help="a part of the works' names")
    options = parser.parse_args()
    slower = 0
    with tempfile.TemporaryDirectory() as name:
        trees = [Path(name, "revision"), Path(name, "present")]
        for tree in trees:
            tree.mkdir()
        check_out(options.revision, trees[0])
        copy_present(trees[1])
        for tree, label in zip(trees, (options.revision, HERE), strict=True):
            tell(f"building {label}")
            build(tree)
        print("| work | REV, µs | now, µs | ratio | low | high | A/A low | A/A high |")
        print("|---" * 8 + "|")
        for group, contenders in CONTENDERS.items():
            for work, _ in WORKS[group]:
                for contender in contenders:
                    for threads in THREADS:
                        row = f"{work}, {contender}, {threads} thread{'s' * (threads > 1)}"
                        if options.only in row:
                            times = measured(work, contender, threads, trees, options.rounds)
                            slower += show(row, times)
    print(f"\n{slower} works are slower than {LIMIT} of {options.revision}'s speed")
    return 1 if slower else 0


if __name__ == "__main__":
    os.environ.setdefault("PYTHONPATH", "")
    sys.exit(main())
