"""Losses: what y must be, and what the outputs mean. The arithmetic is in the kernels.

An output z of the last layer is a logit, the logarithm of a rate, or a value.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

import relume
from relume import validation
from relume.keywords import misfit
from relume.nn.configurable import Configurable
from relume.nn.target_advice import about_labels, about_shape, about_zeros_and_ones


class Loss(Configurable):
    """Base class of the losses; its methods suit losses whose outputs are values.

    Examples
    --------
    >>> from relume import nn
    >>> isinstance(nn.Huber(), nn.Loss)
    True
    """

    name: ClassVar[str] = ""
    outputs: str = "values"  # what they are: a key of MEANINGS, or "log_rates"
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
        array = validation.as_array(y, name)
        if array.dtype.kind in "USO":
            raise TypeError(
                f"{name} must hold real numbers under loss={self.name!r}, got dtype "
                f"{array.dtype}; for class labels, use loss='cross_entropy'"
            )
        return _of_outputs(validation.finite(y, name, dtype), y, name, n_out, self.name)

    def predictions(self, z: NDArray[Any]) -> NDArray[Any]:
        """The predictions that outputs stand for: here the outputs themselves."""
        return _without_column(z)

    def expected(self, y: NDArray[Any]) -> NDArray[Any]:
        """The targets in the shape and meaning of `predictions`."""
        return _without_column(y)

    def probabilities(self, z: NDArray[Any]) -> NDArray[Any]:
        """The probability of each class; RuntimeError where there are none."""
        raise RuntimeError(f"loss={self.name!r} has no class probabilities; use predict")


def _of_outputs(values, y, name, n_out, loss):
    """The values as a matrix of n_out columns; y is what was given, for the error."""
    if values.ndim == 1 and n_out == 1:
        values = values.reshape(-1, 1)
    if values.ndim != 2 or values.shape[1] != n_out:
        raise ValueError(
            f"{name} must have shape (n, {n_out}), as the network has outputs; got {np.shape(y)}"
            f"{about_shape(np.asarray(y), n_out, loss)}"
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
            f"shape (n, {n_out}); got {labels.shape}{about_labels(labels, n_out)}"
        )
    allowed = f"0 to {n_out - 1}" if n_out > 1 else "0, the class of the only output"
    if labels.dtype.kind not in "iubf":
        raise TypeError(
            f"{name} must hold integer class labels {allowed}, got dtype {labels.dtype}"
            f"{about_labels(labels, n_out)}"
        )
    if labels.dtype.kind == "f" and not np.array_equal(labels, np.floor(labels)):
        strange = labels[~(labels == np.floor(labels))][0]
        raise ValueError(
            f"{name} must hold integer class labels {allowed}, got {strange}"
            f"{about_labels(labels, n_out)}"
        )
    if not _are_below(labels, n_out):
        strange = labels[(labels < 0) | (labels >= n_out)][0]
        raise ValueError(
            f"{name} must hold class labels {allowed}, since the network has {n_out} "
            f"output{'s' if n_out > 1 else ''}; got {strange}{about_labels(labels, n_out)}"
        )
    return validation.contiguous(labels, np.int64)


def _are_below(labels, n):
    """Whether labels are at least 0 and less than n; a negative one is a large unsigned one."""
    if labels.size == 0:
        return True
    if labels.dtype.kind == "i":
        return bool(labels.view(labels.dtype.str.replace("i", "u")).max() < n)
    return labels.min() >= 0 and labels.max() < n


def _label_smoothing(value):
    return validation.number(
        value, "label_smoothing", "at least 0 and at most 1", lambda x: 0 <= x <= 1
    )


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
    outputs = "logits"
    classifies = True
    scales = False

    def __init__(self, label_smoothing: float = 0.0) -> None:
        self.label_smoothing: float = _label_smoothing(label_smoothing)

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
        return y.astype(np.int64, copy=False) if y.ndim == 1 else y.argmax(axis=1)

    def probabilities(self, z: NDArray[Any]) -> NDArray[Any]:
        """The softmax of the outputs."""
        return relume.softmax(z, axis=1)


class BinaryCrossEntropy(Loss):
    """``-w * y * log sigmoid(z) - (1 - y) * log sigmoid(-z)``, the mean over outputs.

    One output for two classes, y of shape (n_samples,), or an output for each of n labels of which
    any number may hold, y of shape (n_samples, n); y holds 0 and 1, or probabilities between them:
    as ``torch.nn.BCEWithLogitsLoss``. The prediction is 1 where z is greater than 0. Metrics count
    a probability as the label 1 where it is greater than 0.5.

    Parameters
    ----------
    pos_weight : float, sequence of float or None, default=None
        Weight w of the positives, greater than 0: one for all outputs, or one each. None is 1.
    label_smoothing : float, default=0.0
        Share of a target that is spread evenly over the two classes, from 0 to 1: y becomes
        ``(1 - label_smoothing) * y + label_smoothing / 2``, as in `CrossEntropy`.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid.

    Examples
    --------
    >>> from relume import nn
    >>> nn.BinaryCrossEntropy(pos_weight=[1.0, 20.0])
    BinaryCrossEntropy(pos_weight=[1.0, 20.0])
    """

    name = "binary_cross_entropy"
    outputs = "log_odds"
    classifies = True
    scales = False

    def __init__(
        self,
        pos_weight: float | Sequence[float] | None = None,
        label_smoothing: float = 0.0,
    ) -> None:
        self.pos_weight: float | list[float] | None = None
        if isinstance(pos_weight, list | tuple | np.ndarray) and np.ndim(pos_weight) == 1:
            self.pos_weight = [
                validation.positive(each, f"pos_weight[{i}]") for i, each in enumerate(pos_weight)
            ]
        elif pos_weight is not None:
            self.pos_weight = validation.positive(pos_weight, "pos_weight")
        self.label_smoothing: float = _label_smoothing(label_smoothing)

    def config(self) -> dict[str, Any]:
        """The arguments; without label smoothing as earlier versions of relume read them.

        Returns
        -------
        config : dict of str to object
        """
        config = super().config()
        return config if self.label_smoothing else {"pos_weight": config["pos_weight"]}

    def kernel(self, y: NDArray[Any]) -> str:
        """One that smooths, and a faster one that does not."""
        return f"smoothed_{self.name}" if self.label_smoothing else self.name

    def numbers(self, n_out: int, dtype: DTypeLike) -> NDArray[Any]:
        """The weight of each output's positives, and the label smoothing if there is one."""
        weights = [1.0] if self.pos_weight is None else np.atleast_1d(self.pos_weight)
        if len(weights) not in (1, n_out):
            many = f"1 or {n_out} weights" if n_out > 1 else "1 weight"
            raise ValueError(
                f"pos_weight must hold {many}, as the network has outputs; got {len(weights)}"
            )
        smoothing = [self.label_smoothing] if self.label_smoothing else []
        return np.array([*np.broadcast_to(weights, n_out), *smoothing], dtype)

    def targets(self, y: ArrayLike, name: str, n_out: int, dtype: DTypeLike) -> NDArray[Any]:
        """0, 1 and probabilities in the dtype, a column for each output."""
        values, allowed = validation.as_array(y, name), "0 and 1, or probabilities between them"
        if values.dtype.kind not in "iubf":
            raise TypeError(
                f"{name} must hold {allowed}, got dtype {values.dtype}"
                f"{about_zeros_and_ones(values)}"
            )
        strange = values[~((values >= 0) & (values <= 1))]  # NaN too
        if strange.size:
            raise ValueError(
                f"{name} must hold {allowed}, got {strange.flat[0]}{about_zeros_and_ones(values)}"
            )
        return _of_outputs(validation.contiguous(values, dtype), y, name, n_out, self.name)

    def predictions(self, z: NDArray[Any]) -> NDArray[Any]:
        """0 and 1 as int64, of shape (n,) for one output."""
        return _without_column((z > 0).astype(np.int64))

    def expected(self, y: NDArray[Any]) -> NDArray[Any]:
        """0 and 1 as int64, of shape (n,) for one output: 1 where it is more probable than 0."""
        return _without_column((y > 0.5).astype(np.int64))

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
    q : float or sequence of float, default=0.5
        Greater than 0 and less than 1. Several quantiles, in ascending order, need an output each:
        ``nn.Quantile([0.1, 0.5, 0.9])`` and a last layer of 3 units for y of shape (n_samples,).
        For y of shape (n_samples, m) the first 3 outputs are the quantiles of the first column,
        and so on. y may also have a column for each output.

    Raises
    ------
    TypeError, ValueError
        If the argument is invalid.

    Notes
    -----
    Several quantiles never cross: `Network.predict` sorts those of each column. Sorting never
    increases the loss, and brings estimates that cross nearer to the true quantiles
    (Chernozhukov, Fernández-Val and Galichon). Training and `Network.forward` use the outputs as
    they are. Metrics such as ``"mae"`` compare each quantile with y.

    References
    ----------
    R. Koenker and G. Bassett, "Regression quantiles", Econometrica 46, 1978. V. Chernozhukov,
    I. Fernández-Val and A. Galichon, "Quantile and probability curves without crossing",
    Econometrica 78, 2010.

    Examples
    --------
    >>> from relume import nn
    >>> nn.Quantile(0.9)
    Quantile(q=0.9)
    >>> nn.Quantile([0.1, 0.5, 0.9])
    Quantile(q=[0.1, 0.5, 0.9])
    """

    name = "quantile"

    def __init__(self, q: float | Sequence[float] = 0.5) -> None:
        self.q: float | list[float]
        if not isinstance(q, list | tuple | np.ndarray):
            self.q = _quantile(q, "q")
            return
        if np.ndim(q) != 1 or len(q) == 0:
            raise ValueError(f"q must be a number or a list of at least one number, got {q!r}")
        self.q = [_quantile(each, f"q[{i}]") for i, each in enumerate(q)]
        if any(a >= b for a, b in itertools.pairwise(self.q)):
            raise ValueError(f"q must hold quantiles in ascending order, got {self.q}")

    @property
    def n_quantiles(self) -> int:
        """The number of outputs for each column of y."""
        return len(self.q) if isinstance(self.q, list) else 1

    def numbers(self, n_out: int, dtype: DTypeLike) -> NDArray[Any]:
        """The quantile of each output."""
        n = self.n_quantiles
        if n_out % n:
            raise ValueError(
                f"q must hold as many quantiles as the network has outputs for each column of y: "
                f"{n} quantiles need {n} outputs, or a multiple of {n}; got {n_out} outputs"
            )
        return np.resize(np.array(self.q, dtype), n_out)

    def targets(self, y: ArrayLike, name: str, n_out: int, dtype: DTypeLike) -> NDArray[Any]:
        """Values, each as often as there are quantiles."""
        n = self.n_quantiles
        self.numbers(n_out, dtype)  # raises where there are too many or too few outputs
        if n == 1 or np.shape(y)[1:] == (n_out,):
            return super().targets(y, name, n_out, dtype)
        if np.ndim(y) == 1 and n_out != n:
            raise ValueError(
                f"{name} must have shape (n, {n_out // n}), or a column for each output; got "
                f"{np.shape(y)}; the last layer must be nn.Dense({n}) for {n} quantiles of one "
                "value a row"
            )
        return np.repeat(super().targets(y, name, n_out // n, dtype), n, axis=1)

    def predictions(self, z: NDArray[Any]) -> NDArray[Any]:
        """The outputs, those of several quantiles sorted."""
        n = self.n_quantiles
        if n == 1:
            return super().predictions(z)
        return np.sort(z.reshape(len(z), z.shape[1] // n, n), axis=2).reshape(z.shape)


def _quantile(value, name):
    return validation.number(value, name, "greater than 0 and less than 1", lambda x: 0 < x < 1)


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
    outputs = "log_rates"
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
    `check_loss` compares the gradient with differences of the loss.

    Parameters
    ----------
    function : callable
        ``(y_true, y_pred) -> (loss, grad)``.
    outputs : {"values", "logits", "log_odds"}, default="values"
        What the outputs are. "values" are predictions as they are. "logits" have a softmax that
        gives the probability of each class; "log_odds" have a sigmoid that gives the probability
        of class 1, or of each of several labels. The network then predicts labels, has
        `Network.predict_proba` and the metrics of classifiers; for these, y holds labels as
        `CrossEntropy` or `BinaryCrossEntropy` takes them, or probabilities.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid.

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

    def __init__(
        self,
        function: Callable[..., Any],
        outputs: Literal["values", "logits", "log_odds"] = "values",
    ) -> None:
        if isinstance(function, type) or not callable(function):
            raise TypeError(
                "function must be a function (y_true, y_pred) -> (loss, grad), "
                f"got {validation.shown(function)}"
            )
        self.function = function
        self.outputs: str = validation.choice(outputs, "outputs", MEANINGS)

    @property
    def name(self) -> str:  # type: ignore[override]
        """The function's name."""
        return getattr(self.function, "__qualname__", type(self.function).__qualname__)

    @property
    def classifies(self) -> bool:  # type: ignore[override]
        """Whether the outputs are of classes."""
        return self.outputs != "values"

    def predictions(self, z: NDArray[Any]) -> NDArray[Any]:
        """Labels where the outputs are of classes, else the outputs."""
        return MEANINGS[self.outputs].predictions(z)

    def probabilities(self, z: NDArray[Any]) -> NDArray[Any]:
        """The probability of each class; RuntimeError where there are none."""
        if not self.classifies:
            raise RuntimeError(
                f"loss={self.name!r} has no class probabilities; use predict, or say what the "
                "outputs are: nn.PythonLoss(function, outputs='logits') or 'log_odds'"
            )
        return MEANINGS[self.outputs].probabilities(z)

    def expected(self, y: NDArray[Any]) -> NDArray[Any]:
        """Labels where the outputs are of classes, else y."""
        return MEANINGS[self.outputs].expected(y)

    def for_engine(
        self, y: NDArray[Any], n_out: int, dtype: DTypeLike
    ) -> Callable[..., tuple[float, NDArray[Any]]]:
        """The loss itself, which the engine calls."""
        return self

    def targets(self, y: ArrayLike, name: str, n_out: int, dtype: DTypeLike) -> NDArray[Any]:
        """Any real numbers; labels must be those of outputs that are logits."""
        array = validation.real(y, name)
        if self.outputs == "logits" and array.ndim == 1:
            _labels(array, name, n_out)
        return np.require(array, array.dtype.newbyteorder("="), ["C", "A"])

    def __call__(self, y: NDArray[Any], z: NDArray[Any]) -> tuple[float, NDArray[Any]]:
        """The loss and its gradient by z, checked."""
        try:
            result = self.function(y, z)
        except TypeError as error:
            raise misfit(error, self.function, "loss(y_true, y_pred)", y, z) from error.__cause__
        if not isinstance(result, tuple | list) or len(result) != 2:
            raise TypeError(f"{self.name} must return (loss, grad), got {type(result)}")
        loss, grad = result
        try:
            if isinstance(loss, str | bytes) or np.ndim(loss) != 0:
                raise TypeError
            value = float(loss)
        except (TypeError, ValueError):
            raise TypeError(
                f"the loss of {self.name} must be a number, got {validation.shown(loss)}"
            ) from None
        grad = validation.real(grad, f"the gradient of {self.name}")
        if grad.shape != z.shape:
            raise ValueError(
                f"the gradient of {self.name} must have the shape {z.shape} of the outputs, "
                f"got {grad.shape}"
            )
        return value, validation.contiguous(grad, z.dtype)


MEANINGS: dict[str, Loss] = {
    "values": Loss(), "logits": CrossEntropy(), "log_odds": BinaryCrossEntropy()
}  # fmt: skip  # of outputs, by losses that share it

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
            f"function (y_true, y_pred) -> (loss, grad); got {validation.shown(value)}"
            f"{validation.instance(value)}"
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
