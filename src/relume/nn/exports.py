"""What a network becomes for other programs; the modules that do it load when they are used."""

import os
from pathlib import Path
from typing import Any, Literal

from numpy.typing import ArrayLike


class Exports:
    """The methods of a `Network` that turn it into something else."""

    def to_onnx(
        self: Any,
        path: str | os.PathLike[str],
        *,
        output: Literal["predict", "proba", "raw"] = "predict",
        classes: ArrayLike | None = None,
    ) -> None:
        """Write the network as an ONNX model, in float32; `relume.onnx.model_of` says more.

        Parameters
        ----------
        path : str or path
            Of the file.
        output : {"predict", "proba", "raw"}, default="predict"
            What the model gives: the results of `predict`, with the probabilities beside labels;
            of `predict_proba`; or of `forward`.
        classes : array_like of shape (n_classes,) or None, default=None
            Labels instead of 0, 1, and so on.

        Raises
        ------
        ImportError
            If the package ``onnx`` is missing.
        RuntimeError
            If the network is not built.
        TypeError, ValueError
            If an argument is not as said.
        """
        from relume.onnx import model_of

        model = model_of(self, output=output, classes=classes)
        Path(path).write_bytes(model.SerializeToString())

    def to_sklearn(self: Any, classes: ArrayLike | None = None) -> Any:
        """A fitted multilayer perceptron of scikit-learn that predicts the same.

        Parameters
        ----------
        classes : array_like of shape (n_classes,) or None, default=None
            Labels in ascending order, instead of 0, 1, and so on.

        Returns
        -------
        MLPClassifier or MLPRegressor
            With the network's weights and dtype. It is without penalties, and its solver is the
            network's optimizer if scikit-learn has that, else Adam; it begins afresh.

        Raises
        ------
        ImportError
            If scikit-learn is missing.
        RuntimeError
            If the network is not built.
        ValueError
            If scikit-learn has no such network: the layer is named. Allowed are `Dense` layers
            that all have the same activation, relu, tanh, sigmoid or none, but for the last one,
            which has none; between them `Dropout`, and `BatchNorm` and `Standardize`, which
            become part of a `Dense`.
        """
        from relume.nn.conversion import to_sklearn

        return to_sklearn(self, classes)
