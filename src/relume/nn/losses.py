"""Losses: what y must be, and what the outputs mean. The arithmetic is in the kernels.

An output z of the last layer is a logit, the logarithm of a rate, or a value.
"""

import numbers
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

import relume
from relume import validation
from relume.nn.configurable import Configurable


class Loss(Configurable):
    """What all losses have in common, and what holds for losses whose outputs are values.

    Examples
    --------
    >>> from relume import nn
    >>> isinstance(nn.Huber(), nn.Loss)
    True
    """

    name: ClassVar[str] = ""
    classifies: ClassVar[bool] = False
    scales: ClassVar[bool] = True  # whether targets may be shifted and scaled

    def kernel(self, y: NDArray[Any]) -> str:
        """The name of the kernel for y as `targets` gives it."""
        return self.name

    def numbers(self, n_out: int, dtype: DTypeLike) -> NDArray[Any]:
        """The kernel's numbers for a network of so many outputs."""
        return np.zeros(0, dtype)

    def for_engine(
        self, y: NDArray[Any], n_out: int, dtype: DTypeLike
    ) -> tuple[str, NDArray[Any]] | Callable[..., tuple[float, NDArray[Any]]]:
        """The loss as the engine takes it: a kernel's name and numbers, or a Python function.

        Parameters
        ----------
        y : ndarray
            Targets as `targets` returns them.
        n_out : int
            Number of outputs of the network.
        dtype : dtype
            The network's.
        """
        return self.kernel(y), self.numbers(n_out, dtype)

    def targets(self, y: ArrayLike, name: str, n_out: int, dtype: DTypeLike) -> NDArray[Any]:
        """What y must be for the engine: here values, a column for a network of one output."""
        return _of_outputs(validation.finite(y, name, dtype), y, name, n_out)

    def predictions(self, z: NDArray[Any]) -> NDArray[Any]:
        """The predictions that outputs stand for: here the outputs themselves."""
        return _without_column(z)

    def expected(self, y: NDArray[Any]) -> NDArray[Any]:
        """The targets in the shape and meaning of `predictions`."""
        return _without_column(y)

    def probabilities(self, z: NDArray[Any]) -> NDArray[Any]:
        """The probability of each class; RuntimeError where there are none."""
        raise RuntimeError(f"loss={self.name!r} has no class probabilities; use predict")


def _of_outputs(values, y, name, n_out):
    """The values as a matrix of n_out columns; y is what was given, for the error."""
    if values.ndim == 1 and n_out == 1:
        values = values.reshape(-1, 1)
    if values.ndim != 2 or values.shape[1] != n_out:
        raise ValueError(
            f"{name} must have shape (n, {n_out}), as the network has outputs; got {np.shape(y)}"
        )
    return values


def _without_column(z):
    return z.ravel() if z.ndim == 2 and z.shape[1] == 1 else z


def _labels(labels, name, n_out):
    """Class labels 0 .. n_out - 1 as int64; a column of them counts as a vector."""
    if labels.ndim == 2 and labels.shape[1] == 1 and n_out > 1:
        labels = labels.ravel()
    if labels.ndim != 1:
        raise ValueError(
            f"{name} must hold one class label a row, shape (n,), or a probability of each class, "
            f"shape (n, {n_out}); got {labels.shape}"
        )
    if labels.dtype.kind not in "iubf":
        raise TypeError(
            f"{name} must hold integer class labels 0 to {n_out - 1}, got dtype {labels.dtype}"
        )
    if labels.dtype.kind == "f" and not np.array_equal(labels, np.floor(labels)):
        strange = labels[~(labels == np.floor(labels))][0]
        raise ValueError(f"{name} must hold integer class labels 0 to {n_out - 1}, got {strange}")
    if labels.size and (labels.min() < 0 or labels.max() >= n_out):
        strange = labels[(labels < 0) | (labels >= n_out)][0]
        raise ValueError(
            f"{name} must hold class labels 0 to {n_out - 1}, since the network has {n_out} "
            f"outputs; got {strange}"
        )
    return validation.contiguous(labels, np.int64)


