"""The network: training. What computes is relume.engine."""

import time

import numpy as np
from numpy.typing import ArrayLike, NDArray

from relume.engine.training import STATUS, Training, apply_update
from relume.nn import checks
from relume.nn.blas import single_threaded_blas
from relume.nn.history import History, Progress
from relume.nn.model import Model


class Network(Model):
    """A dense network with a loss and an optimizer.

    Parameters
    ----------
    layers : list of Dense
        At least one. The last one's outputs are logits under ``"cross_entropy"``, values under
        ``"mse"``.
    loss : {"cross_entropy", "mse"}, default="cross_entropy"
        ``"cross_entropy"`` takes class labels 0 to n - 1, ``"mse"`` takes values.
    optimizer : SGD, Adam, str or None, default=None
        None is ``nn.Adam()``.
    seed : int, numpy.random.Generator or None, default=None
        Of the initial weights and of the shuffling. The same seed gives the same bits in every
        run, for any number of threads; None takes fresh entropy.
    dtype : {"float32", "float64"}, default="float32"
        What the network computes in.

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
        X: ArrayLike,
        y: ArrayLike,
        *,
        epochs: int = 1,
        batch_size: int = 32,
        shuffle: bool = True,
        validation_data: tuple[ArrayLike, ArrayLike] | None = None,
        progress: bool = False,
    ) -> History:
        """Train for some epochs, going on from the present weights, optimizer and random state.

        Parameters
        ----------
        X : array_like of shape (n, n_features)
            Real numbers; read without a copy if C-contiguous and of the network's dtype.
        y : array_like of shape (n,) or (n, n_outputs)
            Class labels, or values.
        epochs : int, default=1
            How many to add.
        batch_size : int, default=32
            Rows of a minibatch; the last one of an epoch may be short.
        shuffle : bool, default=True
            Whether the rows are put in a new order for each epoch.
        validation_data : tuple (X, y) or None, default=None
            Evaluated after each epoch.
        progress : bool, default=False
            Whether to show a bar on a terminal, a line an epoch elsewhere.

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
        """
        X, y = self._data(X, y)
        epochs = checks.integer(epochs, "epochs")
        batch_size = checks.integer(batch_size, "batch_size")
        shuffle, progress = checks.flag(shuffle, "shuffle"), checks.flag(progress, "progress")
        validation = self._validation(validation_data, X.shape[1])
        history, begin = History(), time.perf_counter()
        before = self._snapshot()
        self.build(X.shape[1])
        training = self._training(X, y, batch_size)
        with single_threaded_blas, Progress(epochs, progress) as shown:
            for epoch in range(1, epochs + 1):
                good = before if epoch == 1 and before[0] else self._snapshot()
                order = self._rng.permutation(len(X)) if shuffle else np.arange(len(X))
                loss = self._epoch(training, order, epoch, before, good)
                figures = {"loss": loss}
                if validation:
                    figures |= {f"val_{k}": v for k, v in self._evaluate(*validation).items()}
                history.add(**figures, seconds=time.perf_counter() - begin)
                shown.epoch(**figures)
        return history

    def _training(self, X, y, batch_size):
        weights = self._weights
        self._tape = weights.gradients = None
        batch_size = min(batch_size, len(X))
        return Training(
            weights.plan, weights.parameters, weights.optimizer_state, X, y, batch_size, self.loss,
            self.optimizer.kernel, self.optimizer.hyper(), weights.steps,
        )  # fmt: skip

    def _epoch(self, training, order, epoch, before, good):
        """Train one epoch and return its loss; put the network back where that cannot be done."""
        try:
            status, step, loss = training.epoch(order)
        finally:
            self._weights.steps = training.t
        if status == STATUS["input not finite"]:
            self._restore(before)
            raise checks.not_finite("X", self.dtype)
        # The last step's weights are met by no loss of this epoch.
        if status == STATUS["loss not finite"] or not self._weights.are_finite():
            self._restore(good)
            where = step + 1 if status == STATUS["loss not finite"] else step
            raise FloatingPointError(
                f"the loss stopped being finite at epoch {epoch}, step {where}; the network "
                "has the weights of the beginning of that epoch again. "
                "A lower learning rate may help"
            )
        return loss

    def _snapshot(self):
        """All that training changes, or None if the network is not built."""
        values = None if self._weights is None else self._weights.snapshot()
        return values, self._rng.bit_generator.state

    def _restore(self, snapshot):
        values, self._rng.bit_generator.state = snapshot
        if values is None:
            self._weights = None
        else:
            self._weights.restore(values)

    def train_on_batch(self, X: ArrayLike, y: ArrayLike) -> float:
        """Make one step on one minibatch.

        Parameters
        ----------
        X : array_like of shape (n, n_features)
        y : array_like of shape (n,) or (n, n_outputs)

        Returns
        -------
        loss : float
            Before the step.

        Raises
        ------
        TypeError, ValueError, FloatingPointError
            As `fit`; the network is then as it was.
        """
        X, y = self._data(X, y)
        before = self._snapshot() if self._weights is None else None
        self.build(X.shape[1])
        with single_threaded_blas:
            status, _, loss = self._step_on(X, y)
        if status != STATUS["fine"]:
            if before is not None:
                self._restore(before)
            if status == STATUS["input not finite"]:
                raise checks.not_finite("X", self.dtype)
            raise FloatingPointError("the loss of this minibatch is not finite; no step was made")
        return loss

    def _step_on(self, X, y):
        training = self._training(X, y, len(X))
        result = training.epoch(np.arange(len(X)))
        self._weights.steps = training.t
        return result

    def forward(self, X: ArrayLike, training: bool = False) -> NDArray[np.floating]:
        """The raw outputs: logits under ``"cross_entropy"``.

        Parameters
        ----------
        X : array_like of shape (n, n_features)
        training : bool, default=False
            Whether to keep what `backward` needs.

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
        X, tape = X.copy(), plan.new_tape(len(X))
        with single_threaded_blas:
            z = plan.forward(parameters, X, tape)
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
        with single_threaded_blas:
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
        return {name: value.copy() for name, value in weights.named(weights.gradients).items()}

    def step(self) -> None:
        """Let the optimizer make a step with the gradients of the last `backward`.

        Raises
        ------
        RuntimeError
            If there was no `backward` since the last step.
        """
        weights = self._with_gradients()
        weights.steps += 1
        apply_update(
            weights.plan, weights.parameters, weights.gradients, weights.optimizer_state,
            self.optimizer.kernel, self.optimizer.hyper(), weights.steps,
        )  # fmt: skip
        weights.gradients = None

    def _with_gradients(self):
        if self._weights is None or self._weights.gradients is None:
            raise RuntimeError("call backward first: there are no gradients")
        return self._weights
