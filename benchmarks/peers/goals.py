"""The table that sums up a run: one line for each goal, a statistic over rows of the results."""

import math
import re
import statistics
from collections.abc import Callable
from typing import NamedTuple

from targets import FASHION, MIDDLE, SMALL, TINY
from works import spelled


def geometric_mean(ratios):
    return math.exp(statistics.fmean(map(math.log, ratios)))


class Goal(NamedTuple):
    """A statistic of the ratios of the rows of a group, and its targets."""

    name: str
    group: str
    theirs: str
    must: float
    aim: float
    work: str = ""  # a regular expression that is found in the names of the works
    of: Callable = min

    def value(self, rows):
        """The statistic of the measured rows; None if there are none."""
        ratios = [row["ratio"] for row in rows if self.matches(row)]
        return self.of(ratios) if ratios else None

    def matches(self, row):
        same = (row["group"], row["theirs"]) == (self.group, self.theirs)
        return same and row["ratio"] is not None and re.search(self.work, row["work"]) is not None

    def verdict(self, value):
        if value is None:
            return "not measured"
        return "SHORT" if value < self.must else "aim" if value >= self.aim else "must"


def _step(layers, batch, must, aim):
    name = f"a step of {spelled(layers)}, batch {batch}"
    return Goal(name, "train", "JAX", must, aim, f"{spelled(layers)}, batch {batch}$")


def _one_row(layers, must, aim):
    name = f"predict_proba, 1 row, {spelled(layers)}"
    return Goal(name, "predict", "ONNX Runtime", must, aim, f"^1 row, {spelled(layers)}$")


def _shapes(what, of, must, aim):
    name = f"a step of 40 random shapes, {what}"
    return Goal(name, "shapes", "JAX", must, aim, of=of)


def _fits(action, what, of, must, aim):
    name = f"ten fits of estimators: {action}, {what}"
    return Goal(name, "fits", "scikit-learn", must, aim, f"^{action}: ", of)


def _compiled(what, work):
    name = f"built with Clang: {what}, worst"
    return Goal(name, "compilers", "built with GCC", 0.8, 0.95, work)


GOALS = [
    Goal("sparse=auto, worst", "auto", "never or always", 0.95, 0.98),
    _step(SMALL, 32, 1.9, 2.5),
    _step(MIDDLE, 128, 1.8, 2.5),
    _step(FASHION, 128, 1.35, 1.6),
    _shapes("geometric mean", geometric_mean, 1.25, 1.5),
    _shapes("worst", min, 0.95, 1.1),
    Goal("a step of layers of 1,024 and 2,048, worst", "wide", "JAX or PyTorch", 1.0, 1.15),
    Goal("predict_proba, 256 and 4,096 rows, worst", "predict", "ONNX Runtime", 1.15, 1.5, "rows"),
    _one_row(TINY, 4, 7),
    _one_row(SMALL, 4, 7),
    _one_row(FASHION, 2, 2.3),
    Goal("activations, geometric mean", "activations", "the fastest", 1.8, 2.5, "to .* mean$"),
    Goal("activations, worst", "activations", "the fastest", 0.9, 1.0, "to .* worst$"),
    _fits("fit", "geometric mean", geometric_mean, 5, 7),
    _fits("fit", "worst", min, 3, 4),
    _fits("predict", "worst", min, 1.1, 1.5),
    _compiled("ufuncs", "elements"),
    _compiled("steps and predictions", "batch|row"),
]
