"""Ten fits of ordinary use, and predictions of their rows, against scikit-learn's estimators.

Each library has a process of its own with one thread, and one with all of them. In each round
the processes take turns in a new random order. A ratio is the median over the rounds of
scikit-learn's time over ours, each with its faster number of threads. Both make the same number of
iterations from the same initial weights and minibatches, and their losses are compared.
"""

import os
import statistics
import sys
import time
import warnings
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import numpy as np
import programs
from workers import PAUSE, THREADS, Process

ROUNDS = 7
TURN = 0.1  # minimum seconds of a turn's predictions
TOLERANCE = 0.05  # of losses: rounding errors grow with the steps
LIBRARIES = {"relume.sklearn": "relume.sklearn", "scikit-learn": "sklearn.neural_network"}
TARGETS = {"fit": (3.0, 4.0), "predict": (1.1, 1.5)}  # of each: (must, aim)


class Fit(NamedTuple):
    """A fit: its data, its estimator, and the number of iterations of both libraries."""

    name: str
    rows: int
    features: int
    max_iter: int
    classes: int = 0  # 0 for a regressor
    dtype: str = "float64"
    density: float = 1.0  # below 1 for a sparse matrix
    options: dict[str, Any] = {}

    def data(self):
        """X and y, the same in every process."""
        rng = np.random.default_rng(17)
        if self.density < 1:
            import scipy.sparse

            shape = (self.rows, self.features)
            X = scipy.sparse.random(*shape, self.density, "csr", self.dtype, rng)
        else:
            X = rng.standard_normal((self.rows, self.features)).astype(self.dtype)
        z = np.tanh(X @ rng.standard_normal((self.features, max(self.classes, 1))))
        z += 0.3 * rng.standard_normal(z.shape)
        return X, z.argmax(axis=1) if self.classes else z[:, 0].astype(self.dtype)

    def estimator(self, module):
        cls = module.MLPClassifier if self.classes else module.MLPRegressor
        # No fit ends before max_iter, so that rounding does not decide how long it takes.
        options = {"max_iter": self.max_iter, "n_iter_no_change": 10_000, "random_state": 0}
        return cls(**(options | self.options))


FITS = [
    Fit("classifier, 5,000 x 20, float64", 5000, 20, 20, 3),
    Fit("classifier, 5,000 x 20, float32", 5000, 20, 20, 3, "float32"),
    Fit("regressor, 5,000 x 20, float64", 5000, 20, 20),
    Fit("regressor, 5,000 x 20, float32", 5000, 20, 20, 0, "float32"),
    Fit(
        "regressor, early stopping, 60,000 x 8, (128, 32), batch 70", 60_000, 8, 3,
        options={"hidden_layer_sizes": (128, 32), "batch_size": 70, "early_stopping": True},
    ),
    Fit(
        "classifier, tanh, SGD, 5,000 x 20, (50, 50)", 5000, 20, 30, 3,
        options={"hidden_layer_sizes": (50, 50), "activation": "tanh", "solver": "sgd"},
    ),
    Fit(
        "classifier, L-BFGS, 1,000 x 20", 1000, 20, 50, 3,
        options={"solver": "lbfgs", "tol": 0.0},
    ),
    Fit("classifier, 150 x 4", 150, 4, 200, 3),
    Fit("classifier, CSR 10,000 x 20,000", 10_000, 20_000, 1, 3, density=0.005),
    Fit(
        "classifier, wide, 5,000 x 1,000, (512, 256), float32", 5000, 1000, 3, 10, "float32",
        options={"hidden_layer_sizes": (512, 256)},
    ),
]  # fmt: skip


