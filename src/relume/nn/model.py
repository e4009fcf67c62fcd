"""What a network is before it is trained: settings, values, prediction."""

import copy
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from relume.engine.prediction import predict, predict_array
from relume.engine.skip_zeros import SPARSITIES
from relume import validation as checks
from relume.nn.layers.activations import Activation
from relume.nn.data.rows import SparseRows, features_of, pieces
from relume.nn.network import Exports
from relume.nn.layers.parametric import Layer, Residual, checked_layers, steps_of, width_of
from relume.nn.training.lbfgs_fit import LBFGS
from relume.nn.losses import CrossEntropy, Loss, PythonLoss, loss_of
from relume.nn.metrics import figures, metrics_of
from relume.nn.layers.normalization import Standardize
from relume.nn.optimizers.optimizers import Optimizer, optimizer_of
from relume.nn.optimizers.schedule import Schedule, schedule_of
from relume.nn.layers.regularization import ActivityL1
from relume.nn.parameters.snapshot import Snapshot
from relume.nn.summary import summary_of
from relume.nn.parameters.weights import Weights, from_state_dict, state_dict_of

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


class Model(Exports):
    """The settings of a `Network`, its values, and prediction with them."""

    def __init__(
        self,
        layers: Sequence[Layer | Activation],
        *,
        loss: Loss
        | Literal[
            "cross_entropy", "binary_cross_entropy", "mse", "mae", "huber", "quantile", "poisson"
        ]
        | Callable[..., Any] = "cross_entropy",
        optimizer: Optimizer
        | LBFGS
        | Literal["adam", "adamw", "lbfgs", "lion", "nadam", "rmsprop", "sgd"]
        | None = None,
        seed: int | np.random.Generator | None = None,
        dtype: DTypeLike = "float32",
        metrics: Iterable[str | Callable[..., float]] | None = None,
        schedule: Callable[[float], float] | None = None,
        sparse: Literal["auto", "never", "always"] = "auto",
    ) -> None:
        self.layers = checked_layers(layers, "layers")
        self.n_outputs: int = _outputs_of(self.layers)
        self._kinds = [spec["kind"] for spec in steps_of(self.layers)]
        self.loss = loss_of(loss)
        self.metrics = metrics_of(metrics, self.loss)
        # Copies: a fit may change the learning rate, and what a schedule has seen.
        self.optimizer: Any = copy.copy(optimizer_of(optimizer))  # an Optimizer or LBFGS
        self.schedule: Callable[[float], float] | None = schedule_of(schedule)
        if isinstance(self.schedule, Schedule):
            self.schedule = copy.copy(self.schedule)
        self.epoch: int = 0
        self.dtype = DTYPES[checks.choice(_name_of(dtype), "dtype", DTYPES)]
        self.sparse: str = checks.choice(sparse, "sparse", SPARSITIES)
        self._loss_numbers = self.loss.numbers(self.n_outputs, self.dtype)
        self._rng = _generator_of(seed)
        self._weights: Any = None  # Weights, once built
        self._tape: Any = None  # what `forward` keeps for `backward`

    def __repr__(self) -> str:
        layers = ", ".join(map(repr, self.layers))
        schedule = "" if self.schedule is None else f", schedule={self.schedule!r}"
        return (
            f"Network([{layers}], loss={self.loss!r}, optimizer={self.optimizer!r}, "
            f"dtype={self.dtype.name!r}{schedule})"
        )

    def summary(self) -> str:
        """A table of the layers: their widths, and how many parameters they learn.

        Returns
        -------
        table : str
            To be printed. A learnt slope counts to its layer, a projection to its `Residual`, and
            statistics of `BatchNorm` and `Standardize` do not count. Parameters are known once the
            network is built.

        Examples
        --------
        >>> from relume import nn
        >>> net = nn.Network([nn.Dense(64, activation="relu"), nn.Dropout(0.2), nn.Dense(10)])
        >>> print(net.build(784).summary())
        layer                         outputs  parameters
        Dense(64, activation=ReLU())       64      50,240
        Dropout(rate=0.2)                  64           0
        Dense(10)                          10         650
        total                                      50,890
        trainable                                  50,890
        """
        return summary_of(self.layers, None if self._weights is None else self._weights.plan.n_in)

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
            self._weights = Weights(self.layers, n_features, self.dtype, self.sparse)
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
        return state_dict_of(weights, weights.parameters)

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
        self._weights = from_state_dict(state, self.layers, self.dtype, n_features, self.sparse)
        self._tape = None

    def __getstate__(self):
        """Values and settings: copies, since a network trains in place."""
        rng = np.random.Generator(type(self._rng.bit_generator)(0))
        rng.bit_generator.state = self._rng.bit_generator.state
        copies = {
            name: copy.copy(getattr(self, name)) for name in ("_weights", "optimizer", "schedule")
        }
        return self.__dict__ | copies | {"_tape": None, "_rng": rng}

    def snapshot(self) -> Snapshot:
        """A copy of all that training changes.

        Returns
        -------
        snapshot : object
            For `restore`: weights, the optimizer's state and learning rate, the schedule's state,
            the random state, and the number of epochs. It can be pickled.
        """
        return Snapshot.of(self)

    def restore(self, snapshot: Snapshot) -> None:
        """Be again as at a snapshot, of this network or of one with the same layers.

        Parameters
        ----------
        snapshot : object
            What `snapshot` returned. It can be used again.

        Raises
        ------
        TypeError, ValueError
            If it is no snapshot, or one of other layers; nothing is changed then.
        """
        if not isinstance(snapshot, Snapshot):
            raise TypeError(f"snapshot must be what snapshot() returns, got {snapshot!r}")
        snapshot.put_back(self)
        self._tape = None

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network to a file, from which `relume.nn.load` makes the same network again.

        The file, in the safetensors format, holds all that training needs to go on with the same
        bits: layers, loss, metrics, optimizer and schedule with their states, parameters by the
        names of `state_dict`, random state and number of epochs. Of Python functions it holds the
        names. It is written atomically: after a crash it is there as a whole, or the file that was
        there before is.

        Parameters
        ----------
        path : str or path-like
            The file.

        Raises
        ------
        TypeError
            If a layer or an optimizer is of a class of one's own, or the random generator not one
            of NumPy's.
        ValueError
            If a parameter is not finite; such a file could not be loaded.
        OSError
            If the file cannot be written; the file that was there before is untouched.

        See Also
        --------
        relume.nn.load : Reads the file, with an example.
        """
        from relume.nn import persistence  # which imports this module

        persistence.save(self, path)

    def _built(self):
        if self._weights is None:
            raise RuntimeError(
                "the network is not built: call fit, build or load_state_dict first"
            )
        return self._weights

    # -- prediction -------------------------------------------------------------------------------

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """What y is expected to be: labels under a loss for classes, else values.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n, n_features)

        Returns
        -------
        y : ndarray
            Labels (int64) of shape (n,), a matrix of 0 and 1 where several may hold; values of
            shape (n, n_outputs), or (n,) for one output.

        Raises
        ------
        RuntimeError
            If the network is not built.
        TypeError, ValueError
            If X is not as said, or not finite.
        """
        return self.loss.predictions(self._outputs_of(X))

    def predict_proba(self, X: ArrayLike) -> NDArray[np.floating]:
        """Class probabilities: of the logits the softmax, or under the binary loss the sigmoid.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n, n_features)

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
        if type(self.loss) is CrossEntropy:
            return self._outputs_of(X, softmax=True)
        self._built()
        if not self.loss.classifies:
            raise RuntimeError(f"loss={self.loss.name!r} has no class probabilities; use predict")
        return self.loss.probabilities(self._outputs_of(X))

    def evaluate(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> dict[str, float]:
        """The mean loss, without penalties, and the metrics.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n, n_features)
        y : array_like of shape (n,) or (n, n_outputs)
        sample_weight : array_like of shape (n,) or None, default=None
            How much each row counts in the loss.

        Returns
        -------
        figures : dict of str to float
            ``"loss"``, and the network's metrics by name: for a classifier the ``"accuracy"`` (a
            share of 1) if nothing else was asked for.

        Raises
        ------
        RuntimeError
            If the network is not built.
        TypeError, ValueError
            As `fit`.
        """
        self._built()
        return self._evaluate(*self._data(X, y, sample_weight))

    def _evaluate(self, X, y, weight=None):
        z = self._outputs(X)
        if isinstance(self.loss, PythonLoss):
            loss, _ = self.loss(y, z)
        else:
            losses, _ = self._weights.plan.row_losses(
                self.loss.kernel(y), self._loss_numbers, z, y
            )
            loss = np.average(losses.astype(np.float64), weights=weight)
        return {"loss": float(loss), **figures(self.metrics, self.loss, z, y)}

    def _outputs_of(self, X, softmax=False):
        """The outputs for what a user gives; at once where the engine can read it as it is."""
        weights = self._built()
        z = predict_array(weights.plan, weights.parameters, X, softmax)
        return self._outputs(self._features(X), softmax) if z is None else z

    def _outputs(self, X, softmax=False):
        self.build(X.shape[1])
        plan, parameters = self._weights.plan, self._weights.parameters
        if isinstance(X, np.ndarray):
            z = predict(plan, parameters, X, softmax)
        else:
            self._weights.adapt(X)
            z = [predict(plan, parameters, part, softmax) for part in pieces(X)]
            z = None if any(part is None for part in z) else np.concatenate(z)
        if z is None:
            raise checks.not_finite("X", self.dtype)
        return z

    # -- data -------------------------------------------------------------------------------------

    def _features(self, X, name="X", width=None):
        width = self._weights.plan.n_in if self._weights else width
        features = features_of(X, name, self.dtype, width)
        if isinstance(features, SparseRows):
            self._check_sparse(name)
        return features

    def _check_sparse(self, name):
        """Raise unless what reads the input can read a sparse matrix."""
        kinds = self._kinds[1:] if self._kinds[0] == "standardize" else self._kinds
        if kinds[0] != "dense":
            raise TypeError(
                f"{name} must be dense, unless the first layer is a Dense, or a Standardize and a "
                f"Dense; got a sparse matrix for {self.layers[0]!r}"
            )
        mean = self._weights and self._weights.standardization()[0]
        if mean is not None and mean.any():
            raise TypeError(
                f"{name} must be dense, since nn.Standardize has learnt a mean of dense data; "
                "got a sparse matrix. nn.Standardize(with_mean=False) takes both"
            )

    def _data(self, X, y, weight=None, names=("X", "y", "sample_weight"), width=None):
        """X, y and weights as the engine takes them."""
        X, y = self._features(X, names[0], width), checks.as_array(y, names[1])
        checks.same_length(X, y, names)
        y = self.loss.targets(y, names[1], self.n_outputs, self.dtype)
        if weight is not None:
            if isinstance(self.loss, PythonLoss):
                raise ValueError(f"{names[2]} must be None for a loss written in Python")
            weight = checks.weights(weight, names[2], self.dtype, len(X))
        return X, y, weight

    def _validation(self, data, width):
        if data is None:
            return None
        if not isinstance(data, tuple | list) or len(data) not in (2, 3):
            raise TypeError(
                "validation_data must be a tuple (X, y) or (X, y, sample_weight) or None, "
                f"got {type(data)}"
            )
        names = ("validation_data X", "validation_data y", "validation_data sample_weight")
        X, y, weight = self._data(*data, *(None,) * (3 - len(data)), names, width)
        return self._finite(X, names[0]), y, weight

    def _finite(self, X, name):
        """X, once all of it is known to be finite; a sparse one is known already."""
        if not isinstance(X, SparseRows):
            parts = [X] if isinstance(X, np.ndarray) else pieces(X)
            if not all(np.isfinite(part).all() for part in parts):
                raise checks.not_finite(name, self.dtype)
        return X


def _outputs_of(layers):
    """The number of outputs of layers that make sense together."""
    units = width_of(layers)
    if units is None:
        raise ValueError(f"layers must hold a Dense, which sets how many outputs, got {layers!r}")
    if isinstance(layers[0], ActivityL1):
        raise ValueError("nn.ActivityL1 must not be the first layer, whose input nobody learns")
    for i, layer in enumerate(layers):
        if (i > 0 and isinstance(layer, Standardize)) or _holds_standardize(layer):
            raise ValueError(
                f"nn.Standardize must be the first layer, got {layer!r} as layers[{i}]"
            )
    return units


def _holds_standardize(layer):
    return isinstance(layer, Residual) and any(
        isinstance(each, Standardize) or _holds_standardize(each) for each in layer.layers
    )
