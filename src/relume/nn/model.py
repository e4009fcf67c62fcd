"""What a network is before it is trained: settings, values, prediction."""

import copy
from collections.abc import Mapping
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from relume.nn import checks
from relume.nn.blas import single_threaded_blas
from relume.nn.layers import Dense
from relume.nn.losses import LOSSES
from relume.nn.optimizers import SGD, Adam, optimizer_of
from relume.nn.weights import Weights, from_state_dict

DTYPES: dict[str, np.dtype[Any]] = {name: np.dtype(name) for name in ("float32", "float64")}


def _name_of(dtype):
    """float32 for np.float32 and np.dtype("float32"); what is no dtype as it is."""
    try:
        return np.dtype(dtype).name
    except TypeError:
        return dtype


def _generator_of(seed):
    try:
        return np.random.default_rng(seed)
    except (TypeError, ValueError) as error:
        raise type(error)(
            f"seed must be a non-negative integer, a numpy.random.Generator or None, got {seed!r}"
        ) from None


class Model:
    """The settings of a `Network`, its values, and prediction with them."""

    def __init__(
        self,
        layers: list[Dense] | tuple[Dense, ...],
        *,
        loss: Literal["cross_entropy", "mse"] = "cross_entropy",
        optimizer: SGD | Adam | Literal["sgd", "adam"] | None = None,
        seed: int | np.random.Generator | None = None,
        dtype: DTypeLike = "float32",
    ) -> None:
        if not isinstance(layers, list | tuple):
            raise TypeError(f"layers must be a list of layers, got {layers!r}")
        if not layers:
            raise ValueError("layers must hold at least one layer, got an empty list")
        for i, layer in enumerate(layers):
            if not isinstance(layer, Dense):
                raise TypeError(f"layers[{i}] must be a layer such as nn.Dense, got {layer!r}")
        self.layers = list(layers)
        self.loss: str = checks.choice(loss, "loss", LOSSES)
        self.optimizer: SGD | Adam = optimizer_of(optimizer)
        self.dtype = DTYPES[checks.choice(_name_of(dtype), "dtype", DTYPES)]
        self._rng = _generator_of(seed)
        self._weights: Any = None  # Weights, once built
        self._tape: Any = None  # what `forward` keeps for `backward`

    def __repr__(self) -> str:
        layers = ", ".join(map(repr, self.layers))
        return (
            f"Network([{layers}], loss={self.loss!r}, optimizer={self.optimizer!r}, "
            f"dtype={self.dtype.name!r})"
        )

    # -- values -----------------------------------------------------------------------------------

    def build(self, n_features: int) -> Self:
        """Draw the initial weights for inputs of a width; what `fit` does first if need be.

        Parameters
        ----------
        n_features : int
            Width of the input, at least 1.

        Returns
        -------
        net : Network
            The same object.

        Raises
        ------
        ValueError
            If the network is built already for another width.
        """
        n_features = checks.integer(n_features, "n_features")
        if self._weights is None:
            self._weights = Weights(self.layers, n_features, self.dtype)
            self._weights.draw(self._rng)
        elif n_features != self._weights.plan.n_in:
            raise ValueError(
                f"n_features must be {self._weights.plan.n_in}, for which the network is built; "
                f"got {n_features}"
            )
        return self

    def state_dict(self) -> dict[str, NDArray[np.floating]]:
        """The parameters by the names of the `torch.nn.Sequential` that computes the same.

        Returns
        -------
        state : dict of str to ndarray
            ``"0.weight"`` of shape (n_out, n_in), ``"0.bias"``, and so on, where an activation
            counts as a module of its own. Copies.

        Raises
        ------
        RuntimeError
            If the network is not built.
        """
        weights = self._built()
        return {name: value.copy() for name, value in weights.named(weights.parameters).items()}

    def load_state_dict(self, state: Mapping[str, ArrayLike]) -> None:
        """Take over parameters, as `state_dict` gives them; the optimizer starts afresh.

        Parameters
        ----------
        state : mapping of str to array_like
            With exactly the keys and shapes of `state_dict`.

        Raises
        ------
        ValueError
            If a key is missing or too many, or a shape does not fit: the first is named. Nothing
            is changed then.
        """
        n_features = self._weights.plan.n_in if self._weights else None
        self._weights = from_state_dict(state, self.layers, self.dtype, n_features)
        self._tape = None

    def __getstate__(self):
        """Values and settings: copies, since a network trains in place."""
        rng = np.random.Generator(type(self._rng.bit_generator)(0))
        rng.bit_generator.state = self._rng.bit_generator.state
        return self.__dict__ | {"_weights": copy.copy(self._weights), "_tape": None, "_rng": rng}

    def _built(self):
        if self._weights is None:
            raise RuntimeError(
                "the network is not built: call fit, build or load_state_dict first"
            )
        return self._weights

    # -- prediction -------------------------------------------------------------------------------

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Class labels under ``"cross_entropy"``, values under ``"mse"``.

        Parameters
        ----------
        X : array_like of shape (n, n_features)

        Returns
        -------
        y : ndarray
            Labels (int64) of shape (n,); values of shape (n, n_outputs), or (n,) for one output.

        Raises
        ------
        RuntimeError
            If the network is not built.
        TypeError, ValueError
            If X is not as said, or not finite.
        """
        self._built()
        z = self._outputs(self._features(X))
        if LOSSES[self.loss].classifies:
            return z.argmax(axis=1)
        return z.ravel() if z.shape[1] == 1 else z

    def predict_proba(self, X: ArrayLike) -> NDArray[np.floating]:
        """Class probabilities: the softmax of the logits.

        Parameters
        ----------
        X : array_like of shape (n, n_features)

        Returns
        -------
        p : ndarray of shape (n, n_classes)

        Raises
        ------
        RuntimeError
            If the network is not built, or its loss is not one for classes.
        TypeError, ValueError
            If X is not as said, or not finite.
        """
        self._built()
        if not LOSSES[self.loss].classifies:
            raise RuntimeError(f"loss={self.loss!r} has no class probabilities; use predict")
        return self._outputs(self._features(X), softmax=True)

    def evaluate(self, X: ArrayLike, y: ArrayLike) -> dict[str, float]:
        """The mean loss, and for a classifier the accuracy.

        Parameters
        ----------
        X : array_like of shape (n, n_features)
        y : array_like of shape (n,) or (n, n_outputs)

        Returns
        -------
        figures : dict of str to float
            ``"loss"``, and ``"accuracy"`` (a share of 1) under ``"cross_entropy"``.

        Raises
        ------
        RuntimeError
            If the network is not built.
        TypeError, ValueError
            As `fit`.
        """
        self._built()
        return self._evaluate(*self._data(X, y))

    def _evaluate(self, X, y):
        z = self._outputs(X)
        return {
            "loss": self._weights.plan.mean_loss(self.loss, z, y),
            **LOSSES[self.loss].metrics(z, y),
        }

    def _outputs(self, X, softmax=False):
        self.build(X.shape[1])
        with single_threaded_blas:
            z = self._weights.plan.predict(self._weights.parameters, X, softmax)
        if z is None:
            raise checks.not_finite("X", self.dtype)
        return z

    # -- data -------------------------------------------------------------------------------------

    def _features(self, X, name="X", width=None):
        width = self._weights.plan.n_in if self._weights else width
        return checks.matrix(X, name, self.dtype, width)

    def _data(self, X, y, names=("X", "y"), width=None):
        X, y = self._features(X, names[0], width), checks.as_array(y, names[1])
        checks.same_length(X, y, names)
        y = LOSSES[self.loss].targets(y, names[1], self.layers[-1].units, self.dtype)
        return X, y

    def _validation(self, data, width):
        if data is None:
            return None
        if not isinstance(data, tuple | list) or len(data) != 2:
            raise TypeError(f"validation_data must be a tuple (X, y) or None, got {type(data)}")
        X, y = self._data(*data, ("validation_data X", "validation_data y"), width)
        if not np.isfinite(X).all():
            raise checks.not_finite("validation_data X", self.dtype)
        return X, y
