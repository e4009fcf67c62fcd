"""The network: its layers and values, training, prediction. What computes is relume.engine."""

import copy
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from relume import validation
from relume.engine.prediction import predict, predict_array
from relume.engine.skip_zeros import SPARSITIES
from relume.engine.training import STATUS, Training
from relume.engine.updates import Updates
from relume.nn.callbacks.callback import Callback, Hooks
from relume.nn.data.minibatches import ArrayBatches, IterableBatches
from relume.nn.data.rows import SparseRows, features_of, pieces
from relume.nn.data.splits import class_weights, split
from relume.nn.layers.activations import Activation
from relume.nn.layers.layer import Layer, checked_layers
from relume.nn.layers.normalization import Standardize
from relume.nn.layers.regularization import ActivityL1
from relume.nn.layers.residual import Residual, steps_of, width_of
from relume.nn.losses import CrossEntropy, Loss, PythonLoss, loss_of
from relume.nn.metrics import figures, metrics_of
from relume.nn.optimizers.lbfgs import LBFGS
from relume.nn.optimizers.optimizers import Optimizer, optimizer_of
from relume.nn.optimizers.schedule import Schedule, learning_rates, schedule_of
from relume.nn.parameters.snapshot import Snapshot
from relume.nn.parameters.state_dict import from_state_dict, state_dict_of
from relume.nn.parameters.weights import Weights
from relume.nn.saving.save import save
from relume.nn.summary import summary_of
from relume.nn.training.fit_loop import Fitting, raise_refused
from relume.nn.training.history import History
from relume.nn.training.lbfgs_fit import fit_lbfgs

if TYPE_CHECKING:
    from relume.nn.compact import Compacted

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


