"""What is inspected: the network in a model, and its data, a block of rows at a time."""

import numpy as np

from relume.nn.data.row_blocks import NetworkRows
from relume.nn.interop.from_sklearn import from_sklearn
from relume.nn.network import Network


class InspectedModel(NetworkRows):
    """A built network, and how rows of X and y are turned into what it takes."""

    def __init__(self, net, transform=None, encode=None):
        super().__init__(net)
        self._transform, self._encode = transform, encode

    def features(self, X):
        """Rows of X, through the transforms of a pipeline."""
        return super().features(X if self._transform is None else self._transform(X))

    def targets(self, y):
        """Rows of y, with the model's classes encoded."""
        return super().targets(y if self._encode is None else self._encode(np.asarray(y)))


def inspected_model_of(model):
    """The network in a relume network or estimator, a perceptron of scikit-learn, a Pipeline.

    Raises
    ------
    TypeError
        If there is none in it.
    ValueError, RuntimeError
        If it is not fitted, or not built.
    """
    if isinstance(model, Network):
        return InspectedModel(model)
    if hasattr(model, "steps") and hasattr(model, "named_steps"):
        inner = inspected_model_of(model.steps[-1][1])
        transforms = [each for each in (_transform_of(model), inner._transform) if each]
        return InspectedModel(inner.net, _composed(transforms), inner._encode)
    if hasattr(model, "network_") or _is_own(model):
        return InspectedModel(model.network_, None, model._encoded)
    if isinstance(model, type) or not hasattr(model, "hidden_layer_sizes"):
        raise TypeError(
            "net must be a relume.nn.Network, an estimator of relume.sklearn, a fitted "
            "MLPClassifier or MLPRegressor of scikit-learn, or a Pipeline that ends in one of "
            f"these; got {model!r}"
        )
    return InspectedModel(from_sklearn(model), None, _encoder_of(model))


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
