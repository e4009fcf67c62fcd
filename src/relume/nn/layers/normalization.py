"""Layers that shift and scale: by a minibatch, by a row, or by the training data."""

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from relume import validation
from relume.engine.op_spec import OpSpec
from relume.nn.layers.layer import Layer
from relume.nn.layers.traits import OnnxGraph, Values

__all__ = ["BatchNorm", "GroupNorm", "LayerNorm", "Scale", "Standardize"]


class BatchNorm(Layer):
    """Normalizes each unit over the minibatch, then scales and shifts it as it learns.

    ``weight * (x - mean) / sqrt(var + eps) + bias``. In training mean and variance are the
    minibatch's; in prediction they are running means,
    ``running = (1 - momentum) * running + momentum * batch``, of the variance without bias: as
    ``torch.nn.BatchNorm1d``.

    Parameters
    ----------
    eps : float, default=1e-5
        Greater than 0.
    momentum : float, default=0.1
        Greater than 0 and at most 1.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid; in training, where a minibatch has one row. A last
        minibatch of one row joins the one before it.
    FloatingPointError
        In prediction, if ``running_mean`` or ``running_var`` is not finite.

    Notes
    -----
    Units are normalized as in exact arithmetic, also where their variance is beyond the dtype:
    float32 holds values of 1e20, but no variance of 1e40. Such a variance makes ``running_var``
    infinite, and prediction then raises an error: put `Standardize` first, or use
    ``dtype="float64"``. A running variance below the normal numbers of the dtype counts as 0.

    References
    ----------
    S. Ioffe and C. Szegedy, "Batch normalization", ICML 2015.

    Examples
    --------
    >>> from relume import nn
    >>> nn.BatchNorm()
    BatchNorm(eps=1e-05, momentum=0.1)
    """

    normalizes = True
    tells_width = "weight"
    constraints: ClassVar = {"running_var": ("no negative values", lambda values: values >= 0)}

    def __init__(self, eps: float = 1e-5, momentum: float = 0.1) -> None:
        self.eps: float = validation.positive(eps, "eps")
        self.momentum: float = validation.number(
            momentum, "momentum", "greater than 0 and at most 1", lambda x: 0 < x <= 1
        )

    def spec(self) -> OpSpec:
        """An op with parameters and statistics."""
        return OpSpec(kind="batch_norm", numbers=(self.eps, self.momentum))

    def draw(self, rng: np.random.Generator, arrays: Values) -> None:
        """The normalization alone, and the statistics of a normalized input."""
        arrays["weight"][:] = arrays["running_var"][:] = 1

    def to_onnx(self, g: OnnxGraph, x: str, op: OpSpec, values: Values) -> str:
        """By the running mean and variance.

        The mean is subtracted before, since runtimes fold it into a shift and lose the digits that
        it has in common with x: at 1,000 standard deviations ONNX Runtime 1.32 then errs by 1e-4.
        The operator's eps is in float32, and before operator set 14 the evaluation that comes with
        onnx takes it for the one of training; then there is a product instead.
        """
        if g.dtype != np.float32 or g.opset < 14:
            factor = values["weight"] / np.sqrt(values["running_var"] + self.eps)
            centered = g.node("Sub", x, values["running_mean"])
            return g.node("Add", g.node("Mul", centered, factor), values["bias"])
        mean, variance, weight, bias = (
            g.constant(values[name], f"{op.name}.{name}")
            for name in ("running_mean", "running_var", "weight", "bias")
        )
        inputs = (g.node("Sub", x, mean), weight, bias, np.zeros_like(values["bias"]), variance)
        return g.node("BatchNormalization", *inputs, epsilon=self.eps)

    def affine(self, values: Values) -> tuple[NDArray[Any], NDArray[Any]]:
        """By the running mean and variance."""
        variance = values["running_var"].astype(np.float64)
        factor = values["weight"] / np.sqrt(variance + self.eps)
        return factor, values["bias"] - values["running_mean"] * factor