class Network:
    """A dense network with a loss and an optimizer.

    Parameters
    ----------
    layers : list of Layer and Activation
        At least one `Dense`. The outputs of the last one are what the loss takes: logits under
        ``"cross_entropy"``, values under ``"mse"``.
    loss : str, Loss or callable, default="cross_entropy"
        ``"cross_entropy"`` takes class labels 0 to n - 1, ``"mse"`` takes values; or another name
        or loss, such as ``nn.Huber(delta=2.0)``; or a function ``(y_true, y_pred)`` that returns
        the loss and its gradient, see `nn.PythonLoss`.
    optimizer : Optimizer, LBFGS, str or None, default=None
        None is ``nn.Adam()``.
    seed : int, numpy.random.Generator or None, default=None
        Of the initial weights and of the shuffling. The same seed gives the same bits in every
        run, for any number of threads; None takes fresh entropy.
    dtype : {"float32", "float64"}, default="float32"
        What the network computes in.
    metrics : list of str and callable, or None, default=None
        What `evaluate`, and a fit of its validation data, report beside the loss: names such as
        ``"f1"``, and functions ``(y_true, y_pred) -> float`` of targets and predictions. None is
        the accuracy for a classifier, nothing for others.
    schedule : Schedule, callable or None, default=None
        What the optimizer's learning rate is multiplied by: a schedule such as ``nn.Cosine(10)``,
        or a function from the epoch as a float (0.0 at the start of training, 1.5 in the middle of
        the second epoch) to a factor of at least 0. None leaves the rate alone. `train_on_batch`
        and `step` take the factor at the beginning of the epoch that comes next. A network pickles
        if its schedule does.
    sparse : {"auto", "never", "always"}, default="auto"
        Whether matrix products skip the zeros that a relu leaves: always, never, or where a table
        of measurements says that it takes less time. The results are the same bits.

    Attributes
    ----------
    epoch : int
        How many epochs are done in the network's life. `snapshot`, copies and pickles keep it; a
        loop of one's own may count it up.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as said.

    Notes
    -----
    The width of the input is taken from the first data seen, or given to `build`. A network may
    predict from many Python threads at once; training it is for one thread at a time.

    Examples
    --------
    >>> import numpy as np
    >>> from relume import nn
    >>> X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype="float32")
    >>> y = np.array([0, 1, 1, 0])
    >>> net = nn.Network([nn.Dense(16, activation="relu"), nn.Dense(2)],
    ...                  optimizer=nn.Adam(0.05), seed=0)
    >>> history = net.fit(X, y, epochs=100)
    >>> net.predict(X)
    array([0, 1, 1, 0])
    """

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
        self._weights: Any = None  # Weights, once built
        self.layers = checked_layers(layers, "layers")
        self.loss = loss_of(loss)
        self.metrics = metrics_of(metrics, self.loss)
        # Copies: a fit may change the learning rate, and what a schedule has seen.
        self.optimizer: Any = copy.copy(optimizer_of(optimizer))  # an Optimizer or LBFGS
        self.schedule: Callable[[float], float] | None = schedule_of(schedule)
        if isinstance(self.schedule, Schedule):
            self.schedule = copy.copy(self.schedule)
        self.epoch: int = 0
        self.dtype = DTYPES[validation.choice(_name_of(dtype), "dtype", DTYPES)]
        self.sparse: str = validation.choice(sparse, "sparse", SPARSITIES)
        self.loss.numbers(self.n_outputs, self.dtype)  # raises where it does not fit the outputs
        self._rng = _generator_of(seed)
        self._tape: Any = None  # what `forward` keeps for `backward`

    @property
    def n_outputs(self) -> int:
        """The number of outputs: of the built network, else of the layers as they are."""
        if self._weights is not None:
            return int(self._weights.plan.n_out)
        return _outputs_of(self.layers)

    @property
    def _kinds(self):
        """The kinds of ops of the built network, else of the layers as they are."""
        if self._weights is None:
            specs = steps_of(checked_layers(self.layers, "layers"))
        else:
            specs = self._weights.specs
        return [spec["kind"] for spec in specs]

    @property
    def _loss_numbers(self):
        """The numbers that the loss's kernel takes; derived, since the loss may be replaced."""
        return self.loss.numbers(self.n_outputs, self.dtype)

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
        n_features = validation.integer(n_features, "n_features")
        if self._weights is None:
            _outputs_of(self.layers)  # which may have changed
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
        _outputs_of(self.layers)  # which may have changed
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
        save(self, path)

    def _built(self):
        if self._weights is None:
            raise RuntimeError(
                "the network is not built: call fit, build or load_state_dict first"
            )
        return self._weights

    # -- training -------------------------------------------------------------------------------

    def fit(
        self,
        X: Any,
        y: ArrayLike | None = None,
        *,
        epochs: int = 1,
        batch_size: int = 32,
        shuffle: bool = True,
        sample_weight: ArrayLike | None = None,
        class_weight: Mapping[int, float] | Literal["balanced"] | None = None,
        validation_data: tuple[Any, ...] | None = None,
        validation_split: float = 0.0,
        steps_per_epoch: int | None = None,
        progress: bool = False,
        callbacks: Sequence[Callback | Callable[["Network", int, dict[str, float]], Any]]
        | None = None,
    ) -> History:
        """Train for some epochs, going on from the present weights, optimizer and random state.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n, n_features), or iterable
            Real numbers; read without a copy if C-contiguous and of the network's dtype. A memory
            map is never read as a whole; of a SciPy sparse matrix only some rows at a time are
            taken, and the first layer must be a `Dense`, with or without a `Standardize` before
            it. Or an iterable of minibatches (X, y) or (X, y, sample_weight), begun anew for each
            epoch, and `y` is None then.
        y : array_like of shape (n,) or (n, n_outputs), or None
            What the loss takes: class labels, or values.
        epochs : int, default=1
            How many to add.
        batch_size : int, default=32
            Rows of a minibatch; the last one of an epoch may be short.
        shuffle : bool, default=True
            Whether the rows are put in a new order for each epoch.
        sample_weight : array_like of shape (n,) or None, default=None
            How much each row counts: a minibatch's loss is ``sum(w * loss) / sum(w)``.
        class_weight : dict, "balanced" or None, default=None
            A weight for each label, 1 where it has none; "balanced" gives all labels in y the same
            sum. Multiplied by `sample_weight`.
        validation_data : tuple (X, y) or (X, y, sample_weight) or None, default=None
            Evaluated after each epoch.
        validation_split : float, default=0.0
            Instead: the share of rows, the last ones, that are not trained on but evaluated.
        steps_per_epoch : int or None, default=None
            How many minibatches of an iterable are an epoch; None takes all. An iterator, which
            cannot be begun anew, needs it where there are several epochs.
        progress : bool, default=False
            Whether to show a bar on a terminal, a line an epoch elsewhere.
        callbacks : list or None, default=None
            Callbacks such as ``nn.EarlyStopping()``, and functions ``f(net, epoch, figures)``,
            called after each epoch in this order; one that returns True ends the fit.

        Returns
        -------
        history : History

        Raises
        ------
        TypeError, ValueError
            If an argument is not as said, X or y hold NaN or infinities, or a label is outside the
            classes; the network is then as it was.
        FloatingPointError
            If the loss stops being finite, saying where; the network is then as it was at the
            beginning of that epoch.
        KeyboardInterrupt
            Upon Ctrl-C, after the minibatch at hand; the network keeps what it has learned.
        Exception
            Whatever a callback raises; the network is as after the last complete epoch.
        """
        epochs = validation.integer(epochs, "epochs")
        batch_size = validation.integer(batch_size, "batch_size")
        shuffle, progress = (
            validation.flag(shuffle, "shuffle"),
            validation.flag(progress, "progress"),
        )
        if steps_per_epoch is not None:
            steps_per_epoch = validation.integer(steps_per_epoch, "steps_per_epoch")
        held_out = None
        if y is None:
            weights = (sample_weight, class_weight, validation_split or None)
            source = self._iterable(X, steps_per_epoch, epochs, weights)
        else:
            X, y, weight = self._data(X, y, sample_weight)
            if steps_per_epoch is not None:
                raise ValueError(
                    "steps_per_epoch must be None where X is an array, all of whose rows are an "
                    f"epoch; got {steps_per_epoch}"
                )
            weight = class_weights(class_weight, self.loss, self.n_outputs, y, weight, self.dtype)
            (X, y, weight), held_out = split(X, y, weight, validation_split, validation_data)
            self._enough_rows(X, batch_size)
            source = ArrayBatches(X, y, weight, batch_size, shuffle, self._normalizes_batches())
        if held_out:
            self._finite(held_out[0], "X")
        held_out = held_out or self._validation(validation_data, source.width)
        if isinstance(self.optimizer, LBFGS):
            return fit_lbfgs(self, source, epochs, held_out, Hooks(callbacks), progress)
        return Fitting(self, source, held_out, Hooks(callbacks)).run(epochs, progress)

    def _normalizes_batches(self):
        """Whether there is a BatchNorm, to which a minibatch of one row is of no use."""
        return "batch_norm" in self._kinds

    def _enough_rows(self, X, batch_size=2):
        """Raise where all rows of X, or a minibatch, are too few to train on."""
        if 1 in (len(X), batch_size) and self._normalizes_batches():
            name = "batch_size" if batch_size == 1 else "the number of rows of X"
            raise ValueError(f"{name} must be at least 2 with nn.BatchNorm, got 1")

    def _iterable(self, X, steps, epochs, weights):
        if any(each is not None for each in weights):
            raise ValueError(
                "sample_weight, class_weight and validation_split must be left out where X gives "
                "minibatches, which may hold weights of their own"
            )
        if isinstance(X, np.ndarray) or not isinstance(X, Iterable):
            raise TypeError("y must be given, unless X is an iterable of minibatches (X, y)")
        if isinstance(X, Iterator) and steps is None and epochs > 1:
            raise ValueError(
                "steps_per_epoch must be given for an iterator, which cannot be begun anew"
            )
        return IterableBatches(X, steps, self._batch)

    def _batch(self, item):
        """A minibatch as the engine takes it."""
        if not isinstance(item, tuple | list) or len(item) not in (2, 3):
            raise TypeError(
                f"X must give minibatches (X, y) or (X, y, sample_weight), got {type(item)}"
            )
        X, y, weight = self._data(*item)
        self._enough_rows(X)
        if self._weights is not None:
            self._weights.adapt(X)
        return X, y, weight

    def _training(self, source):
        weights = self._weights
        self._tape = weights.gradients = None
        weights.average_for(self.optimizer.ema_decay)
        loss = self.loss
        if not isinstance(loss, PythonLoss):
            loss = loss.kernel(source.y_like), self._loss_numbers
        return Training(weights.plan, weights, source.rows, loss, source.y_like, self.optimizer)

    def _learning_rates(self, steps):
        """Of the minibatches of the next epoch, if it has so many."""
        return learning_rates(self.optimizer.lr, self.schedule, self.epoch, steps or 1)

    def _key(self):
        """What the random numbers of an epoch come of, where layers need some."""
        if not self._weights.plan.random:
            return 0
        return int(self._rng.integers(2**64, dtype=np.uint64))

    def train_on_batch(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> float:
        """Make one step on one minibatch.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n, n_features)
            An `nn.Standardize` that has seen no data learns from the first minibatch.
        y : array_like of shape (n,) or (n, n_outputs)
        sample_weight : array_like of shape (n,) or None, default=None
            How much each row counts.

        Returns
        -------
        loss : float
            Before the step.

        Raises
        ------
        TypeError, ValueError, FloatingPointError
            As `fit`; the network is then as it was.
        """
        X, y, weight = self._data(X, y, sample_weight)
        self._needs_steps("train_on_batch")
        self._enough_rows(X)
        source = ArrayBatches(X, y, weight, len(X))
        weights, before, status = self._weights, None, None
        learns = self._kinds[0] == "standardize" and not (weights and weights.standardized)
        if weights is None or learns or weights.plan.random:
            before = self._rng.bit_generator.state if weights and not learns else self.snapshot()
        try:
            self.build(source.width)
            source.standardize(self._weights)
            status, loss = self._step_on(source)
        finally:
            if status != STATUS["fine"]:
                self._undo(before)
        if status != STATUS["fine"]:
            raise FloatingPointError("the loss of this minibatch is not finite; no step was made")
        return loss

    def _undo(self, before):
        """Be as before a step that was not made: a snapshot, a random state, or None."""
        if isinstance(before, Snapshot):
            self.restore(before)
        elif before is not None:
            self._rng.bit_generator.state = before

    def _step_on(self, source):
        training = self._training(source)
        X = source.X if source.in_memory else source.X.take(slice(None))
        status, _, loss = training.batch(
            X, source.y, source.weight, self._learning_rates(1)[0], self._key()
        )
        self._weights.steps = training.t
        raise_refused(status, training, self.dtype)
        return status, loss

    def _needs_steps(self, method):
        if isinstance(self.optimizer, LBFGS):
            raise RuntimeError(f"{method} needs an optimizer that makes steps; nn.LBFGS has fit")

    def forward(self, X: ArrayLike, training: bool = False) -> NDArray[np.floating]:
        """The raw outputs: logits under ``"cross_entropy"``.

        Parameters
        ----------
        X : array_like or, in prediction, sparse matrix of shape (n, n_features)
        training : bool, default=False
            Whether layers do as in training (noise is drawn, and BatchNorm takes and tracks the
            statistics of these rows), and what `backward` needs is kept.

        Returns
        -------
        z : ndarray of shape (n, n_outputs)

        Raises
        ------
        TypeError, ValueError
            If X is not as said, or not finite.
        """
        X = self._features(X)
        if not validation.flag(training, "training"):
            return self._outputs(X)
        self.build(X.shape[1])
        plan, parameters = self._weights.plan, self._weights.parameters
        if isinstance(X, SparseRows):
            raise TypeError("X must be a dense array where training=True, got a sparse matrix")
        self._enough_rows(X)
        X = X.copy() if isinstance(X, np.ndarray) else X.take(slice(None))
        tape = plan.new_tape(len(X))
        z = plan.forward(parameters, X, tape, self._key())
        if z is None:
            raise validation.not_finite("X", self.dtype)
        self._tape = X, tape
        return z

    def backward(self, dz: ArrayLike) -> NDArray[np.floating]:
        """From the gradient of a loss of one's own by the raw outputs to all gradients.

        Parameters
        ----------
        dz : array_like of shape (n, n_outputs)
            For the rows of the last ``forward(X, training=True)``.

        Returns
        -------
        dX : ndarray of shape (n, n_features)
            Gradient by the input. Those by the parameters are kept for `step`.

        Raises
        ------
        RuntimeError
            If there was no such `forward`.
        ValueError
            If `dz` has another shape, or is not finite.
        """
        if self._tape is None:
            raise RuntimeError("call forward(X, training=True) before backward")
        (X, tape), weights = self._tape, self._weights
        dz = validation.matrix(dz, "dz", self.dtype, weights.plan.n_out)
        validation.finite(dz, "dz", self.dtype)
        validation.same_length(X, dz, ("X", "dz"))
        gradients = np.zeros_like(weights.parameters)
        dX = weights.plan.backward(weights.parameters, gradients, X, tape, dz)
        self._tape, weights.gradients = None, gradients
        return dX

    def gradients(self) -> dict[str, NDArray[np.floating]]:
        """The gradients of the last `backward`, by the names and shapes of `state_dict`.

        Returns
        -------
        gradients : dict of str to ndarray

        Raises
        ------
        RuntimeError
            If there was no `backward` since the last `step`.
        """
        weights = self._with_gradients()
        named = weights.named(weights.gradients, statistics=False)
        return {name: value.copy() for name, value in named.items()}

    def step(self) -> None:
        """Let the optimizer make a step with the gradients of the last `backward`.

        The layers' penalties are added to them before.

        Raises
        ------
        RuntimeError
            If there was no `backward` since the last step.
        """
        self._needs_steps("step")
        weights = self._with_gradients()
        weights.average_for(self.optimizer.ema_decay)
        updates = Updates(weights.plan, weights, self.optimizer, 1)
        updates.step(weights.gradients, self._learning_rates(1)[0])
        weights.steps, weights.gradients = updates.t, None

    def averaged(self) -> "Network":
        """A copy of the network with the running average of its parameters.

        Returns
        -------
        net : Network

        Raises
        ------
        RuntimeError
            If nothing was averaged: the optimizer needs an ``ema_decay``, and a step.
        """
        if self._weights is None or self._weights.average is None:
            raise RuntimeError(
                "nothing was averaged: train with an optimizer such as nn.Adam(ema_decay=0.999)"
            )
        net = copy.copy(self)
        net._weights.parameters = self._weights.averaged()
        return net

    def _with_gradients(self):
        if self._weights is None or self._weights.gradients is None:
            raise RuntimeError("call backward first: there are no gradients")
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
            raise validation.not_finite("X", self.dtype)
        return z

    # -- other forms ----------------------------------------------------------------------------

    def to_onnx(
        self,
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

    def to_sklearn(self, classes: ArrayLike | None = None) -> Any:
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

    def compact(self, X: ArrayLike) -> "Compacted":
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

    # -- data -------------------------------------------------------------------------------------

    def _features(self, X, name="X", width=None):
        width = self._weights.plan.n_in if self._weights else width
        features = features_of(X, name, self.dtype, width)
        if isinstance(features, SparseRows):
            self._check_sparse(name)
        return features

    def _check_sparse(self, name):
        """Raise unless what reads the input can read a sparse matrix."""
        kinds = self._kinds
        if kinds[:1] == ["standardize"]:
            kinds = kinds[1:]
        if kinds[:1] != ["dense"]:
            raise TypeError(
                f"{name} must be dense, unless the first layer is a Dense, or a Standardize and a "
                f"Dense; got a sparse matrix for layers={self.layers!r}"
            )
        mean = self._weights and self._weights.standardization()[0]
        if mean is not None and mean.any():
            raise TypeError(
                f"{name} must be dense, since nn.Standardize has learnt a mean of dense data; "
                "got a sparse matrix. nn.Standardize(with_mean=False) takes both"
            )

    def _data(self, X, y, weight=None, names=("X", "y", "sample_weight"), width=None):
        """X, y and weights as the engine takes them."""
        X, y = self._features(X, names[0], width), validation.as_array(y, names[1])
        validation.same_length(X, y, names)
        y = self.loss.targets(y, names[1], self.n_outputs, self.dtype)
        if weight is not None:
            if isinstance(self.loss, PythonLoss):
                raise ValueError(f"{names[2]} must be None for a loss written in Python")
            weight = validation.weights(weight, names[2], self.dtype, len(X))
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
                raise validation.not_finite(name, self.dtype)
        return X


def _outputs_of(layers):
    """The number of outputs of layers that make sense together."""
    units = width_of(checked_layers(layers, "layers"))
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
