"""Steps and predictions of the networks of `make peers`, and what `sparse="auto"` chooses."""

import numpy as np

import relume
from relume import nn

from . import zeros
from .calls import Timed, named

NETWORKS = ["20-40-40-10", "64-64-32-10", "784-256-128-10"]
STEPS = [
    *("64-64-32-10, batch 32", "64-256-128-10, batch 128", "784-256-128-10, batch 128"),
    *("1024-1024-1024-10, batch 128", "1024-1024-1024-10, batch 512"),
    *("2048-2048-2048-10, batch 128", "2048-2048-2048-10, batch 512"),
    *("43-416-547-40, batch 20", "349-506-40-428-555-305-475-4, batch 800"),
]
ZEROS = ["one row, 1024-1024-1024-10", "128 rows, 512x64", "eight steps, 784-256-128-10"]


def network(widths):
    hidden = [nn.Dense(width, activation="relu") for width in widths[1:-1]]
    return nn.Network([*hidden, nn.Dense(widths[-1])], seed=0).build(widths[0])


def widths_of(text):
    return [int(width) for width in text.split("-")]


class Steps(Timed):
    """A fit of eight minibatches, of random rows and labels."""

    params = [STEPS]
    param_names = ["network"]

    def setup(self, text):
        layers, batch = text.split(", batch ")
        widths, self.batch = widths_of(layers), int(batch)
        rng = np.random.default_rng(0)
        self.X = rng.standard_normal((8 * self.batch, widths[0]), np.float32)
        self.y = rng.integers(widths[-1], size=len(self.X))
        self.net = network(widths)
        self.start = self.net.snapshot()
        self.time_steps(text)

    @named("Networks: eight minibatches of a fit")
    def time_steps(self, text):
        self.net.restore(self.start)
        self.net.fit(self.X, self.y, batch_size=self.batch)


class Predictions(Timed):
    params = [NETWORKS, [1, 256, 4096]]
    param_names = ["network", "rows"]

    def setup(self, layers, rows):
        widths = widths_of(layers)
        self.net = network(widths)
        self.X = np.random.default_rng(0).standard_normal((rows, widths[0]), np.float32)
        self.time_predict_proba(layers, rows)

    @named("Networks: predict_proba")
    def time_predict_proba(self, layers, rows):
        self.net.predict_proba(self.X)


@named("sparse=auto over the better of never and always, worst share of zeros, one thread")
def track_auto_over_better(work):
    """The time of "auto" over the smaller one of "never" and "always"."""
    relume.set_num_threads(1)
    kind, layers = work.split(", ")
    widths = widths_of(layers.replace("x", "-"))
    measured = {
        "one row": lambda: zeros.one_row(widths),
        "128 rows": lambda: zeros.layer(widths, 128),
        "eight steps": lambda: zeros.training(widths, 128),
    }[kind]()
    return round(max(auto / min(never, always) for _, (never, auto, always) in measured), 3)


track_auto_over_better.params = [ZEROS]
track_auto_over_better.param_names = ["work"]
track_auto_over_better.unit, track_auto_over_better.version = "ratio", "1"
