"""The metric that a callback monitors from epoch to epoch: which one, and whether it improved."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from relume import validation
from relume.keywords import meant

MODES = ("auto", "min", "max")
# relume's own metrics; those of the validation data have "val_" before the name.
LOWER_IS_BETTER = {"loss", "log_loss", "mae", "mse", "rmse"}
HIGHER_IS_BETTER = {"accuracy", "balanced_accuracy", "f1", "r2", "top_5_accuracy"}
KNOWN = [
    f"{prefix}{name}"
    for prefix in ("val_", "")
    for name in sorted(LOWER_IS_BETTER) + sorted(HIGHER_IS_BETTER)
]


def names_of_logs(metrics: Iterable[Any], validated: bool) -> list[str]:
    """The names of what an epoch's logs will hold."""
    return (
        ["loss", "val_loss", *(f"val_{each.name}" for each in metrics)] if validated else ["loss"]
    )


def missing(name: str, monitor: str, logs: Iterable[str]) -> ValueError:
    """The error for a name that is not among an epoch's logs, with what would put it there."""
    logs = list(logs)
    plain = monitor.removeprefix("val_")
    text = f"{name} must be one of {', '.join(logs)}; got {validation.shown(monitor)}"
    guess = meant(monitor, KNOWN) or ""
    if not any(each.startswith("val_") for each in logs) and (
        monitor.startswith("val_") or guess.startswith("val_") or guess not in ("", "loss")
    ):
        wanted = guess if guess.startswith("val_") else f"val_{guess or plain}"
        other = f", and monitor {wanted!r}" if wanted != monitor else ""
        return ValueError(
            f"{text}, which needs validation data: give fit validation_data or "
            f"validation_split{other}"
        )
    close = meant(monitor, logs)
    if f"val_{plain}" in KNOWN and f"val_{plain}" not in logs and any(logs):
        return ValueError(f"{text}; the network reports it with metrics=[{plain!r}]")
    return ValueError(f"{text}; did you mean {close!r}?" if close else text)


class MonitoredMetric:
    """The name of an entry of an epoch's logs, and whether lower or higher values are better.

    The name None means the validation loss, or the loss if there is no validation data.
    """

    def __init__(self, name: str | None, mode: str = "auto", min_delta: float = 0.0) -> None:
        if name is not None and not isinstance(name, str):
            raise TypeError(
                f"monitor must be the name of a metric or None, got {validation.shown(name)}"
            )
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
                f"monitor={self.name!r} is no metric of relume's; for one of your own give "
                f"mode='min' or mode='max'{validation.hint(self.name, KNOWN)}"
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
        self.check(logs)
        return logs[name]

    def check(self, logs: Iterable[str]) -> None:
        """Raise ValueError unless the metric is among these names of logs."""
        if self.name is not None and self.name not in logs:
            raise missing("monitor", self.name, logs)

    def is_better(self, value: float, best: float | None) -> bool:
        """Whether a value is better by min_delta than the best so far (None if there is none)."""
        if math.isnan(value):
            return False
        return best is None or self.sign * (value - best) > self.min_delta
