"""A figure that is watched from epoch to epoch: which one, and whether it got better."""

import math

from relume import validation

MODES = ("auto", "min", "max")
# Of figures and metrics of relume; those of a validation have "val_" before their name.
LOWER = {"loss", "log_loss", "mae", "mse", "rmse"}
HIGHER = {"accuracy", "balanced_accuracy", "f1", "r2", "top_5_accuracy"}


class WatchedFigure:
    """The name of a figure (None is the loss, of the validation if there is one) and its sense."""

    def __init__(self, name, mode="auto", min_delta=0.0):
        if name is not None and not isinstance(name, str):
            raise TypeError(f"monitor must be the name of a figure or None, got {name!r}")
        self.name = name
        self.mode = validation.choice(mode, "mode", MODES)
        self.min_delta = validation.number(min_delta, "min_delta", "at least 0", lambda x: x >= 0)
        self._sign = 1 if mode == "max" or (mode == "auto" and self._rises()) else -1

    def _rises(self):
        plain = "loss" if self.name is None else self.name.removeprefix("val_")
        if plain not in LOWER | HIGHER:
            raise ValueError(
                f"mode must be 'min' or 'max' for monitor={self.name!r}, of which it is not known "
                "whether less or more is better; got 'auto'"
            )
        return plain in HIGHER

    def value(self, figures):
        """The figure; ValueError where an epoch has none of that name."""
        name = self.name
        if name is None:
            name = "val_loss" if "val_loss" in figures else "loss"
        return figures[validation.choice(name, "monitor", figures)]

    def is_better(self, value, best):
        """Whether a value is better than the best so far (None: there is none) by min_delta."""
        if math.isnan(value):
            return False
        return best is None or self._sign * (value - best) > self.min_delta
