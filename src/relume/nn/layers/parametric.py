"""Layers: what a network is a list of. Each says which steps the engine makes of it."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from relume.functional.activations import ROWS
from relume import validation as checks
from relume.nn.layers.parametric import initializers
from relume.nn.layers.activations import Activation, activation_of
from relume.nn.configurable import Described

Spec = dict[str, Any]


class Layer(Described):
    """What all layers have in common.

    Examples
    --------
    >>> from relume import nn
    >>> isinstance(nn.Dropout(0.2), nn.Layer)
    True
    """

    def modules(self) -> list[list[Spec]]:
        """The steps of the engine's plan, in the modules of PyTorch that do the same."""
        return [[{**self.spec(), "layer": self}]]

    def spec(self) -> Spec:
        """What the plan takes for a layer that is one step."""
        raise NotImplementedError

    def draw(self, rng: np.random.Generator, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Give the step's parameters, by name, their initial values."""


class Elementwise(Layer):
    """A layer that stands for a `Dense`'s activation too: by an object, its class or its name."""

    name: ClassVar[str]
    initializer: ClassVar[str] = "he"  # the family of initial weights that suits it

    @property
    def slope(self) -> float:
        """What it multiplies negative inputs by, at the beginning."""
        return 0.0


class PReLU(Elementwise):
    """A leaky ReLU that learns its slope below 0: `relume.prelu`.

    Parameters
    ----------
    init : float, default=0.25
        The slope at the beginning.
    per_unit : bool, default=False
        Whether each unit has a slope of its own; else all of the layer share one.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as said.

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
        self.init: float = checks.number(init, "init", "a finite number", np.isfinite)
        self.per_unit: bool = checks.flag(per_unit, "per_unit")

    @property
    def slope(self) -> float:
        """The slope at the beginning."""
        return self.init

    def spec(self) -> Spec:
        """A step with parameters."""
        return {"kind": "prelu", "activation": _PRELU, "per_unit": self.per_unit}

    def draw(self, rng: np.random.Generator, arrays: Mapping[str, NDArray[Any]]) -> None:
        """All slopes alike."""
        arrays["weight"][...] = self.init


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
        If an argument is not as said.

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
        self.upper: float = checks.number(upper, "upper", "a finite number", np.isfinite)
        self.lower: float = checks.number(
            lower, "lower", f"at most upper={self.upper}", lambda x: x <= self.upper
        )

    @property
    def slope(self) -> float:
        """The mean slope."""
        return (self.lower + self.upper) / 2

    def spec(self) -> Spec:
        """A step of random slopes."""
        numbers = (self.slope, self.lower, self.upper)
        return {"kind": "rrelu", "activation": _PRELU, "numbers": numbers}


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
        If the argument is not as said.

    Notes
    -----
    Accurate to a few units in the last place where ``abs(omega * x)`` is below 6,000 in float32
    and 10**8 in float64.

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
        self.omega: float = checks.positive(omega, "omega")

    def spec(self) -> Spec:
        """A step with one number."""
        return {"kind": "sine", "numbers": (self.omega,)}


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
        If the argument is not as said.

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
        self.threshold: float = checks.not_negative(threshold, "threshold")

    def spec(self) -> Spec:
        """The step of `nn.Threshold`."""
        numbers = (self.threshold, 0.0)
        return {"kind": "activation", "activation": ROWS["threshold"]["index"], "numbers": numbers}


ELEMENTWISE: dict[str, type[Elementwise]] = {
    cls.name: cls for cls in (PReLU, RReLU, Sine, FATReLU)
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


class Dense(Layer):
    """A fully connected layer: ``activation(x @ weight + bias)``.

    Parameters
    ----------
    units : int
        Number of outputs, at least 1.
    activation : str, Activation, PReLU, RReLU, Sine, FATReLU or None, default=None
        Name of a function of relume, such as ``"relu"``, or an activation with parameters, such as
        ``nn.LeakyReLU(0.1)``. None and ``"linear"`` leave the layer linear, as the last one is
        under the losses of relume.
    use_bias : bool, default=True
        Whether a bias is added.
    weight_init : str, Initializer or None, default=None
        What draws the initial weights, such as ``"orthogonal"`` or ``nn.HeUniform()``. None
        follows the activation, see Notes.
    bias_init : float or Initializer, default=0.0
        The initial biases.
    l1, l2 : float, default=0.0
        ``l1 * sum(abs(weight)) + l2 * sum(weight**2)`` is added to the loss; at least 0. Biases
        are not penalized.
    max_norm : float or None, default=None
        After each step the weights into a unit are scaled down to this norm where they exceed it.
    trainable : bool, default=True
        Whether training changes the layer, a learnt slope of its activation too.
    lr_scale : float, default=1.0
        Factor of the learning rate for this layer, greater than 0.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as said; ValueError for the heaviside function, which has no slope to
        learn by.

    Notes
    -----
    Without `weight_init` weights begin normally distributed: He for rectifiers, with the gain of
    their slope below 0, Glorot for sigmoid and tanh, LeCun for selu and for a linear layer.

    Examples
    --------
    >>> from relume import nn
    >>> nn.Dense(64, activation="relu")
    Dense(64, activation=ReLU())
    """

    def __init__(
        self,
        units: int,
        activation: str | Activation | Elementwise | type[Activation | Elementwise] | None = None,
        use_bias: bool = True,
        weight_init: str | initializers.Initializer | None = None,
        bias_init: float | initializers.Initializer = 0.0,
        l1: float = 0.0,
        l2: float = 0.0,
        max_norm: float | None = None,
        trainable: bool = True,
        lr_scale: float = 1.0,
    ) -> None:
        self.units: int = checks.integer(units, "units")
        self.activation = elementwise_of(activation)
        self.use_bias: bool = checks.flag(use_bias, "use_bias")
        self.weight_init = initializers.initializer_of(weight_init)
        if not isinstance(bias_init, initializers.Initializer):
            bias_init = checks.number(bias_init, "bias_init", "a finite number", np.isfinite)
        self.bias_init: float | initializers.Initializer = bias_init
        self.l1: float = checks.not_negative(l1, "l1")
        self.l2: float = checks.not_negative(l2, "l2")
        self.max_norm = None if max_norm is None else checks.positive(max_norm, "max_norm")
        self.trainable: bool = checks.flag(trainable, "trainable")
        self.lr_scale: float = checks.positive(lr_scale, "lr_scale")

    def modules(self) -> list[list[Spec]]:
        """A product, and the activation as a module of its own."""
        modules = [*super().modules(), *(self.activation.modules() if self.activation else [])]
        learning = {"trainable": self.trainable, "lr_scale": self.lr_scale}
        return [[spec | learning for spec in module] for module in modules]

    def spec(self) -> Spec:
        """The product."""
        return {
            "kind": "dense", "n_out": self.units, "bias": self.use_bias, "l1": self.l1,
            "l2": self.l2, "max_norm": self.max_norm or 0.0,
        }  # fmt: skip

    def __repr__(self) -> str:
        defaults = inspect.signature(type(self)).parameters
        given = [
            f"{name}={value!r}"
            for name, value in self.config().items()
            if name != "units" and value != defaults[name].default
        ]
        return f"Dense({', '.join([str(self.units), *given])})"

    def draw(self, rng: np.random.Generator, arrays: Mapping[str, NDArray[Any]]) -> None:
        """As the initializers say."""
        weight = arrays["weight"]
        n_in, n_out = weight.shape
        weight[:] = initializers.draw(rng, self.activation, n_in, n_out, self.weight_init)
        if self.use_bias and isinstance(self.bias_init, initializers.Initializer):
            arrays["bias"][:] = self.bias_init.draw(rng, n_in, n_out)[0]
        elif self.use_bias:
            arrays["bias"][:] = self.bias_init


class Residual(Layer):
    """Layers past which their input goes too: ``layers(x) + x``.

    Where the layers change the width, what goes past them is ``x @ weight``, a learnt projection
    without a bias.

    Parameters
    ----------
    layers : list of Layer
        At least one of them a `Dense`.

    Raises
    ------
    TypeError, ValueError
        If `layers` is not as said.

    Notes
    -----
    As module k of a network it has the parameters ``"k.layers.0.weight"`` and so on, and
    ``"k.projection.weight"`` if there is one.

    References
    ----------
    K. He et al., "Deep residual learning for image recognition", CVPR 2016.

    Examples
    --------
    >>> from relume import nn
    >>> nn.Residual([nn.Dense(64, activation="relu"), nn.Dense(64)])
    Residual(layers=[Dense(64, activation=ReLU()), Dense(64)])
    """

    def __init__(self, layers: Sequence[Layer | Activation]) -> None:
        self.layers = checked_layers(layers, "layers of nn.Residual")
        if width_of(self.layers) is None:
            raise ValueError(
                "layers of nn.Residual must hold a Dense, since without one nothing is learnt "
                f"that its input does not hold; got {layers!r}"
            )

    def modules(self) -> list[list[Spec]]:
        """One module: a fork, the layers, and where they meet their input again."""
        inner = [spec | {"name": f"layers.{spec['name']}"} for spec in steps_of(self.layers)]
        join = {"kind": "join", "name": "projection", "layer": self}
        return [[{"kind": "fork", "layer": self}, *inner, join]]

    def draw(self, rng: np.random.Generator, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The projection as a linear layer's."""
        if "weight" in arrays:
            weight = arrays["weight"]
            weight[:] = initializers.draw(rng, None, *weight.shape)


def checked_layers(layers: Any, name: str) -> list[Layer | Activation]:
    """A list of layers; the first that is none is named."""
    if not isinstance(layers, list | tuple):
        raise TypeError(f"{name} must be a list of layers, got {layers!r}")
    if not layers:
        raise ValueError(f"{name} must hold at least one layer, got an empty list")
    for i, layer in enumerate(layers):
        if not isinstance(layer, Layer | Activation):
            raise TypeError(f"{name}[{i}] must be a layer such as nn.Dense, got {layer!r}")
    return list(layers)


def steps_of(layers: Sequence[Layer | Activation]) -> list[Spec]:
    """The steps of the engine's plan: each with its kind's needs, its name, and its layer."""
    modules = [module for layer in layers for module in layer.modules()]
    return [
        spec | {"name": f"{index}.{spec['name']}" if "name" in spec else f"{index}"}
        for index, module in enumerate(modules)
        for spec in module
    ]


def width_of(layers: Sequence[Layer | Activation]) -> int | None:
    """The number of outputs; None where no layer sets it."""
    for layer in reversed(layers):
        if isinstance(layer, Dense):
            return layer.units
        if isinstance(layer, Residual):
            return width_of(layer.layers)
    return None
