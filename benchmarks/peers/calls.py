"""Single calls against NumPy's, and the cost of a fit apart from its minibatches."""

import statistics
import sys

import numpy as np
import programs
from timing import interleaved

import relume
from relume import datasets, nn


def relu_beside(numpys, n, calls, repeats):
    """NumPy's time over that of relu with out=, and both times in seconds."""
    x = np.random.default_rng(0).standard_normal(n, dtype=np.float32)
    out = np.ones_like(x)

    def repeated(call):
        def run():
            for _ in range(calls):
                call(x, out)

        return run

    ours = repeated(lambda x, out: relume.relu(x, out=out))
    both = interleaved(repeated(numpys), ours, repeats)
    ratio = statistics.median(theirs / ours for theirs, ours in zip(*both, strict=True))
    return ratio, [statistics.median(times) / calls for times in both[::-1]]


def fixed_cost():
    """The seconds of a fit without its minibatches: twice a fit of one minus a fit of two."""
    X, y = datasets.load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)
    layers = [nn.Dense(64, activation="relu"), nn.Dense(32, activation="relu"), nn.Dense(10)]
    net = nn.Network(layers, seed=0)
    net.fit(X, y)
    one, two = interleaved(
        lambda: net.fit(X[:32], y[:32], batch_size=32),
        lambda: net.fit(X[:64], y[:64], batch_size=32),
        1000,
    )
    return 2 * statistics.median(one) - statistics.median(two)


def row(work, theirs, must, ratio, medians):
    return {
        "work": work, "ours": "relume", "theirs": theirs, "must": must, "ratio": ratio,
        "medians": medians,
    }  # fmt: skip


def main():
    copy = relu_beside(lambda x, out: np.copyto(out, x), 10_000_000, 1, 60)
    maximum = relu_beside(lambda x, out: np.maximum(x, 0, out=out), 1_000, 200, 300)
    cost = fixed_cost()
    rows = [
        row("relu, 10 million float32, all threads", "np.copyto", 0.9, *copy),
        row("relu, 1,000 float32", "np.maximum", 1.0, *maximum),
        row("a fit without its minibatches", "100 µs", 1.0, 100e-6 / cost, [cost, 100e-6]),
    ]
    programs.write(rows, sys.argv)


if __name__ == "__main__":
    main()
