"""What is inspected: the network in a model, and its data, a block of rows at a time."""

import numpy as np

from relume import validation as checks
from relume.nn.interop.to_sklearn import from_sklearn
from relume.nn.data.rows import is_sparse
from relume.nn.network import Network

BLOCK = 4096  # rows that are brought together at a time: 13 MB of 784 float32


class Subject:
    """A built network; `prepare` and `encode` make of blocks of X and y what it takes."""

    def __init__(self, net, transform=None, encode=None):
        net._built()
        self.net, self._transform, self._encode = net, transform, encode

    def features(self, X):
        """Rows of X as a contiguous matrix of the network's dtype."""
        if self._transform is not None:
            X = self._transform(X)
        if is_sparse(X):
            X = X.toarray()
        return checks.matrix(X, "X", self.net.dtype, self.net._weights.plan.n_in)

    def targets(self, y):
        """Rows of y as the network's loss takes them."""
        if self._encode is not None:
            y = self._encode(np.asarray(y))
        return self.net.loss.targets(y, "y", self.net.n_outputs, self.net.dtype)


def subject_of(model):
    """The Subject in a relume network or estimator, a perceptron of scikit-learn, a Pipeline.

    Raises
    ------
    TypeError
        If there is none in it.
    ValueError, RuntimeError
        If it is not fitted, or not built.
    """
    if isinstance(model, Network):
        return Subject(model)
    if hasattr(model, "steps") and hasattr(model, "named_steps"):
        subject = subject_of(model.steps[-1][1])
        transforms = [each for each in (_transform_of(model), subject._transform) if each]
        return Subject(subject.net, _composed(transforms), subject._encode)
    if hasattr(model, "network_") or _is_own(model):
        return Subject(model.network_, None, model._encoded)
    if isinstance(model, type) or not hasattr(model, "hidden_layer_sizes"):
        raise TypeError(
            "net must be a relume.nn.Network, an estimator of relume.sklearn, a fitted "
            "MLPClassifier or MLPRegressor of scikit-learn, or a Pipeline that ends in one of "
            f"these; got {model!r}"
        )
    return Subject(from_sklearn(model), None, _encoder_of(model))


def _transform_of(pipeline):
    """What comes before the last step."""
    return pipeline[:-1].transform if len(pipeline.steps) > 1 else None


def _composed(functions):
    """One function after the other; None where there are none."""
    if not functions:
        return None

    def transform(X):
        for function in functions:
            X = function(X)
        return X

    return transform


def _is_own(model):
    """Whether it is an estimator of relume, which may not be fitted."""
    return any(cls.__module__.startswith("relume.sklearn") for cls in type(model).__mro__)


def _encoder_of(mlp):
    """What makes targets of a network of the y of a scikit-learn perceptron; None: nothing."""
    classes = getattr(mlp, "classes_", None)
    if classes is None or mlp._label_binarizer.y_type_.startswith("multilabel"):
        return None

    def encode(y):
        positions = np.searchsorted(classes, y).clip(max=len(classes) - 1)
        strange = y[classes[positions] != y]
        if strange.size:
            raise ValueError(f"y must hold classes of the model, {classes}, got {strange[0]!r}")
        return positions

    return encode


class Blocks:
    """X and y, block by block: nothing is as long as X.

    Parameters
    ----------
    subject : Subject
    X, y : array_like, sparse matrix, DataFrame
        Read where they lie if they can be.
    """

    def __init__(self, subject, X, y=None):
        self.subject = subject
        self._X = _sliceable(X)
        self._y = None if y is None else _sliceable(y)
        self.n = len(self._X) if not hasattr(self._X, "shape") else self._X.shape[0]
        if self.n == 0:
            raise ValueError(f"X must not be empty, got shape {np.shape(X)}")
        if y is not None and np.shape(self._y)[:1] != (self.n,):
            rows = np.shape(self._y)[0] if np.ndim(self._y) else "a single value"
            raise ValueError(f"X and y must have the same length, got {self.n} and {rows}")

    def __iter__(self):
        """The first row, features and targets (or None) of each block."""
        for first in range(0, self.n, BLOCK):
            rows = slice(first, min(first + BLOCK, self.n))
            X = self.subject.features(_part(self._X, rows))
            y = None if self._y is None else self.subject.targets(_part(self._y, rows))
            yield first, X, y


def _sliceable(values):
    """What `_part` takes rows of, without a copy where there need not be one."""
    if is_sparse(values):
        return values.tocsr()
    if hasattr(values, "iloc") or isinstance(values, np.ndarray):
        return values
    array = np.asarray(values)
    if array.ndim == 0:
        raise ValueError(f"X must have shape (n_samples, n_features), got {values!r}")
    return array


def _part(values, rows):
    return values.iloc[rows] if hasattr(values, "iloc") else values[rows]