def serve(name, threads, connection):
    """The loop of a process, which answers (i, "fit") and (i, "predict") of FITS[i]."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-threads:])
    module = __import__(LIBRARIES[name], fromlist=["MLPClassifier"])
    warnings.simplefilter("ignore")
    kept = None
    while True:
        try:
            i, action = connection.recv()
        except EOFError:
            return
        if kept is None or kept[0] != i:
            kept = i, FITS[i].data(), None
        _, (X, y), fitted = kept
        if action == "fit":
            estimator = FITS[i].estimator(module)
            begin = time.perf_counter()
            estimator.fit(X, y)
            seconds = time.perf_counter() - begin
            kept = i, (X, y), estimator
            connection.send((seconds, estimator.n_iter_, float(estimator.loss_)))
            continue
        taken = []
        while sum(taken) < TURN:
            begin = time.perf_counter()
            fitted.predict(X)
            taken.append(time.perf_counter() - begin)
        connection.send((statistics.median(taken), 0, 0.0))


def measured(i, libraries, rounds, rng):
    """The times of each library and number of threads, {action: {key: [seconds]}}, and a note."""
    times = {action: {key: [] for key in libraries} for action in ("fit", "predict")}
    ends = {}
    for number in range(rounds + 1):
        for action in times:
            for k in rng.permutation(len(libraries)):
                key = list(libraries)[k]
                time.sleep(PAUSE)
                seconds, iterations, loss = libraries[key].call(i, action)
                if number > 0:  # the first round warms up
                    times[action][key].append(seconds)
                if action == "fit":
                    ends[key] = iterations, loss
    counts = {iterations for iterations, _ in ends.values()}
    losses = [loss for _, loss in ends.values()]
    differ = max(losses) - min(losses) > TOLERANCE * max(map(abs, losses))
    note = f"iterations {sorted(counts)}, losses {losses}" if len(counts) > 1 or differ else ""
    return times, note


def compared(name, times, note):
    """A row of results: the other's time over ours, each with its faster number of threads."""
    best = [
        min((key for key in times if key[0] == library), key=lambda k: statistics.median(times[k]))
        for library in LIBRARIES
    ]
    pairs = zip(times[best[1]], times[best[0]], strict=True)
    return {
        "work": name, "ours": "relume.sklearn", "theirs": "scikit-learn",
        "ratio": statistics.median(a / b for a, b in pairs),
        "medians": [statistics.median(times[key]) for key in best],
        "threads": [key[1] for key in best], "note": note,
    }  # fmt: skip


def line(row):
    """A row as text: work, ratio, must, aim."""
    ours, theirs = (f"{1e3 * each:.2f}" for each in row["medians"])
    threads = row["threads"]
    return (
        f"| {row['work']} | {row['ratio']:.2f} | {row['must']:g} | {row['aim']:g} "
        f"| {ours} ({threads[0]}) | {theirs} ({threads[1]}) | {row['note']} |"
    )


def main():
    rounds = int(sys.argv[sys.argv.index("--rounds") + 1]) if "--rounds" in sys.argv else ROUNDS
    only = sys.argv[sys.argv.index("--only") + 1] if "--only" in sys.argv else ""
    rng, rows = np.random.default_rng(), []
    libraries = {
        (name, n): Process(__file__, ["serve", name, n], n) for name in LIBRARIES for n in THREADS
    }
    print("| work | ratio | must | aim | ours, ms (threads) | theirs, ms (threads) | note |")
    print("|---" * 7 + "|")
    try:
        for i, fit in enumerate(FITS):
            if only not in fit.name:
                continue
            times, note = measured(i, libraries, rounds, rng)
            for action, seconds in times.items():
                must, aim = TARGETS[action]
                row = compared(f"{action}: {fit.name}", seconds, note if action == "fit" else "")
                rows.append(row | {"must": must, "aim": aim})
                print(line(rows[-1]), flush=True)
    finally:
        for library in libraries.values():
            library.end()
    programs.write(rows, sys.argv)


if __name__ == "__main__":
    if "serve" in sys.argv:
        _, _, library, n_threads, handle = sys.argv
        serve(library, int(n_threads), Connection(int(handle)))
    else:
        main()
