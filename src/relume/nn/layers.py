"""Layers, and the activation classes made from the kernels' table, one a row that names one."""

import inspect
import math

from relume.activations import ROWS, holds, parameters_of
from relume.nn import checks


class Activation:
    """An activation with its parameters; the subclasses are made from the table of kernels."""

    row = None

    def __init__(self, *args, **kwargs):
        bound = self.__signature__.bind(*args, **kwargs)
        bound.apply_defaults()
        self.parameters = bound.arguments
        for name, value in bound.arguments.items():
            bound.arguments[name] = checks.number(value, name, "a finite number", math.isfinite)
        if not holds(self.row["domain"], bound.arguments):
            raise ValueError(f"{self!r} needs {self.row['domain']}")

    @property
    def name(self):
        """The function's name in relume."""
        return self.row["name"]

    @property
    def initializer(self):
        """The family of initial weights that suits it."""
        return self.row["initializer"]

    @property
    def from_output(self):
        """Whether the derivative can be had from the output, so that the input is not kept."""
        return "backward_from_output" in self.row["directions"] and holds(
            self.row["from_output_domain"], self.parameters
        )

    def __repr__(self):
        values = ", ".join(f"{name}={value!r}" for name, value in self.parameters.items())
        return f"{type(self).__name__}({values})"

    def __eq__(self, other):
        return type(self) is type(other) and self.parameters == other.parameters

    def __hash__(self):
        return hash((type(self), *self.parameters.values()))


def _activation_class(row):
    parameters = [
        inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default)
        for name, default in parameters_of(row).items()
    ]
    doc = f"{row['summary']}\n\n``{row['formula']}``; see `relume.{row['name']}`."
    members = {
        "row": row,
        "__doc__": doc,
        "__module__": "relume.nn",
        "__signature__": inspect.Signature(parameters),
    }
    return type(row["layer"], (Activation,), members)


ACTIVATIONS = {name: _activation_class(row) for name, row in ROWS.items() if row["layer"]}


def activation_of(value):
    """An Activation, or None for a linear layer, from what a user may give for one."""
    if value is None or isinstance(value, Activation):
        return value
    if isinstance(value, type) and issubclass(value, Activation) and value.row is not None:
        return value()
    if not isinstance(value, str):
        raise TypeError(
            f"activation must be a name, an activation of relume.nn or None, got {value!r}"
        )
    name = checks.choice(value, "activation", [*ACTIVATIONS, "linear"])
    return None if name == "linear" else ACTIVATIONS[name]()


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

    def __init__(self, units, activation=None):
        self.units = checks.integer(units, "units")
        self.activation = activation_of(activation)

    def __repr__(self):
        activation = "" if self.activation is None else f", activation={self.activation!r}"
        return f"Dense({self.units}{activation})"

    def compiled(self):
        """What the engine's plan takes for this layer."""
        if self.activation is None:
            return self.units, -1, ()
        values = self.activation.parameters.values()
        return self.units, self.activation.row["index"], (self.activation.from_output, *values)