class LayerNorm(Layer):
    """Normalizes each row over its units, then scales and shifts each unit as it learns.

    ``weight * (x - mean) / sqrt(var + eps) + bias``, mean and variance being the row's: as
    ``torch.nn.LayerNorm``.

    Parameters
    ----------
    eps : float, default=1e-5
        Greater than 0.

    Raises
    ------
    TypeError, ValueError
        If the argument is invalid.

    References
    ----------
    J. L. Ba, J. R. Kiros and G. E. Hinton, "Layer normalization", arXiv:1607.06450.

    Examples
    --------
    >>> from relume import nn
    >>> nn.LayerNorm()
    LayerNorm(eps=1e-05)
    """

    normalizes = True
    tells_width = "weight"

    def __init__(self, eps: float = 1e-5) -> None:
        self.eps: float = validation.positive(eps, "eps")

    def spec(self) -> OpSpec:
        """An op with parameters."""
        return OpSpec(kind="layer_norm", numbers=(self.eps,))

    def draw(self, rng: np.random.Generator, arrays: Values) -> None:
        """The normalization alone."""
        arrays["weight"][:] = 1

    def to_onnx(self, g: OnnxGraph, x: str, op: OpSpec, values: Values) -> str:
        """Over the units of a row."""
        weight, bias = (
            g.constant(values[name], f"{op.name}.{name}") for name in ("weight", "bias")
        )
        return _layer_normalization(g, x, weight, bias, self.eps)


def _layer_normalization(g: OnnxGraph, x: str, weight: str, bias: str, eps: float) -> str:
    """Over the last axis: one operator since operator set 17.

    Its standard deviation is in float32 by default, also of float64.
    """
    if g.opset >= 17 and g.dtype == np.float32:
        return g.node("LayerNormalization", x, weight, bias, epsilon=eps)
    centered = g.node("Sub", x, _mean(g, x))
    variance = _mean(g, g.node("Mul", centered, centered))
    normal = g.node("Div", centered, g.node("Sqrt", g.node("Add", variance, eps)))
    return g.node("Add", g.node("Mul", normal, weight), bias)


def _mean(g: OnnxGraph, x: str) -> str:
    """Over the last axis, which stays; its axes are an input since operator set 18."""
    if g.opset < 18:
        return g.node("ReduceMean", x, axes=[-1], keepdims=1)
    return g.node("ReduceMean", x, np.array([-1]), keepdims=1)


