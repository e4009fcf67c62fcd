"""Claims about ReLU, each put to the test: a question, a method, seeds, a rule, a verdict.

``relume experiments`` runs them and writes one page, as `run` does. What the rules read is `Data`
alone, so that each can be tried on data of any kind.
"""

from relume.experiments.data import Data, Interval, interval
from relume.experiments.experiment import Experiment, Part, Quantity, verdict_of
from relume.experiments.registry import EXPERIMENTS
from relume.experiments.run import Result, run
from relume.public_names import set_module as _set_module

__all__ = [
    "EXPERIMENTS",
    "Data",
    "Experiment",
    "Interval",
    "Part",
    "Quantity",
    "Result",
    "interval",
    "run",
    "verdict_of",
]

_set_module(globals())
