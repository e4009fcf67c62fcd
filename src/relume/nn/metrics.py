"""Metrics of predictions, computed in float64.

Each is a function of the targets y in the form of the predictions, of the predictions, of the
outputs z (logits) from which the predictions were made, and of the weights of the rows, or None.
Weights count as in scikit-learn's functions of the same names.
"""

import inspect
import numbers
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from relume import validation
from relume.keywords import meant, misfit
from relume.nn.losses import Loss


def _mean(values, weight):
    """The mean over rows, by their weights, and over the columns if there are any."""
    return np.average(values, axis=0, weights=weight).mean()


def _accuracy(y, predicted, z, weight):
    """The share of rows predicted correctly; with several labels a row, all must be right."""
    right = predicted == y
    return _mean(right if right.ndim == 1 else right.all(axis=1), weight)


def _one_label(y, name):
    if y.ndim != 1:
        raise ValueError(f"metric {name!r} needs one label per row, got y of shape {y.shape}")


def _balanced_accuracy(y, predicted, z, weight):
    """The mean recall of the classes in y; those whose rows all have weight 0 do not count."""
    _one_label(y, "balanced_accuracy")
    weight = _ones(y) if weight is None else weight
    right = weight * (predicted == y)
    totals = {label: weight[y == label].sum() for label in np.unique(y)}
    return np.mean([right[y == label].sum() / total for label, total in totals.items() if total])


def _ones(y):
    return np.ones(len(y))


def _f1(y, predicted, z, weight):
    """F1 of class 1 if there are two classes, else the mean over the labels or occurring classes.

    F1 is 2 tp / (2 tp + fp + fn), or 0 where that is 0 / 0.
    """
    if y.ndim == 2:
        pairs = [(y[:, j] == 1, predicted[:, j] == 1) for j in range(y.shape[1])]
    else:
        labels = [1] if z.shape[1] <= 2 else np.union1d(y, predicted)
        pairs = [(y == label, predicted == label) for label in labels]
    weight = _ones(y) if weight is None else weight
    sums = [((a & b) @ weight, a @ weight + b @ weight) for a, b in pairs]
    return np.mean([2 * hits / total if total else 0.0 for hits, total in sums])


def _log_loss(y, predicted, z, weight):
    """The negative log-likelihood of y, without weights or label smoothing."""
    z = z.astype(np.float64)
    if y.ndim == 2 or z.shape[1] == 1:
        return _mean(np.logaddexp(0, np.where(y.reshape(z.shape) == 1, -z, z)), weight)
    return _mean(np.logaddexp.reduce(z, axis=1) - z[np.arange(len(y)), y], weight)


def _top_5_accuracy(y, predicted, z, weight):
    """The share of rows in which fewer than five outputs are larger than that of the label."""
    _one_label(y, "top_5_accuracy")
    if z.shape[1] == 1:
        return 1.0
    return _mean((z > z[np.arange(len(y)), y, None]).sum(axis=1) < 5, weight)


def _errors(y, predicted):
    return predicted.astype(np.float64) - y.astype(np.float64)


def _mae(y, predicted, z, weight):
    return _mean(np.abs(_errors(y, predicted)), weight)


def _mse(y, predicted, z, weight):
    return _mean(np.square(_errors(y, predicted)), weight)


def _rmse(y, predicted, z, weight):
    return np.sqrt(_mse(y, predicted, z, weight))


def _r2(y, predicted, z, weight):
    """The coefficient of determination, averaged over the outputs, as in scikit-learn.

    For an output whose y is constant it is 1 if all predictions are right, else 0. It is NaN for a
    single row.
    """
    if len(y) < 2:
        return np.nan
    weight = _ones(y) if weight is None else weight
    errors = weight @ np.square(_errors(y, predicted))
    y = y.astype(np.float64)
    about_mean = weight @ np.square(y - np.average(y, axis=0, weights=weight))
    constant = np.where(errors == 0, 1.0, 0.0)
    varying = 1 - errors / np.where(about_mean == 0, 1, about_mean)
    return np.where(about_mean == 0, constant, varying).mean()


