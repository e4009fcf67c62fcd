"""Layers that shift and scale: by a minibatch, by a row, or by the training data."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relume import validation
from relume.nn.layers.layer import Layer, Spec


class BatchNorm(Layer):
    """Normalizes each unit over the minibatch, then scales and shifts it as it learns.

    ``weight * (x - mean) / sqrt(var + eps) + bias``. In training mean and variance are the
    minibatch's; in prediction they are running means,
    ``running = (1 - momentum) * running + momentum * batch``, of the variance without bias: as
    ``torch.nn.BatchNorm1d``.

    Parameters
    ----------
    eps : float, default=1e-5
        Greater than 0.
    momentum : float, default=0.1
        Greater than 0 and at most 1.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as said; in training, where a minibatch has one row. A last
        minibatch of one row joins the one before it.

    References
    ----------
    S. Ioffe and C. Szegedy, "Batch normalization", ICML 2015.

    Examples
    --------
    >>> from relume import nn
    >>> nn.BatchNorm()
    BatchNorm(eps=1e-05, momentum=0.1)
    """

    def __init__(self, eps: float = 1e-5, momentum: float = 0.1) -> None:
        self.eps: float = validation.positive(eps, "eps")
        self.momentum: float = validation.number(
            momentum, "momentum", "greater than 0 and at most 1", lambda x: 0 < x <= 1
        )

    def spec(self) -> Spec:
        """A step with parameters and statistics."""
        return {"kind": "batch_norm", "numbers": (self.eps, self.momentum)}

    def draw(self, rng: np.random.Generator, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The normalization alone, and the statistics of a normalized input."""
        arrays["weight"][:] = arrays["running_var"][:] = 1


class LayerNorm(Layer):
    """Normalizes each row over its units, then scales and shifts each unit as it learns.

    ``weight * (x - mean) / sqrt(var + eps) + bias``, mean and variance being the row's: as
    ``torch.nn.LayerNorm``.

    Parameters
    ----------
    eps : float, default=1e-5
        Greater than 0.

    Raises
    ------
    TypeError, ValueError
        If the argument is not as said.

    References
    ----------
    J. L. Ba, J. R. Kiros and G. E. Hinton, "Layer normalization", arXiv:1607.06450.

    Examples
    --------
    >>> from relume import nn
    >>> nn.LayerNorm()
    LayerNorm(eps=1e-05)
    """

    def __init__(self, eps: float = 1e-5) -> None:
        self.eps: float = validation.positive(eps, "eps")

    def spec(self) -> Spec:
        """A step with parameters."""
        return {"kind": "layer_norm", "numbers": (self.eps,)}

    def draw(self, rng: np.random.Generator, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The normalization alone."""
        arrays["weight"][:] = 1


class Standardize(Layer):
    """Shifts and scales each feature to mean 0 and standard deviation 1 of the training data.

    ``(x - mean) / scale``. Both are learnt from the data of the first ``fit`` and stored with the
    model, so that predictions take raw features. Only as a network's first layer.

    Parameters
    ----------
    with_mean : bool, default=True
        Whether to subtract the mean; for sparse input it never is.

    Raises
    ------
    TypeError
        If the argument is not as said.

    Notes
    -----
    As scikit-learn's ``StandardScaler``, a feature that is constant is not scaled.

    Examples
    --------
    >>> import numpy as np
    >>> from relume import nn
    >>> net = nn.Network([nn.Standardize(), nn.Dense(1)], loss="mse", seed=0)
    >>> history = net.fit([[1000.0], [3000.0]], [0.0, 1.0])
    >>> net.state_dict()["0.mean"], net.state_dict()["0.scale"]
    (array([2000.], dtype=float32), array([1000.], dtype=float32))
    """

    def __init__(self, with_mean: bool = True) -> None:
        self.with_mean: bool = validation.flag(with_mean, "with_mean")

    def spec(self) -> Spec:
        """A step with statistics only."""
        return {"kind": "standardize", "trainable": False}

    def draw(self, rng: np.random.Generator, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The identity, until it has seen data."""
        arrays["scale"][:] = 1
