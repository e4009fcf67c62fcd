"""The targets of a classifier: what y may be, the outputs that stand for it, and the way back."""

import numpy as np
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils.multiclass import unique_labels

import relume


class Classes:
    """The classes that y was fitted with.

    `kind` is "binary" (one output), "multiclass" (one output a class) or "multilabel-indicator"
    (one output a label). `softmax` asks for an output a class where there are but two.
    """

    def __init__(self, y, softmax=False):
        self._binarizer = LabelBinarizer().fit(y)
        self.classes = self._binarizer.classes_
        self.kind = self._binarizer.y_type_
        if softmax and self.kind == "binary":
            self.kind = "multiclass"

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
        """Of the positive class, of each class, or of each label."""
        return relume.softmax(z, axis=1) if self.kind == "multiclass" else relume.sigmoid(z)

    def codes(self, z):
        """What `encode` would give for the predicted classes."""
        if self.kind == "multiclass":
            return z.argmax(axis=1)
        return self.probabilities(z) > 0.5

    def decode(self, z):
        """The predicted classes, as y had them."""
        if self.kind == "multilabel-indicator":
            return self._binarizer.inverse_transform(self.probabilities(z))
        codes = self.codes(z)
        if self.kind == "binary":
            codes = codes.ravel().astype(np.intp) if len(self.classes) > 1 else [0] * len(z)
        return self.classes[codes]
