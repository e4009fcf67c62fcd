"""The targets of a classifier: what y may be, the outputs that stand for it, and the way back."""

import functools
import reprlib

import numpy as np
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils.multiclass import unique_labels

import relume
from relume import validation


def _binarizer_of(y):
    """scikit-learn's encoder of labels; an error says which kinds of labels y mixes."""
    try:
        return LabelBinarizer().fit(y)
    except TypeError as error:
        kinds = sorted({type(each).__name__ for each in np.ravel(y)})
        if len(kinds) < 2:
            raise
        raise TypeError(
            f"y must hold labels of one kind, all strings or all numbers; got {', '.join(kinds)}"
        ) from error


class Classes:
    """The classes that y was fitted with.

    `kind` is "binary" (one output), "multiclass" (one output a class) or "multilabel-indicator"
    (one output a label). `softmax` asks for an output a class where there are but two.
    """

    def __init__(self, y, softmax=False):
        self.classes = _few_integers(y)
        if self.classes is not None:
            self.kind = "binary" if len(self.classes) <= 2 else "multiclass"
        else:
            self._binarizer = _binarizer_of(y)
            self.classes = self._binarizer.classes_
            self.kind = self._binarizer.y_type_
        if softmax and self.kind == "binary":
            self.kind = "multiclass"

    @functools.cached_property
    def _binarizer(self):
        """scikit-learn's encoder; as often as they are repeated here, labels raise no warning."""
        return LabelBinarizer().fit(np.repeat(self.classes, 3))

    @property
    def n_outputs(self):
        """How many outputs stand for the classes."""
        return 1 if self.kind == "binary" else len(self.classes)

    def _positions(self, y):
        """The indices of labels among the classes; None where they need a full check."""
        if self.kind == "multilabel-indicator" or y.ndim != 1 or y.dtype.kind == "O":
            return None
        if (y.dtype.kind in "US") != (self.classes.dtype.kind in "US"):
            return None
        positions = np.searchsorted(self.classes, y)
        positions[positions == len(self.classes)] = 0
        return positions if (self.classes[positions] == y).all() else None

    def check(self, y, warm_start):
        """Raise where a y that training goes on with has other classes."""
        positions = self._positions(y)
        if positions is not None:
            n_seen = np.count_nonzero(np.bincount(positions, minlength=len(self.classes)))
            if not warm_start or n_seen == len(self.classes):
                return
        classes = unique_labels(y)
        if warm_start:
            if set(classes) != set(self.classes):
                raise ValueError(
                    "warm_start can only be used where `y` has the same classes as in the "
                    f"previous call to fit. Previously got {self.classes}, `y` has {classes}"
                )
        elif len(np.setdiff1d(classes, self.classes, assume_unique=True)):
            raise ValueError(
                "`y` has classes not in `self.classes_`. "
                f"`self.classes_` has {self.classes}. 'y' has {classes}."
            )

    def encode(self, y, dtype):
        """Labels as int64 for softmax outputs; else columns of 0 and 1."""
        positions = self._positions(y)
        if positions is None:
            columns = self._binarizer.transform(y)
            if self.kind != "multiclass":
                return np.ascontiguousarray(columns, dtype)
            many = columns.shape[1] > 1
            positions = columns.argmax(axis=1) if many else columns[:, 0]
        if self.kind == "multiclass":
            return np.ascontiguousarray(positions, np.int64)
        # With a single class there is nothing to tell it from, and it is 0.
        return np.ascontiguousarray(positions[:, np.newaxis], dtype)

    def probabilities(self, z):
        """Of each class, or of each label."""
        if self.kind == "multiclass":
            return relume.softmax(z, axis=1)
        p = relume.sigmoid(z)
        if self.kind != "binary":
            return p
        if len(self.classes) == 1:
            return np.ones_like(p)
        return np.hstack([1 - p, p])

    def codes(self, z):
        """What `encode` would give for the predicted classes."""
        if self.kind == "multiclass":
            return z.argmax(axis=1)
        return relume.sigmoid(z) > 0.5

    def decode(self, z):
        """The predicted classes, as y had them."""
        if self.kind == "multilabel-indicator":
            return self._binarizer.inverse_transform(relume.sigmoid(z))
        codes = self.codes(z)
        if self.kind == "binary":
            codes = codes.ravel().astype(np.intp) if len(self.classes) > 1 else [0] * len(z)
        return self.classes[codes]

    def row_weights(self, class_weight, y, trained):
        """The weight of each row of an encoded y, by its class or by its labels.

        Parameters
        ----------
        class_weight : dict, list of dict or "balanced"
        y : ndarray
            What `encode` returned.
        trained : ndarray of bool
            The rows that "balanced" counts.
        """
        columns = y.reshape(len(y), -1).T.astype(np.intp)
        multilabel = self.kind == "multilabel-indicator"
        if isinstance(class_weight, str):
            tables = [_balanced(column[trained]) for column in columns]
        else:
            tables = self._tables(class_weight, len(columns) if multilabel else None)
        weights = [table[column] for table, column in zip(tables, columns, strict=True)]
        return np.prod(weights, axis=0)

    def _tables(self, class_weight, n_labels):
        """The weights of dicts as an array, or one for each of some labels."""
        if n_labels is None:
            if isinstance(class_weight, list):
                raise ValueError(
                    "class_weight must be a dict, 'balanced' or None where y has one class a row, "
                    f"got a list of {len(class_weight)}"
                )
            return [_table(class_weight, "class_weight", self.classes)]
        if not isinstance(class_weight, list) or len(class_weight) != n_labels:
            found = (
                f"a list of {len(class_weight)}" if isinstance(class_weight, list) else "a dict"
            )
            raise ValueError(
                f"class_weight must be a list of {n_labels} dicts, one for each label, or "
                f"'balanced', got {found}"
            )
        return [
            _table(each, f"class_weight[{i}]", np.arange(2)) for i, each in enumerate(class_weight)
        ]


def _few_integers(y):
    """The classes of a vector of integers or booleans; None where scikit-learn should look at y.

    It warns where more than half of the labels differ, and needs 0.4 ms in any case.
    """
    if type(y) is not np.ndarray or y.ndim != 1 or y.dtype.kind not in "iub":
        return None
    classes = np.unique(y)
    return classes if 0 < 2 * len(classes) <= len(y) else None


def _balanced(codes):
    """Weights that have the same sum over the rows of each class that there is."""
    counts = np.bincount(codes, minlength=2)
    present = counts > 0
    return np.where(present, len(codes) / (present.sum() * np.maximum(counts, 1)), 1.0)


def _table(class_weight, name, classes):
    """The weight of each class.

    As elsewhere in scikit-learn, a key that is none of the classes is an error where a class has
    no weight, which it may have been meant for; else a class is missing in this y.
    """
    if not isinstance(class_weight, dict):
        raise TypeError(f"{name} must be a dict, got {class_weight!r}")
    labels = classes.tolist()
    unknown = [key for key in class_weight if key not in labels]
    if unknown and not all(label in class_weight for label in labels):
        raise ValueError(
            f"{name} must have classes as keys, {reprlib.repr(labels)}, got {unknown[0]!r}"
        )
    for key, value in class_weight.items():
        validation.not_negative(value, f"{name}[{key!r}]")
    return np.array([class_weight.get(label, 1.0) for label in labels])
