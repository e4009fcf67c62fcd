"""The metric that a callback monitors from epoch to epoch: which one, and whether it improved."""

from __future__ import annotations

import math
from collections.abc import Mapping

from relume import validation

MODES = ("auto", "min", "max")
# relume's own metrics; those of the validation data have "val_" before the name.
LOWER_IS_BETTER = {"loss", "log_loss", "mae", "mse", "rmse"}
HIGHER_IS_BETTER = {"accuracy", "balanced_accuracy", "f1", "r2", "top_5_accuracy"}


class MonitoredMetric:
    """The name of an entry of an epoch's logs, and whether lower or higher values are better.

    The name None means the validation loss, or the loss if there is no validation data.
    """

    def __init__(self, name: str | None, mode: str = "auto", min_delta: float = 0.0) -> None:
        if name is not None and not isinstance(name, str):
            raise TypeError(f"monitor must be the name of a metric or None, got {name!r}")
        self.name = name
        self.mode: str = validation.choice(mode, "mode", MODES)
        self.min_delta: float = validation.number(
            min_delta, "min_delta", "at least 0", lambda x: x >= 0
        )
        self.sign = 1 if mode == "max" or (mode == "auto" and self._rises()) else -1

    def _rises(self) -> bool:
        plain = "loss" if self.name is None else self.name.removeprefix("val_")
        if plain not in LOWER_IS_BETTER | HIGHER_IS_BETTER:
            raise ValueError(
                f"mode must be 'min' or 'max' for monitor={self.name!r}, a metric that relume "
                "does not know; got 'auto'"
            )
        return plain in HIGHER_IS_BETTER

    def is_that_of(self, state: Mapping[str, object]) -> bool:
        """Whether a callback's saved state is of the same metric."""
        return (state.get("monitor"), state.get("mode")) == (self.name, self.mode)

    def value(self, logs: Mapping[str, float]) -> float:
        """The metric in an epoch's logs; ValueError if it is not there."""
        name = self.name
        if name is None:
            name = "val_loss" if "val_loss" in logs else "loss"
        return logs[validation.choice(name, "monitor", logs)]

    def is_better(self, value: float, best: float | None) -> bool:
        """Whether a value is better by min_delta than the best so far (None if there is none)."""
        if math.isnan(value):
            return False
        return best is None or self.sign * (value - best) > self.min_delta
