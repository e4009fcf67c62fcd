"""Time a training step of relume for various widths, depths and batch sizes, and detect cliffs.

relume uses its default number of threads. The points of a series are interleaved, round by round.
A cliff is a point more than 1.3 times above the line between its neighbours on a log-log plot.
`make peers-scaling`; `--only width` measures one series.
"""

import argparse
import itertools
import math
import statistics
import sys
import time

import programs
from libraries.relume import training
from problems import operations, random_problem

CLIFF = 1.3
ROUNDS = 5
TURN = 0.03  # approximate seconds of a turn


def halves(first, last):
    """Powers of two and the numbers halfway between them: 1, 2, 3, 4, 6, 8, 12 and so on."""
    found = [first]
    while found[-1] < last:
        n = found[-1]
        found.append(n * 3 // 2 if n & (n - 1) == 0 and n > 1 else 1 << n.bit_length())
    return found


SERIES = {  # name: sizes, and the layers and batch of a size
    "width": (halves(16, 2048), lambda n: ((n, n, n, 10), 128)),
    "depth": (halves(1, 64), lambda n: ((64,) * (n + 1) + (10,), 32)),
    "batch": (halves(1, 8192), lambda n: ((256, 256, 256, 10), n)),
}


class Point:
    """A network and batch size, and the seconds per step of its turns."""

    def __init__(self, layers, batch):
        self.operations = operations(layers, batch)
        parameters = sum(n_in * n_out for n_in, n_out in itertools.pairwise(layers))
        expected = 1e-6 * len(layers) + self.operations / 1e11 + parameters * 2e-9
        self.steps = min(max(4, int(TURN / expected)), 3000)
        self.rows = batch * self.steps
        self.fit = training(random_problem(layers, self.rows, None, batch, 1))
        self.times = []

    def turn(self):
        self.fit.reset()
        begin = time.perf_counter()
        self.fit.run(1, self.rows)
        self.times.append((time.perf_counter() - begin) / self.steps)

    @property
    def seconds(self):
        return statistics.median(self.times)


def above(sizes, seconds):
    """Each point's ratio to the line between its neighbours; None at the ends."""
    factors = [None] * len(sizes)
    x, y = [math.log(size) for size in sizes], [math.log(s) for s in seconds]
    for i in range(1, len(sizes) - 1):
        share = (x[i] - x[i - 1]) / (x[i + 1] - x[i - 1])
        factors[i] = math.exp(y[i] - y[i - 1] - share * (y[i + 1] - y[i - 1]))
    return factors


def measure(sizes, of_size):
    points = [Point(*of_size(size)) for size in sizes]
    for number in range(ROUNDS + 1):
        for point in points:
            point.turn()
            if number == 0:  # warms up
                point.times.clear()
    return points


def show(name, sizes, points, factors):
    print(f"| {name:<6} | {'step, µs':>12} | {'GFLOP/s':>8} | {'above':>6} |")
    print("|---" * 4 + "|")
    for size, point, factor in zip(sizes, points, factors, strict=True):
        rate = point.operations / point.seconds / 1e9
        shown = "" if factor is None else f"{factor:.2f}"
        cliff = "CLIFF" if factor and factor > CLIFF else ""
        print(
            f"| {size:>6,} | {point.seconds * 1e6:>12,.1f} | {rate:>8.1f} | {shown:>6} | {cliff}"
        )
    print(flush=True)


def main():
    parser = argparse.ArgumentParser(description="Time a step of training against its size.")
    parser.add_argument("--only", choices=SERIES, help="measure one series only")
    parser.add_argument("--out", help="JSON file to write for run.py")
    options = parser.parse_args()
    rows = []
    for name, (sizes, of_size) in SERIES.items():
        if options.only not in (None, name):
            continue
        points = measure(sizes, of_size)
        factors = above(sizes, [point.seconds for point in points])
        show(name, sizes, points, factors)
        factor, worst = max((f, size) for f, size in zip(factors, sizes, strict=True) if f)
        rows.append({
            "work": f"a step against {name}, {sizes[0]} to {sizes[-1]:,}", "ours": "worst point",
            "theirs": f"{CLIFF} x neighbours", "must": 1.0, "ratio": CLIFF / factor,
            "note": f"{factor:.2f} times above its neighbours' line at {worst:,}",
            "seconds": {size: p.seconds for size, p in zip(sizes, points, strict=True)},
        })  # fmt: skip
    programs.write(rows, sys.argv)


if __name__ == "__main__":
    main()