class CrossEntropy(Loss):
    """``-log softmax(z)[label]``, or ``-sum(t * log softmax(z))`` for rows t of probabilities.

    One output a class. y holds labels 0 to n - 1, shape (n_samples,), or one-hot or soft labels,
    shape (n_samples, n); rows that do not sum to 1 count by their sum: as
    ``torch.nn.CrossEntropyLoss``.

    Parameters
    ----------
    label_smoothing : float, default=0.0
        Share of a target that is spread evenly over all classes, from 0 to 1.

    Raises
    ------
    TypeError, ValueError
        If the argument is invalid.

    References
    ----------
    C. Szegedy et al., "Rethinking the Inception architecture for computer vision", CVPR 2016.

    Examples
    --------
    >>> from relume import nn
    >>> nn.CrossEntropy(label_smoothing=0.1)
    CrossEntropy(label_smoothing=0.1)
    """

    name = "cross_entropy"
    classifies = True
    scales = False

    def __init__(self, label_smoothing: float = 0.0) -> None:
        self.label_smoothing: float = validation.number(
            label_smoothing, "label_smoothing", "at least 0 and at most 1", lambda x: 0 <= x <= 1
        )

    def kernel(self, y: NDArray[Any]) -> str:
        """One for labels, one for probabilities."""
        return "cross_entropy" if y.ndim == 1 else "soft_cross_entropy"

    def numbers(self, n_out: int, dtype: DTypeLike) -> NDArray[Any]:
        """The label smoothing."""
        return np.array([self.label_smoothing], dtype)

    def targets(self, y: ArrayLike, name: str, n_out: int, dtype: DTypeLike) -> NDArray[Any]:
        """Labels as int64, probabilities in the dtype."""
        y = validation.as_array(y, name)
        if y.ndim != 2 or y.shape[1] != n_out or n_out == 1:
            return _labels(y, name, n_out)
        values = validation.finite(y, name, dtype)
        if values.min(initial=0) < 0:
            raise ValueError(f"{name} must hold probabilities, at least 0, got {values.min()}")
        return values

    def predictions(self, z: NDArray[Any]) -> NDArray[Any]:
        """The label of the largest output."""
        return z.argmax(axis=1)

    def expected(self, y: NDArray[Any]) -> NDArray[Any]:
        """Labels; for probabilities, the most probable label."""
        return y if y.ndim == 1 else y.argmax(axis=1)

    def probabilities(self, z: NDArray[Any]) -> NDArray[Any]:
        """The softmax of the outputs."""
        return relume.softmax(z, axis=1)


class BinaryCrossEntropy(Loss):
    """``-w * y * log sigmoid(z) - (1 - y) * log sigmoid(-z)``, the mean over outputs.

    One output for two classes, y of shape (n_samples,), or an output for each of n labels of which
    any number may hold, y of shape (n_samples, n); y holds 0 and 1: as
    ``torch.nn.BCEWithLogitsLoss``. The prediction is 1 where z is greater than 0.

    Parameters
    ----------
    pos_weight : float, sequence of float or None, default=None
        Weight w of the positives, greater than 0: one for all outputs, or one each. None is 1.

    Raises
    ------
    TypeError, ValueError
        If the argument is invalid.

    Examples
    --------
    >>> from relume import nn
    >>> nn.BinaryCrossEntropy(pos_weight=[1.0, 20.0])
    BinaryCrossEntropy(pos_weight=[1.0, 20.0])
    """

    name = "binary_cross_entropy"
    classifies = True
    scales = False

    def __init__(self, pos_weight: float | Sequence[float] | None = None) -> None:
        self.pos_weight: float | list[float] | None = None
        if isinstance(pos_weight, list | tuple | np.ndarray) and np.ndim(pos_weight) == 1:
            self.pos_weight = [
                validation.positive(each, f"pos_weight[{i}]") for i, each in enumerate(pos_weight)
            ]
        elif pos_weight is not None:
            self.pos_weight = validation.positive(pos_weight, "pos_weight")

    def numbers(self, n_out: int, dtype: DTypeLike) -> NDArray[Any]:
        """The weight of each output's positives."""
        weights = [1.0] if self.pos_weight is None else np.atleast_1d(self.pos_weight)
        if len(weights) not in (1, n_out):
            raise ValueError(
                f"pos_weight must hold 1 or {n_out} weights, as the network has outputs; "
                f"got {len(weights)}"
            )
        return validation.contiguous(np.broadcast_to(weights, n_out), dtype)

    def targets(self, y: ArrayLike, name: str, n_out: int, dtype: DTypeLike) -> NDArray[Any]:
        """0 and 1 in the dtype, a column for each output."""
        values = validation.as_array(y, name)
        if values.dtype.kind not in "iubf":
            raise TypeError(f"{name} must hold 0 and 1, got dtype {values.dtype}")
        strange = values[(values != 0) & (values != 1)]
        if strange.size:
            raise ValueError(f"{name} must hold 0 and 1, got {strange.flat[0]}")
        return _of_outputs(validation.contiguous(values, dtype), y, name, n_out)

    def predictions(self, z: NDArray[Any]) -> NDArray[Any]:
        """0 and 1 as int64, of shape (n,) for one output."""
        return _without_column((z > 0).astype(np.int64))

    def expected(self, y: NDArray[Any]) -> NDArray[Any]:
        """0 and 1 as int64, of shape (n,) for one output."""
        return _without_column(y.astype(np.int64))

    def probabilities(self, z: NDArray[Any]) -> NDArray[Any]:
        """For one output those of class 0 and 1, shape (n, 2); else that of each label."""
        return relume.sigmoid(np.hstack([-z, z]) if z.shape[1] == 1 else z)


