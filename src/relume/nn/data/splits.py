"""Rows held out for validation, and the weights of classes."""

from collections.abc import Mapping

import numpy as np

from relume import validation
from relume.nn.losses import PythonLoss


def split(X, y, weight, share, validation_data):
    """The rows to train on, and the last `share` of them to evaluate, or None."""
    share = validation.fraction(share, "validation_split")
    if share == 0:
        return (X, y, weight), None
    if validation_data is not None:
        raise ValueError("validation_data must be None where validation_split is given")
    n = len(X) - int(len(X) * share)
    if n == len(X):
        raise ValueError(
            f"validation_split must leave a row of X to evaluate, got {share} of {len(X)}"
        )
    pairs = [
        (None, None) if each is None else (_part(each, slice(n)), _part(each, slice(n, None)))
        for each in (X, y, weight)
    ]
    trained, held_out = zip(*pairs, strict=True)
    for rows, name in ((trained, "trained on"), (held_out, "held out by validation_split")):
        if rows[2] is not None and not rows[2].any():
            raise ValueError(f"sample_weight must not be 0 for all of the rows {name}")
    return trained, held_out


def _part(values, rows):
    return values[rows] if isinstance(values, np.ndarray) else values.part(rows)


def class_weights(class_weight, loss, n_out, y, weight, dtype):
    """The weights of rows with labels y, multiplied by those of their classes.

    Rows of weight 0 are not trained on, and do not count in the balance.
    """
    if class_weight is None:
        return weight
    each = weights_of_labels(class_weight, loss, n_out, y, weight)
    each = np.asarray(each, dtype)[loss.expected(y)]
    return validation.weights(
        each if weight is None else each * weight, "class_weight", dtype, len(y)
    )


def weights_of_labels(class_weight, loss, n_out, y, weight):
    """The weight of each label, 0 and up."""
    classes = max(n_out, 2)  # one output is of two classes
    if isinstance(loss, PythonLoss):
        raise ValueError("class_weight must be None for a loss written in Python")
    if not loss.classifies or loss.expected(y).ndim != 1:
        raise ValueError(
            f"class_weight needs one label per row, but loss={loss.name!r} takes other targets"
        )
    if isinstance(class_weight, str):
        validation.choice(class_weight, "class_weight", ["balanced"])
        kept = None if weight is None else weight > 0
        return balanced(np.bincount(loss.expected(y), kept, classes))
    if not isinstance(class_weight, Mapping):
        raise TypeError(
            f"class_weight must be a dict, 'balanced' or None, got {type(class_weight)}"
        )
    for k, value in class_weight.items():
        if k not in range(classes):
            raise ValueError(
                f"class_weight must have labels 0 to {classes - 1} as keys, "
                f"got {validation.shown(k)}"
            )
        validation.not_negative(value, f"class_weight[{k}]")
    return [class_weight.get(k, 1.0) for k in range(classes)]


def balanced(counts):
    """The weight of each class, by its rows, that gives all the same sum; 1 where it has none."""
    present = counts > 0
    return np.where(present, counts.sum() / (present.sum() * np.maximum(counts, 1)), 1.0)
