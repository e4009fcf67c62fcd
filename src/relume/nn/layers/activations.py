"""The activation classes, made from the kernels' table, one a row that names one."""

import inspect
import math
import numbers
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from relume import validation
from relume.engine.op_spec import OpSpec
from relume.functional.activations import ROWS, holds, parameters_of
from relume.functional.docstrings import in_words
from relume.nn.layers.traits import OnnxGraph, Traits, Values


class Activation(Traits):
    """An activation with its parameters; the subclasses are made from the table of kernels."""

    unitwise: ClassVar[bool] = True
    row: Any = None  # of the table
    parameters: dict[str, float]
    __signature__: inspect.Signature

    def __init__(self, *args: float, **kwargs: float) -> None:
        if self.row is None:
            raise TypeError(
                f"{type(self).__name__} must be one of the activations, such as nn.ReLU(); for "
                "the name of one, use nn.Dense(units, 'relu')"
            )
        bound = self.__signature__.bind(*args, **kwargs)
        bound.apply_defaults()
        vars(self)["parameters"] = bound.arguments
        for name, value in bound.arguments.items():
            bound.arguments[name] = validation.number(
                value, name, "a finite number", math.isfinite
            )
        if not holds(self.row["domain"], bound.arguments):
            raise ValueError(f"{self!r} needs {in_words(self.row['domain'])}")

    if not TYPE_CHECKING:  # a type checker would let any attribute be assigned

        def __setattr__(self, name, value):
            if name in {"parameters", *self.parameters} or (
                not name.startswith("_") and type(self).__module__.startswith("relume.")
            ):
                raise AttributeError(
                    f"{name} of {self!r} cannot be assigned: activations do not change; make "
                    f"another one by {type(self).__name__}{self.__signature__}"
                )
            super().__setattr__(name, value)

    @property
    def name(self) -> str:
        """The function's name in relume."""
        return self.row["name"]

    @property
    def initializer(self) -> str:
        """The family of initial weights that suits it."""
        return self.row["initializer"]

    @property
    def from_output(self) -> bool:
        """Whether the derivative can be had from the output, so that the input is not kept."""
        return "backward_from_output" in self.row["directions"] and holds(
            self.row["from_output_domain"], self.parameters
        )

    @property
    def slope(self) -> float:
        """What it multiplies negative inputs by, where that is a parameter."""
        return self.parameters.get("negative_slope", 0.0)

    def config(self) -> dict[str, float]:
        """The constructor's arguments."""
        return dict(self.parameters)

    def modules(self) -> list[list[OpSpec]]:
        """The one op that the engine makes of it."""
        numbers = tuple(self.parameters.values())
        return [[OpSpec(
            kind="activation", layer=self, activation=self.row["index"], numbers=numbers,
            from_output=self.from_output,
        )]]  # fmt: skip

    def to_onnx(self, g: OnnxGraph, x: str, op: OpSpec, values: Values) -> str:
        """Its operators of relume.onnx.operators."""
        return g.activation(self.name, x, *self.parameters.values())

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={value!r}" for name, value in self.parameters.items())
        return f"{type(self).__name__}({values})"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.parameters == other.parameters

    def __hash__(self) -> int:
        return hash((type(self), *self.parameters.values()))


def _activation_class(row):
    parameters = [
        inspect.Parameter(
            name,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            default=inspect.Parameter.empty if default is None else default,
        )
        for name, default in parameters_of(row).items()
    ]
    doc = f"{row['summary']}\n\n``{row['formula']}``; see `relume.{row['name']}`."
    if parameters:
        doc += "\n\nParameters\n----------"
    for each in parameters:
        optional = "" if each.default is each.empty else f", default={each.default:g}"
        doc += f"\n{each.name} : float{optional}\n    Parameter of the formula above."
    members = {
        "row": row,
        "__doc__": doc,
        "__module__": "relume.nn",
        "__signature__": inspect.Signature(parameters),
    }
    return type(row["layer"], (Activation,), members)


ACTIVATIONS: dict[str, type[Activation]] = {
    name: _activation_class(row) for name, row in ROWS.items() if row["layer"]
}
_classes = {cls.__name__: cls for cls in ACTIVATIONS.values()}
globals().update(_classes)
__all__ = ["Activation", *_classes]


def activation_of(value: Any, more: Iterable[str] = ()) -> Activation | None:
    """An Activation, or None for a linear layer, from what a user may give for one.

    `more` are names that are allowed beside those of the table.
    """
    if value is None or isinstance(value, Activation):
        return value
    if isinstance(value, type) and issubclass(value, Activation) and value.row is not None:
        return _with_defaults(value)
    if value is np.heaviside or (isinstance(value, str) and value == "heaviside"):
        raise ValueError(
            "activation must have a slope to learn by, got heaviside: its derivative is 0 "
            "everywhere, so no gradient would reach the weights of this layer and of those before "
            "it. Use 'sigmoid' or 'hardsigmoid', which are steps with a slope, or 'relu'"
        )
    if isinstance(value, str) and value in ("softmax", "log_softmax"):
        raise ValueError(
            f"activation must be None for outputs of classes, got {value!r}: loss='cross_entropy' "
            "takes logits and has the softmax in it, and predict_proba gives probabilities"
        )
    if not isinstance(value, str):
        raise TypeError(
            "activation must be a name, an activation of relume.nn or None, "
            f"got {validation.shown(value)}{_about_widths(value)}"
        )
    name = validation.choice(value, "activation", [*ACTIVATIONS, *more, "linear"])
    return None if name == "linear" else _with_defaults(ACTIVATIONS[name])


def _about_widths(value):
    """For who gives the widths of a layer's input and output, as PyTorch's Linear takes them."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        return ""
    return f"; for a layer of {value} units write nn.Dense({value}), the input's width is inferred"


def _with_defaults(cls):
    """An activation without arguments; ValueError where it has parameters without defaults."""
    signature = cls.__signature__
    if any(parameter.default is parameter.empty for parameter in signature.parameters.values()):
        raise ValueError(
            f"activation must be given with its parameters, nn.{cls.__name__}{signature}, "
            f"got {cls.row['name']!r}"
        )
    return cls()
