"""Experiments that test claims about ReLU: a question, a method, seeds, a rule and a verdict.

``relume experiments`` and `run` run them and write one page. A rule reads nothing but `Data`, so
each rule can be tested on made-up data.
"""

from relume.experiments.data import Data, Interval, interval
from relume.experiments.experiment import Experiment, Part, Quantity, verdict_of
from relume.experiments.registry import EXPERIMENTS
from relume.experiments.run import Result, run
from relume.public_names import publish as _publish

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

_publish(globals())
