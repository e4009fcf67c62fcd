"""What a network becomes: for other programs, or smaller. What does it loads when it is used."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from relume.nn.compact import Compacted


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
        from relume.nn.interop.to_sklearn import to_sklearn

        return to_sklearn(self, classes)

    def compact(self: Any, X: ArrayLike) -> "Compacted":
        """A smaller network with the same outputs for the rows of X.

        Units whose activation is 0 for all rows are removed; units with another value that is the
        same for all rows too, and what they contribute goes to the next bias. relu leaves many of
        the first kind, of which `relume.diagnostics` tells why.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n, n_features)
            All that the units are judged by: such as the training data.

        Returns
        -------
        network : Network
            A new one. Its optimizer begins afresh; all else is as it was.
        report : CompactReport
            What was removed, layer by layer, to be printed; and for which inputs, beside the rows
            of X, the outputs are the same: ``report.same_for(X_new)``.

        Raises
        ------
        RuntimeError
            If the network is not built.
        TypeError, ValueError
            If X is not as said, or not finite.

        Notes
        -----
        The outputs are the same up to rounding, wherever each removed unit is what it was on X;
        for other inputs they may differ. Only units of a `Dense` are removed whose next `Dense`
        follows with nothing but activations and dropout between; those inside or before a
        `Residual`, or before a normalization, are left, as the report says. A layer keeps one
        unit at least, and constant units where the next layer has no bias.

        Examples
        --------
        >>> import numpy as np
        >>> from relume import nn
        >>> net = nn.Network([nn.Dense(64, activation="relu"), nn.Dense(1)], loss="mse", seed=0)
        >>> X = np.random.default_rng(0).random((100, 3), dtype="float32")
        >>> small, report = net.build(3).compact(X)
        >>> bool(np.allclose(small.predict(X), net.predict(X), atol=1e-5))
        True
        >>> report.layers[0].left < 64
        True
        """
        from relume.nn.compact import compact

        return compact(self, X)
