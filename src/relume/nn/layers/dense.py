"""The fully connected layer."""

import inspect
from dataclasses import replace

import numpy as np

from relume import validation
from relume.engine.op_spec import OpSpec
from relume.nn.layers import initializers
from relume.nn.layers.activations import Activation
from relume.nn.layers.layer import Elementwise, Layer
from relume.nn.layers.parametric import elementwise_of
from relume.nn.layers.traits import OnnxGraph, Values

__all__ = ["Dense"]


class Dense(Layer):
    """A fully connected layer: ``activation(x @ weight + bias)``.

    Parameters
    ----------
    units : int
        Number of outputs, at least 1.
    activation : str, Activation, PReLU, RReLU, Sine, FATReLU or None, default=None
        Name of an activation function, such as ``"relu"``, or an activation object, such as
        ``nn.LeakyReLU(0.1)``. None and ``"linear"`` leave the layer linear, as relume's losses
        expect the last layer to be.
    use_bias : bool, default=True
        Whether to add a bias.
    weight_init : str, Initializer or None, default=None
        Initializer of the weights, such as ``"orthogonal"`` or ``nn.HeUniform()``. None chooses
        one that suits the activation, see Notes.
    bias_init : float or Initializer, default=0.0
        Initial value of the biases, or their initializer.
    l1, l2 : float, default=0.0
        Strength of the penalties ``l1 * sum(abs(weight)) + l2 * sum(weight**2)``, which are added
        to the loss; at least 0. Biases are not penalized.
    max_norm : float or None, default=None
        Maximum norm of the weights into a unit. After each step, weights whose norm is larger are
        scaled down to it. None means no limit.
    trainable : bool, default=True
        Whether training changes the layer, including the learned slope of an activation such as
        `nn.PReLU`.
    lr_scale : float, default=1.0
        Factor by which the learning rate of this layer is multiplied, greater than 0.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid. The heaviside function is not allowed: its derivative is 0, so
        nothing could be learned through it.

    Notes
    -----
    Without `weight_init`, the initial weights are normally distributed: He for rectifiers, with a
    gain that depends on their slope below 0; Glorot for sigmoid and tanh; LeCun for selu and for
    linear layers.

    Examples
    --------
    >>> from relume import nn
    >>> nn.Dense(64, activation="relu")
    Dense(64, activation=ReLU())
    """

    tells_width = "weight"

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
        self.units: int = validation.integer(units, "units")
        self.activation = elementwise_of(activation)
        self.use_bias: bool = validation.flag(use_bias, "use_bias")
        self.weight_init = initializers.initializer_of(weight_init)
        if not isinstance(bias_init, initializers.Initializer):
            bias_init = validation.number(bias_init, "bias_init", "a finite number", np.isfinite)
        self.bias_init: float | initializers.Initializer = bias_init
        self.l1: float = validation.not_negative(l1, "l1")
        self.l2: float = validation.not_negative(l2, "l2")
        self.max_norm = None if max_norm is None else validation.positive(max_norm, "max_norm")
        self.trainable: bool = validation.flag(trainable, "trainable")
        self.lr_scale: float = validation.positive(lr_scale, "lr_scale")

    def modules(self) -> list[list[OpSpec]]:
        """A product, and the activation as a module of its own."""
        modules = [*super().modules(), *(self.activation.modules() if self.activation else [])]
        return [
            [replace(op, trainable=self.trainable, lr_scale=self.lr_scale) for op in module]
            for module in modules
        ]

    def spec(self) -> OpSpec:
        """The product."""
        return OpSpec(
            kind="dense", units=validation.integer(self.units, "units"), bias=self.use_bias,
            l1=self.l1, l2=self.l2, max_norm=self.max_norm or 0.0,
        )  # fmt: skip

    def to_onnx(self, g: OnnxGraph, x: str, op: OpSpec, values: Values) -> str:
        """x @ weight.T + bias, with the weight as `state_dict` has it."""
        inputs = [g.constant(values[name], f"{op.name}.{name}") for name in values]
        return g.node("Gemm", x, *inputs, transB=1)

    def __repr__(self) -> str:
        defaults = inspect.signature(type(self)).parameters
        given = [
            f"{name}={value!r}"
            for name, value in self.config().items()
            if name != "units" and value != defaults[name].default
        ]
        return f"Dense({', '.join([str(self.units), *given])})"

    def draw(self, rng: np.random.Generator, arrays: Values) -> None:
        """As the initializers say."""
        weight = arrays["weight"]
        n_in, n_out = weight.shape
        weight[:] = initializers.draw(rng, self.activation, n_in, n_out, self.weight_init)
        if self.use_bias and isinstance(self.bias_init, initializers.Initializer):
            arrays["bias"][:] = self.bias_init.draw(rng, n_in, n_out)[0]
        elif self.use_bias:
            arrays["bias"][:] = self.bias_init