class GroupNorm(Layer):
    """Normalizes each group of a row's units, then scales and shifts each unit as it learns.

    ``weight * (x - mean) / sqrt(var + eps) + bias``. Mean and variance are those of one row over
    the units of one group, as in ``torch.nn.GroupNorm(groups, units)``. A group is a run of
    ``units / groups`` neighboring units.

    Parameters
    ----------
    groups : int
        Number of groups, at least 1. It must divide the number of units.
    eps : float, default=1e-5
        Added to the variance, greater than 0.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid. A ValueError also where the network is built, if `groups` does
        not divide the number of units.

    References
    ----------
    Y. Wu and K. He, "Group normalization", ECCV 2018.

    Examples
    --------
    >>> from relume import nn
    >>> nn.GroupNorm(4)
    GroupNorm(groups=4, eps=1e-05)
    """

    normalizes = True
    tells_width = "weight"

    def __init__(self, groups: int, eps: float = 1e-5) -> None:
        self.groups: int = validation.integer(groups, "groups")
        self.eps: float = validation.positive(eps, "eps")

    def spec(self) -> OpSpec:
        """An op with parameters."""
        return OpSpec(kind="group_norm", numbers=(self.eps,), integers=(self.groups,))

    def draw(self, rng: np.random.Generator, arrays: Values) -> None:
        """The normalization alone."""
        arrays["weight"][:] = 1

    def to_onnx(self, g: OnnxGraph, x: str, op: OpSpec, values: Values) -> str:
        """A LayerNormalization of the groups as rows, then what is learned.

        The GroupNormalization of operator set 20 takes a weight for each group, not for each unit.
        """
        units = len(values["weight"])
        one = np.ones(units // self.groups, values["weight"].dtype)
        rows = g.node("Reshape", x, np.array([-1, self.groups, len(one)]))
        normal = _layer_normalization(g, rows, g.constant(one), g.constant(0 * one), self.eps)
        normal = g.node("Reshape", normal, np.array([-1, units]))
        weight, bias = (
            g.constant(values[name], f"{op.name}.{name}") for name in ("weight", "bias")
        )
        return g.node("Add", g.node("Mul", normal, weight), bias)


class Standardize(Layer):
    """Shifts and scales each feature to mean 0 and standard deviation 1 of the training data.

    ``(x - mean) / scale``. Both are learned from the data of the first ``fit`` and stored with the
    model, so that predictions take raw features. Only as a network's first layer.

    Parameters
    ----------
    with_mean : bool, default=True
        Whether to subtract the mean; for sparse input it never is.

    Raises
    ------
    TypeError
        If the argument is invalid.

    Notes
    -----
    As scikit-learn's ``StandardScaler``, a feature that is constant is not scaled.

    Mean and scale are computed in float64, from the data in the dtype that it has, and the mean is
    kept in float64. It is subtracted before anything is rounded to the dtype of the network: a
    float64 feature in seconds since 1970 keeps its digits in a float32 network, and so do int64
    values.

    The layer learns once: from all rows of the first `Network.fit`, or from the first minibatch of
    `Network.train_on_batch` or ``forward(X, training=True)``. The beginning of an iterable of
    minibatches does not tell the mean of all rows, so a fit of an iterable raises a ValueError if
    the layer has not learned before. Until it has, predictions take features as they are.

    Examples
    --------
    >>> import numpy as np
    >>> from relume import nn
    >>> net = nn.Network([nn.Standardize(), nn.Dense(1)], loss="mse", seed=0)
    >>> history = net.fit([[1000.0], [3000.0]], [0.0, 1.0])
    >>> net.state_dict()["0.mean"], net.state_dict()["0.scale"]
    (array([2000.]), array([1000.], dtype=float32))
    """

    tells_width = "mean"
    constraints: ClassVar = {"scale": ("values greater than 0", lambda values: values > 0)}

    def __init__(self, with_mean: bool = True) -> None:
        self.with_mean: bool = validation.flag(with_mean, "with_mean")

    def spec(self) -> OpSpec:
        """An op with statistics only."""
        return OpSpec(kind="standardize")

    def draw(self, rng: np.random.Generator, arrays: Values) -> None:
        """The identity, until it has seen data."""
        arrays["scale"][:] = 1

    def to_onnx(self, g: OnnxGraph, x: str, op: OpSpec, values: Values) -> str:
        """By the training data's mean and scale."""
        mean = values["mean"]
        difference = g.subtract(x, mean, values["scale"], f"{op.name}.mean")
        return g.node("Div", difference, values["scale"])

    def affine(self, values: Values) -> tuple[NDArray[Any], NDArray[Any]]:
        """(x - mean) / scale."""
        scale = values["scale"].astype(np.float64)
        return 1 / scale, -values["mean"] / scale


class Scale(Layer):
    """Multiplies each unit by a factor that is learned, which begins at 1.

    ``x * weight``, with one weight per unit.

    Notes
    -----
    PyTorch has no such module. As module k of a network its only parameter is ``"k.weight"``, of
    shape (units,).

    Examples
    --------
    >>> from relume import nn
    >>> net = nn.Network([nn.Dense(4, "relu"), nn.Scale(), nn.Dense(3)], seed=0).build(2)
    >>> net.state_dict()["2.weight"]
    array([1., 1., 1., 1.], dtype=float32)
    """

    unitwise = True
    tells_width = "weight"

    def spec(self) -> OpSpec:
        """An op with one parameter."""
        return OpSpec(kind="scale")

    def draw(self, rng: np.random.Generator, arrays: Values) -> None:
        """The identity."""
        arrays["weight"][:] = 1

    def to_onnx(self, g: OnnxGraph, x: str, op: OpSpec, values: Values) -> str:
        """A product."""
        return g.node("Mul", x, g.constant(values["weight"], f"{op.name}.weight"))

    def affine(self, values: Values) -> tuple[NDArray[Any], NDArray[Any]]:
        """The factors, and no shift."""
        factor = values["weight"].astype(np.float64)
        return factor, np.zeros_like(factor)
