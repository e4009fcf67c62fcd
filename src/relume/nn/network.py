"""The network: training. What computes is relume.engine."""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from relume.engine.training import STATUS, Training
from relume.engine.updates import Updates
from relume import validation as checks
from relume.nn.data.minibatches import ArrayBatches, IterableBatches, class_weights, split
from relume.nn.data.rows import SparseRows
from relume.nn.training.fit_loop import Fitting
from relume.nn.training.history import History
from relume.nn.callbacks.callback import Callback, Hooks
from relume.nn.training.lbfgs_fit import LBFGS, fit_lbfgs
from relume.nn.losses import PythonLoss
from relume.nn.network import Model
from relume.nn.optimizers.schedule import learning_rates
from relume.nn.parameters.snapshot import Snapshot


class Network(Model):
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
        epochs = checks.integer(epochs, "epochs")
        batch_size = checks.integer(batch_size, "batch_size")
        shuffle, progress = checks.flag(shuffle, "shuffle"), checks.flag(progress, "progress")
        if steps_per_epoch is not None:
            steps_per_epoch = checks.integer(steps_per_epoch, "steps_per_epoch")
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
        validation = held_out or self._validation(validation_data, source.width)
        if isinstance(self.optimizer, LBFGS):
            return fit_lbfgs(self, source, epochs, validation, Hooks(callbacks), progress)
        return Fitting(self, source, validation, Hooks(callbacks)).run(epochs, progress)

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
            if status == STATUS["input not finite"]:
                raise checks.not_finite("X", self.dtype)
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
        if not checks.flag(training, "training"):
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
            raise checks.not_finite("X", self.dtype)
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
        dz = checks.matrix(dz, "dz", self.dtype, weights.plan.n_out)
        checks.finite(dz, "dz", self.dtype)
        checks.same_length(X, dz, ("X", "dz"))
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