class MSE(Loss):
    """``(z - y)**2``, the mean over outputs.

    Examples
    --------
    >>> from relume import nn
    >>> nn.MSE()
    MSE()
    """

    name = "mse"


class MAE(Loss):
    """``abs(z - y)``, the mean over outputs; the slope is 0 at ``z == y``, as PyTorch's.

    Examples
    --------
    >>> from relume import nn
    >>> nn.MAE()
    MAE()
    """

    name = "mae"


class Huber(Loss):
    """``d**2 / 2`` where ``d = abs(z - y) <= delta``, else ``delta * (d - delta / 2)``.

    The mean over outputs, as ``torch.nn.HuberLoss``.

    Parameters
    ----------
    delta : float, default=1.0
        Greater than 0.

    Raises
    ------
    TypeError, ValueError
        If the argument is invalid.

    References
    ----------
    P. J. Huber, "Robust estimation of a location parameter", Annals of Mathematical Statistics 35,
    1964.

    Examples
    --------
    >>> from relume import nn
    >>> nn.Huber(delta=2.0)
    Huber(delta=2.0)
    """

    name = "huber"

    def __init__(self, delta: float = 1.0) -> None:
        self.delta: float = validation.positive(delta, "delta")

    def numbers(self, n_out: int, dtype: DTypeLike) -> NDArray[Any]:
        """The difference at which the parabola ends."""
        return np.array([self.delta], dtype)


class Quantile(Loss):
    """``max(q * (y - z), (1 - q) * (z - y))``, the pinball loss: z becomes the q-quantile of y.

    The mean over outputs. The slope at ``z == y``, where any number from -q to 1 - q would do, is
    0; with ``q=0.5`` it is half of `MAE` throughout.

    Parameters
    ----------
    q : float, default=0.5
        Greater than 0 and less than 1.

    Raises
    ------
    TypeError, ValueError
        If the argument is invalid.

    References
    ----------
    R. Koenker and G. Bassett, "Regression quantiles", Econometrica 46, 1978.

    Examples
    --------
    >>> from relume import nn
    >>> nn.Quantile(0.9)
    Quantile(q=0.9)
    """

    name = "quantile"

    def __init__(self, q: float = 0.5) -> None:
        self.q: float = validation.number(
            q, "q", "greater than 0 and less than 1", lambda x: 0 < x < 1
        )

    def numbers(self, n_out: int, dtype: DTypeLike) -> NDArray[Any]:
        """The quantile."""
        return np.array([self.q], dtype)


class Poisson(Loss):
    """``exp(z) - y * z``, the mean over outputs: for counts y whose rate is ``exp(z)``.

    As ``torch.nn.PoissonNLLLoss`` with its defaults, without the part that depends on y alone.
    The prediction is the rate.

    Examples
    --------
    >>> from relume import nn
    >>> nn.Poisson()
    Poisson()
    """

    name = "poisson"
    scales = False

    def targets(self, y: ArrayLike, name: str, n_out: int, dtype: DTypeLike) -> NDArray[Any]:
        """Values of at least 0."""
        values = super().targets(y, name, n_out, dtype)
        if values.min(initial=0) < 0:
            raise ValueError(f"{name} must hold counts, at least 0, got {values.min()}")
        return values

    def predictions(self, z: NDArray[Any]) -> NDArray[Any]:
        """The rates."""
        with np.errstate(over="ignore", under="ignore"):
            return np.exp(_without_column(z))