OF_CLASSES: dict[str, Callable[..., Any]] = {
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
    "f1": _f1,
    "log_loss": _log_loss,
    "top_5_accuracy": _top_5_accuracy,
}
OF_VALUES: dict[str, Callable[..., Any]] = {"mae": _mae, "mse": _mse, "r2": _r2, "rmse": _rmse}


class Metric(NamedTuple):
    """A metric: its name, and a function of y, predictions, outputs and weights."""

    name: str
    function: Callable[..., Any]


def metrics_of(values: Iterable[str | Callable[..., float]] | None, loss: Loss) -> list[Metric]:
    """Metrics from names and callables; None means the accuracy under a classification loss.

    A callable is a function ``(y_true, y_pred) -> float``, where ``y_pred`` is what `predict`
    returns, of shape (n,) for one output. One that has a parameter ``sample_weight`` is given the
    weights of the rows, if there are any. One whose second parameter is named ``y_score``,
    ``y_proba`` or ``y_prob`` is given probabilities.
    """
    if values is None:
        values = ["accuracy"] if loss.classifies else []
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise TypeError(
            f"metrics must be a list of names and callables, got {validation.shown(values)}"
            f"{_listed(values)}"
        )
    metrics = [_metric_of(value, loss) for value in values]
    names = [metric.name for metric in metrics]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice or "loss" in names:
        raise ValueError(f"metrics must have different names, none of them 'loss'; got {names}")
    return metrics


def _listed(values):
    """What a single metric would be in a list."""
    name = values if callable(values) else meant(values, [*OF_CLASSES, *OF_VALUES])
    if name is None:
        return ""
    return f"; did you mean [{getattr(name, '__name__', repr(name))}]?"


def _metric_of(value, loss):
    if isinstance(value, str):
        known, others = (OF_CLASSES, OF_VALUES)[:: 1 if loss.classifies else -1]
        if value in others:
            kind = "values" if loss.classifies else "class labels"
            raise ValueError(
                f"a metric under {loss.name} must be one of {', '.join(known)}; got {value!r}, "
                f"which is for {kind}"
            )
        return Metric(value, known[validation.choice(value, f"a metric under {loss.name}", known)])
    if not callable(value):
        raise TypeError(f"metrics must be names or callables, got {validation.shown(value)}")
    name = getattr(value, "__name__", type(value).__name__)

    weighs, scores = _takes_weights(value), _takes_scores(value)
    if scores and not loss.classifies:
        raise ValueError(
            f"metric {name} takes probabilities of classes, which loss={loss.name!r} does not have"
        )

    def metric(y, predicted, z, weight):
        weights = {} if weight is None or not weighs else {"sample_weight": weight}
        if scores:
            predicted = _scores(loss.probabilities(z))
        try:
            result = value(y, predicted, **weights)
        except TypeError as error:
            call = "metric(y_true, y_pred)"
            raise misfit(error, value, call, y, predicted) from error.__cause__
        if not isinstance(result, numbers.Real) and np.ndim(result) != 0:
            raise TypeError(f"metric {name} must return a number, got {validation.shown(result)}")
        return result

    return Metric(name, metric)


def _takes_weights(function):
    """Whether a function has a parameter sample_weight, as scikit-learn's metrics have."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # of some functions written in C
        return False
    each = parameters.get("sample_weight")
    return each is not None and each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)


def _takes_scores(function):
    """Whether a function takes probabilities, as scikit-learn names the parameter of some."""
    try:
        _, second, *_ = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False
    return second in ("y_score", "y_proba", "y_prob")


def _scores(probabilities):
    """The probabilities of class 1 of two classes, else those of all classes."""
    return probabilities[:, 1] if probabilities.shape[1] == 2 else probabilities


def metric_values(
    metrics: list[Metric],
    loss: Loss,
    z: NDArray[np.floating],
    y: NDArray[np.generic],
    weight: NDArray[np.floating] | None = None,
) -> dict[str, float]:
    """The metrics of the outputs z against y, which is what the loss's `targets` returned."""
    if not metrics:
        return {}
    y, predicted = loss.expected(y), loss.predictions(z)
    weight = None if weight is None else weight.astype(np.float64)
    return {metric.name: float(metric.function(y, predicted, z, weight)) for metric in metrics}
