"""What an experiment is: a question, a claim, how it is measured, and the rule of its verdict."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from relume.experiments.data import Data

VERDICTS = ("holds", "holds in part", "does not hold here")


class Part(NamedTuple):
    """One statement that the claim makes, whether the data bear it out, and by which numbers."""

    statement: str
    holds: bool
    numbers: str


@dataclass(frozen=True)
class Quantity:
    """Something measured, and how it is drawn: lines over an x axis, or a row a condition."""

    name: str
    label: str  # of its axis, with the unit
    title: str  # of its picture
    log: bool = False
    x_label: str = ""  # with the unit; none: there is no x axis
    x_log: bool = False
    marks: dict[str, float] = field(default_factory=dict)  # values worth a line across
    form: str = ".3g"  # of its numbers in text


@dataclass(frozen=True)
class Experiment:
    """A claim put to the test.

    ``measure`` takes the settings by keyword and returns the data; ``judge`` is a pure function of
    the data, written before they were measured. The verdict follows from its parts.
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
        """The rule as it is computed."""
        return inspect.getsource(self.judge)


def verdict_of(parts: Sequence[Part]) -> str:
    """Holds if all parts do, in part if some do."""
    held = sum(part.holds for part in parts)
    return VERDICTS[0 if held == len(parts) else 1 if held else 2]


# -- Parts that occur often. A statement holds where the whole interval is on its side: what the
# -- seeds leave open does not hold.


def above(statement: str, data: Data, quantity: Quantity, condition: str, bound: float,
          x: float | None = None) -> Part:  # fmt: skip
    """That a mean is greater than a bound."""
    found = data.mean(quantity.name, condition, x)
    return Part(statement, found.low > bound, f"{found.text(quantity.form)}, bound {bound:g}")


def below(statement: str, data: Data, quantity: Quantity, condition: str, bound: float,
          x: float | None = None) -> Part:  # fmt: skip
    """That a mean is less than a bound."""
    found = data.mean(quantity.name, condition, x)
    return Part(statement, found.high < bound, f"{found.text(quantity.form)}, bound {bound:g}")


def within(statement: str, data: Data, quantity: Quantity, condition: str,
           bounds: tuple[float, float], x: float | None = None) -> Part:  # fmt: skip
    """That a mean is between two bounds."""
    found, (low, high) = data.mean(quantity.name, condition, x), bounds
    numbers = f"{found.text(quantity.form)}, bounds {low:g} and {high:g}"
    return Part(statement, low < found.low and found.high < high, numbers)


def greater(statement: str, data: Data, quantity: Quantity, a: str, b: str,
            x: float | None = None, by: float = 0.0) -> Part:  # fmt: skip
    """That condition `a` gives more than condition `b` by some margin, paired by seed."""
    found = data.difference(quantity.name, a, b, x)
    return Part(statement, found.low > by, f"difference {found.text(quantity.form)}")


def times(statement: str, data: Data, quantity: Quantity, a: str, b: str, least: float,
          x: float | None = None) -> Part:  # fmt: skip
    """That condition `a` gives more than `least` times what `b` does, paired by seed."""
    found = data.ratio(quantity.name, a, b, x)
    return Part(statement, found.low > least, f"ratio {found.text()}, bound {least:g}")