class PythonLoss(Loss):
    """A loss written in Python: a function of y and the outputs, ``(y_true, y_pred)``.

    It returns the mean loss of these rows, a number, and its gradient with respect to ``y_pred``,
    an array of the same shape (n_samples, n_outputs). y comes as it was given, row by row.

    Parameters
    ----------
    function : callable
        ``(y_true, y_pred) -> (loss, grad)``.

    Examples
    --------
    >>> import numpy as np
    >>> from relume import nn
    >>> def fourth_power(y_true, y_pred):
    ...     d = y_pred - y_true[:, None]
    ...     return np.mean(d**4), 4 * d**3 / d.size
    >>> net = nn.Network([nn.Dense(1)], loss=fourth_power)
    """

    scales = False  # y comes as it was given

    def __init__(self, function: Callable[..., Any]) -> None:
        if isinstance(function, type) or not callable(function):
            raise TypeError(
                f"function must be a function (y_true, y_pred) -> (loss, grad), got {function!r}"
            )
        self.function = function

    @property
    def name(self) -> str:  # type: ignore[override]
        """The function's name."""
        return getattr(self.function, "__qualname__", type(self.function).__qualname__)

    def for_engine(
        self, y: NDArray[Any], n_out: int, dtype: DTypeLike
    ) -> Callable[..., tuple[float, NDArray[Any]]]:
        """The loss itself, which the engine calls."""
        return self

    def targets(self, y: ArrayLike, name: str, n_out: int, dtype: DTypeLike) -> NDArray[Any]:
        """Any real numbers."""
        array = validation.real(y, name)
        return np.require(array, array.dtype.newbyteorder("="), ["C", "A"])

    def __call__(self, y: NDArray[Any], z: NDArray[Any]) -> tuple[float, NDArray[Any]]:
        """The loss and its gradient by z, checked."""
        result = self.function(y, z)
        if not isinstance(result, tuple | list) or len(result) != 2:
            raise TypeError(f"{self.name} must return (loss, grad), got {type(result)}")
        loss, grad = result
        if not isinstance(loss, numbers.Real) and np.ndim(loss) != 0:
            raise TypeError(f"the loss of {self.name} must be a number, got {loss!r}")
        grad = validation.real(grad, f"the gradient of {self.name}")
        if grad.shape != z.shape:
            raise ValueError(
                f"the gradient of {self.name} must have the shape {z.shape} of the outputs, "
                f"got {grad.shape}"
            )
        return float(loss), validation.contiguous(grad, z.dtype)


LOSSES: dict[str, type[Loss]] = {
    cls.name: cls for cls in (CrossEntropy, BinaryCrossEntropy, MSE, MAE, Huber, Quantile, Poisson)
}


def loss_of(value: Any) -> Loss:
    """A loss from a loss, its name, or a function."""
    if isinstance(value, Loss):
        return value
    if isinstance(value, str):
        return LOSSES[validation.choice(value, "loss", LOSSES)]()
    if isinstance(value, type) or not callable(value):
        raise TypeError(
            f"loss must be one of {', '.join(LOSSES)}, a loss of relume.nn such as nn.MSE(), or a "
            f"function (y_true, y_pred) -> (loss, grad); got {value!r}"
        )
    return PythonLoss(value)


def targets_of_another(
    old: Loss, new: Loss, y: NDArray[Any], name: str, n_out: int, dtype: DTypeLike
) -> NDArray[Any]:
    """The targets of a running fit, prepared for one loss, as another loss takes them.

    Raises
    ------
    TypeError, ValueError
        If the other loss takes no such targets, or would need them as they were given to `fit`.
    """
    same = isinstance(old, PythonLoss) or not isinstance(new, PythonLoss)
    targets = new.targets(y, name, n_out, dtype)
    if not same or targets.dtype != y.dtype or targets.shape != y.shape:
        raise ValueError(
            f"loss must take the same {name} as {old!r} within a fit, got {new!r}; "
            "end the fit, and call fit again"
        )
    return targets
