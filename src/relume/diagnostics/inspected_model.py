"""The inspected model: the network inside an estimator or pipeline, and its data by row blocks."""

from collections.abc import Callable
from typing import Any

import numpy as np

from relume import validation
from relume.nn.data.row_blocks import NetworkRows
from relume.nn.interop.from_sklearn import from_sklearn
from relume.nn.network import Network

Transform = Callable[[Any], Any]


class InspectedModel(NetworkRows):
    """A built network, and how rows of X and y become its inputs and targets."""

    def __init__(
        self,
        net: Network,
        transform: Transform | None = None,
        encode: Transform | None = None,
    ) -> None:
        super().__init__(net)
        self._transform, self._encode = transform, encode

    def features(self, X):
        """Rows of X, transformed by the earlier steps of a pipeline."""
        return super().features(X if self._transform is None else self._transform(X))

    def targets(self, y):
        """Rows of y, with class labels encoded as the model encodes them."""
        return super().targets(y if self._encode is None else self._encode(np.asarray(y)))


def inspected_model_of(model: Any) -> InspectedModel:
    """The network of a relume network or estimator, a scikit-learn perceptron, or a Pipeline.

    Raises
    ------
    TypeError
        If `model` contains no network.
    ValueError, RuntimeError
        If `model` is not fitted or not built.
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
            f"these; got {validation.shown(model)}"
        )
    return InspectedModel(from_sklearn(model), None, _encoder_of(model))


def _transform_of(pipeline):
    """The transform of all steps but the last; None if there is only one step."""
    return pipeline[:-1].transform if len(pipeline.steps) > 1 else None


def _composed(functions: list[Transform]) -> Transform | None:
    """The functions applied one after another; None if there are none."""
    if not functions:
        return None

    def transform(X):
        for function in functions:
            X = function(X)
        return X

    return transform


def _is_own(model):
    """Whether `model` is an estimator of relume, fitted or not."""
    return any(cls.__module__.startswith("relume.sklearn") for cls in type(model).__mro__)


def _encoder_of(mlp):
    """The function that encodes y as a scikit-learn perceptron does; None if y stays as it is."""
    classes = getattr(mlp, "classes_", None)
    if classes is None or mlp._label_binarizer.y_type_.startswith("multilabel"):
        return None

    def encode(y):
        positions = np.searchsorted(classes, y).clip(max=len(classes) - 1)
        unknown = y[classes[positions] != y]
        if unknown.size:
            raise ValueError(f"y must hold classes of the model, {classes}, got {unknown[0]!r}")
        return positions

    return encode
