"""An experiment: a question, a claim, a measurement, and the rule for its verdict."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from relume.experiments.data import Data

VERDICTS = ("holds", "holds in part", "does not hold here")


class Part(NamedTuple):
    """One statement of a claim, whether the data support it, and the numbers that show it."""

    statement: str
    holds: bool
    numbers: str


@dataclass(frozen=True)
class Quantity:
    """A measured quantity, plotted as lines over an x axis or with one row per condition."""

    name: str
    label: str  # of its axis, with the unit
    title: str  # of its chart
    log: bool = False
    x_label: str = ""  # with the unit; empty if there is no x axis
    x_log: bool = False
    marks: dict[str, float] = field(default_factory=dict)  # reference lines by label
    form: str = ".3g"  # format of its numbers


@dataclass(frozen=True)
class Experiment:
    """A claim and how it is tested.

    ``measure`` takes the settings as keywords and returns the data. ``judge`` is a pure function
    of the data, written before they were measured; the verdict follows from the parts it returns.
    """

    name: str
    title: str
    question: str
    claim: str
    method: str
    rule: str
    measure: Callable[..., Data]
    judge: Callable[[Data], list[Part]]
    quantities: Sequence[Quantity]
    full: dict[str, Any]
    quick: dict[str, Any]

    def rule_source(self) -> str:
        """The source code of the rule."""
        return inspect.getsource(self.judge)


def verdict_of(parts: Sequence[Part]) -> str:
    """The verdict: "holds" if all parts hold, "holds in part" if some do."""
    held = sum(part.holds for part in parts)
    return VERDICTS[0 if held == len(parts) else 1 if held else 2]


# -- Common parts. A statement holds only if the whole confidence interval supports it: what the
# -- seeds leave open does not hold.


def above(statement: str, data: Data, quantity: Quantity, condition: str, bound: float,
          x: float | None = None) -> Part:  # fmt: skip
    """The statement that a mean is greater than a bound."""
    found = data.mean(quantity.name, condition, x)
    return Part(statement, found.low > bound, f"{found.text(quantity.form)}, bound {bound:g}")


def below(statement: str, data: Data, quantity: Quantity, condition: str, bound: float,
          x: float | None = None) -> Part:  # fmt: skip
    """The statement that a mean is less than a bound."""
    found = data.mean(quantity.name, condition, x)
    return Part(statement, found.high < bound, f"{found.text(quantity.form)}, bound {bound:g}")


def within(statement: str, data: Data, quantity: Quantity, condition: str,
           bounds: tuple[float, float], x: float | None = None) -> Part:  # fmt: skip
    """The statement that a mean is between two bounds."""
    found, (low, high) = data.mean(quantity.name, condition, x), bounds
    numbers = f"{found.text(quantity.form)}, bounds {low:g} and {high:g}"
    return Part(statement, low < found.low and found.high < high, numbers)


def greater(statement: str, data: Data, quantity: Quantity, a: str, b: str,
            x: float | None = None, by: float = 0.0) -> Part:  # fmt: skip
    """The statement that condition `a` exceeds condition `b` by more than `by`, paired by seed."""
    found = data.difference(quantity.name, a, b, x)
    return Part(statement, found.low > by, f"difference {found.text(quantity.form)}")


def times(statement: str, data: Data, quantity: Quantity, a: str, b: str, factor: float,
          x: float | None = None) -> Part:  # fmt: skip
    """The statement that condition `a` exceeds `factor` times condition `b`, paired by seed."""
    found = data.ratio(quantity.name, a, b, x)
    return Part(statement, found.low > factor, f"ratio {found.text()}, bound {factor:g}")
