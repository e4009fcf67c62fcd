"""Layers."""

from typing import Any

from relume.nn import checks
from relume.nn.activations import Activation, activation_of


class Dense:
    """A fully connected layer: ``activation(x @ weight + bias)``.

    Parameters
    ----------
    units : int
        Number of outputs, at least 1.
    activation : str, Activation or None, default=None
        Name of a function of relume, such as ``"relu"``, or an activation with parameters, such as
        ``nn.LeakyReLU(0.1)``. None and ``"linear"`` leave the layer linear, as the last one is
        under both losses.

    Raises
    ------
    TypeError
        If an argument is of the wrong type.
    ValueError
        If `units` is less than 1, or the activation is unknown.

    Notes
    -----
    Weights begin normally distributed: He for rectifiers, Glorot for sigmoid and tanh, LeCun for a
    linear layer; biases at 0.

    Examples
    --------
    >>> from relume import nn
    >>> nn.Dense(64, activation="relu")
    Dense(64, activation=ReLU())
    """

    def __init__(
        self, units: int, activation: str | Activation | type[Activation] | None = None
    ) -> None:
        self.units: int = checks.integer(units, "units")
        self.activation = activation_of(activation)

    def __repr__(self) -> str:
        activation = "" if self.activation is None else f", activation={self.activation!r}"
        return f"Dense({self.units}{activation})"

    def compiled(self) -> tuple[int, int, tuple[Any, ...]]:
        """What the engine's plan takes for this layer."""
        if self.activation is None:
            return self.units, -1, ()
        values = self.activation.parameters.values()
        return self.units, self.activation.row["index"], (self.activation.from_output, *values)
