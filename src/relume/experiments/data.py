"""The data of an experiment: values by quantity, condition, x value and seed."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

CONFIDENCE = 0.95


class Interval(NamedTuple):
    """A mean over seeds, and the ends of its 95 % confidence interval (Student's t)."""

    mean: float
    low: float
    high: float

    def text(self, form: str = ".3g") -> str:
        """The interval as in ``12.3 [11.0, 13.6]``; only the mean if there is one seed."""
        if math.isnan(self.low):
            return f"{self.mean:{form}}"
        return f"{self.mean:{form}} [{self.low:{form}}, {self.high:{form}}]"


def interval(values: Sequence[float]) -> Interval:
    """Compute the mean of independent values and its confidence interval.

    The interval is ``mean +- t * s / sqrt(n)``, where t is the 97.5 % quantile of Student's
    distribution with n - 1 degrees of freedom and s is the sample standard deviation. With a
    single value, the ends are NaN.
    """
    from scipy.special import stdtrit

    n, mean = len(values), float(np.mean(values))
    if n < 2:
        return Interval(mean, math.nan, math.nan)
    half = float(stdtrit(n - 1, (1 + CONFIDENCE) / 2) * np.std(values, ddof=1) / math.sqrt(n))
    return Interval(mean, mean - half, mean + half)


class Data:
    """The values of an experiment. A rule reads nothing else, so rules can be tested alone."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, str, float | None], list[float]] = {}

    def add(self, quantity: str, condition: str, value: float, x: float | None = None) -> None:
        """Append the value of one seed. Seeds must come in the same order for all conditions."""
        self._values.setdefault((quantity, condition, x), []).append(float(value))

    def values(self, quantity: str, condition: str, x: float | None = None) -> list[float]:
        """The values, one per seed."""
        return self._values[quantity, condition, x]

    def mean(self, quantity: str, condition: str, x: float | None = None) -> Interval:
        """The mean over the seeds."""
        return interval(self.values(quantity, condition, x))

    def difference(self, quantity: str, a: str, b: str, x: float | None = None) -> Interval:
        """The mean of a - b, paired by seed, so that what both conditions share cancels."""
        pairs = zip(self.values(quantity, a, x), self.values(quantity, b, x), strict=True)
        return interval([of_a - of_b for of_a, of_b in pairs])

    def ratio(self, quantity: str, a: str, b: str, x: float | None = None) -> Interval:
        """The geometric mean of a / b, paired by seed; that of b / a is its inverse."""
        pairs = zip(self.values(quantity, a, x), self.values(quantity, b, x), strict=True)
        return Interval(
            *np.exp(interval([math.log(of_a / of_b) for of_a, of_b in pairs])).tolist()
        )

    def conditions(self, quantity: str) -> list[str]:
        """The conditions, in the order in which they were measured."""
        return list(dict.fromkeys(c for q, c, _ in self._values if q == quantity))

    def x_values(self, quantity: str, condition: str | None = None) -> list[float]:
        """The x values in ascending order; empty for a quantity without an x axis."""
        return sorted({
            x for q, c, x in self._values
            if q == quantity and condition in (None, c) and x is not None
        })  # fmt: skip

    def records(self) -> list[dict[str, Any]]:
        """All data in a form that JSON can hold."""
        return [
            {"quantity": q, "condition": c, "x": x, "values": values,
             "mean": mean, "low": _or_none(low), "high": _or_none(high)}
            for (q, c, x), values in self._values.items()
            for mean, low, high in [interval(values)]
        ]  # fmt: skip

    @classmethod
    def of(cls, records: Iterable[tuple[str, str, float | None, Sequence[float]]]) -> "Data":
        """Make data from tuples (quantity, condition, x, values)."""
        data = cls()
        for quantity, condition, x, values in records:
            for value in values:
                data.add(quantity, condition, value, x)
        return data


def _or_none(value):
    return None if math.isnan(value) else value
