"""Activations with parameters of their own: learned, drawn, or given."""

from typing import Any

import numpy as np

from relume import validation
from relume.engine.op_spec import OpSpec
from relume.functional.activations import ROWS
from relume.nn.layers.activations import Activation, activation_of
from relume.nn.layers.layer import Elementwise
from relume.nn.layers.traits import OnnxGraph, Values

__all__ = ["FATReLU", "PReLU", "RReLU", "Sine"]


class PReLU(Elementwise):
    """A leaky ReLU that learns its slope below 0: `relume.prelu`.

    Parameters
    ----------
    init : float, default=0.25
        The slope at the beginning.
    per_unit : bool, default=False
        Whether each unit has its own slope. Otherwise all units of the layer share one.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid.

    References
    ----------
    K. He et al., "Delving deep into rectifiers", ICCV 2015.

    Examples
    --------
    >>> from relume import nn
    >>> nn.Dense(64, activation=nn.PReLU(per_unit=True))
    Dense(64, activation=PReLU(init=0.25, per_unit=True))
    """

    name = "prelu"

    def __init__(self, init: float = 0.25, per_unit: bool = False) -> None:
        self.init: float = validation.number(init, "init", "a finite number", np.isfinite)
        self.per_unit: bool = validation.flag(per_unit, "per_unit")

    @property
    def slope(self) -> float:
        """The slope at the beginning."""
        return self.init

    def spec(self) -> OpSpec:
        """An op with parameters."""
        per_unit = int(self.per_unit)
        return OpSpec(kind="prelu", activation=_PRELU, integers=(per_unit,))

    def draw(self, rng: np.random.Generator, arrays: Values) -> None:
        """All slopes alike."""
        arrays["weight"][...] = self.init

    def to_onnx(self, g: OnnxGraph, x: str, op: OpSpec, values: Values) -> str:
        """One slope, or one a unit."""
        slope = g.constant(values["weight"].ravel(), f"{op.name}.weight")
        if g.dtype != np.float32:  # ONNX Runtime has PRelu for float32 alone
            return g.node("Where", g.node("Greater", x, 0.0), x, g.node("Mul", x, slope))
        return g.node("PRelu", x, slope)


class RReLU(Elementwise):
    """A leaky ReLU whose slopes are drawn anew for each element in training: `relume.rrelu`.

    In prediction the slope is the mean of both bounds.

    Parameters
    ----------
    lower, upper : float, default=1/8, 1/3
        The slopes are uniform between them.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid.

    References
    ----------
    B. Xu et al., "Empirical evaluation of rectified activations in convolutional network",
    arXiv:1505.00853.

    Examples
    --------
    >>> from relume import nn
    >>> nn.Dense(64, activation=nn.RReLU(0.1, 0.3))
    Dense(64, activation=RReLU(lower=0.1, upper=0.3))
    """

    name = "rrelu"

    def __init__(self, lower: float = 1 / 8, upper: float = 1 / 3) -> None:
        self.upper: float = validation.number(upper, "upper", "a finite number", np.isfinite)
        self.lower: float = validation.number(
            lower, "lower", f"at most upper={self.upper}", lambda x: x <= self.upper
        )

    @property
    def slope(self) -> float:
        """The mean slope."""
        return (self.lower + self.upper) / 2

    def spec(self) -> OpSpec:
        """An op of random slopes."""
        numbers = (self.slope, self.lower, self.upper)
        return OpSpec(kind="rrelu", activation=_PRELU, numbers=numbers)

    def to_onnx(self, g: OnnxGraph, x: str, op: OpSpec, values: Values) -> str:
        """With the mean slope."""
        return g.activation("leaky_relu", x, self.slope)


class Sine(Elementwise):
    """``sin(omega * x)``: for targets that repeat.

    Parameters
    ----------
    omega : float, default=1.0
        Angular frequency, greater than 0. 30 is usual in the first layer of an implicit
        representation of signals.

    Raises
    ------
    TypeError, ValueError
        If the argument is invalid.

    Notes
    -----
    The sine of the product ``omega * x`` rounded to the dtype, and its cosine on the way back,
    are right to 4 ULP of 1 for every finite product; an infinite one gives NaN. Products above
    6,000 in float32 and 10**8 in float64 take several times as long.

    References
    ----------
    V. Sitzmann et al., "Implicit neural representations with periodic activation functions",
    NeurIPS 2020.

    Examples
    --------
    >>> from relume import nn
    >>> nn.Dense(64, activation=nn.Sine(omega=30.0))
    Dense(64, activation=Sine(omega=30.0))
    """

    name = "sine"
    initializer = "lecun"

    def __init__(self, omega: float = 1.0) -> None:
        self.omega: float = validation.positive(omega, "omega")

    def spec(self) -> OpSpec:
        """An op with one number."""
        return OpSpec(kind="sine", numbers=(self.omega,))

    def to_onnx(self, g: OnnxGraph, x: str, op: OpSpec, values: Values) -> str:
        """A product, then the sine."""
        return g.node("Sin", g.node("Mul", x, self.omega))


class FATReLU(Elementwise):
    """A ReLU with a threshold: ``x where x > threshold, else 0``, as `nn.Threshold` with value 0.

    The higher the threshold, the more zeros, whose products the engine can skip.

    Parameters
    ----------
    threshold : float, default=0.1
        At least 0; 0 makes it a ReLU.

    Raises
    ------
    TypeError, ValueError
        If the argument is invalid.

    Notes
    -----
    The paper lets an ``x`` equal to the threshold pass; here it gives 0, as does PyTorch's
    threshold. The derivative is 0 there.

    References
    ----------
    M. Kurtz et al., "Inducing and exploiting activation sparsity for fast inference on deep
    neural networks", ICML 2020.

    Examples
    --------
    >>> from relume import nn
    >>> nn.Dense(64, activation=nn.FATReLU(0.2))
    Dense(64, activation=FATReLU(threshold=0.2))
    """

    name = "fat_relu"

    def __init__(self, threshold: float = 0.1) -> None:
        self.threshold: float = validation.not_negative(threshold, "threshold")

    def spec(self) -> OpSpec:
        """The op of `nn.Threshold`."""
        index, numbers = ROWS["threshold"]["index"], (self.threshold, 0.0)
        return OpSpec(kind="activation", activation=index, numbers=numbers)

    def to_onnx(self, g: OnnxGraph, x: str, op: OpSpec, values: Values) -> str:
        """Those of `nn.Threshold`."""
        return g.activation("threshold", x, self.threshold, 0.0)


ELEMENTWISE: dict[str, type[Elementwise]] = {
    cls.name: cls for cls in (globals()[name] for name in __all__)
}
_PRELU = ROWS["prelu"]["index"]


def elementwise_of(value: Any) -> Activation | Elementwise | None:
    """What a `Dense` ends in, from what a user may give for it; None leaves it linear."""
    if isinstance(value, Elementwise):
        return value
    if isinstance(value, type) and value in ELEMENTWISE.values():
        return value()
    if isinstance(value, str) and value in ELEMENTWISE:
        return ELEMENTWISE[value]()
    return activation_of(value, more=ELEMENTWISE)
