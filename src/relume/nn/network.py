"""The network: values, training and prediction. What computes is relume.engine."""

import time

import numpy as np

from relume.engine.plan import Plan
from relume.engine.training import STATUS, Training, apply_update
from relume.nn import checks, initializers
from relume.nn.blas import single_threaded_blas
from relume.nn.history import History, Progress
from relume.nn.layers import Dense
from relume.nn.losses import LOSSES
from relume.nn.optimizers import optimizer_of

DTYPES = {"float32": np.dtype(np.float32), "float64": np.dtype(np.float64)}


class Network:
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
        Of the initial weights and of the shuffling. The same seed gives the same bits in every run,
        for any number of threads; None takes fresh entropy.
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

    def __init__(
        self, layers, *, loss="cross_entropy", optimizer=None, seed=None, dtype="float32"
    ):
        if not isinstance(layers, list | tuple):
            raise TypeError(f"layers must be a list of layers, got {layers!r}")
        if not layers:
            raise ValueError("layers must hold at least one layer, got an empty list")
        for i, layer in enumerate(layers):
            if not isinstance(layer, Dense):
                raise TypeError(f"layers[{i}] must be a layer such as nn.Dense, got {layer!r}")
        self.layers = list(layers)
        self.loss = checks.choice(loss, "loss", LOSSES)
        self.optimizer = optimizer_of(optimizer)
        name = dtype if isinstance(dtype, str) else getattr(np.dtype(dtype), "name", dtype)
        self.dtype = DTYPES[checks.choice(name, "dtype", DTYPES)]
        self._rng = np.random.default_rng(seed)
        self._plan = None

    def __repr__(self):
        layers = ", ".join(map(repr, self.layers))
        return (
            f"Network([{layers}], loss={self.loss!r}, optimizer={self.optimizer!r}, "
            f"dtype={self.dtype.name!r})"
        )

    # -- values -----------------------------------------------------------------------------------

    def build(self, n_features):
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
        if self._plan is not None:
            if n_features != self._plan.n_in:
                raise ValueError(
                    f"n_features must be {self._plan.n_in}, for which the network is built; "
                    f"got {n_features}"
                )
            return self
        self._allocate(n_features)
        for layer, (weight, _) in zip(self.layers, self._views(self._parameters), strict=True):
            weight[:] = initializers.draw(self._rng, layer.activation, *weight.shape)
        return self

    def _allocate(self, n_features):
        self._plan = Plan(n_features, [layer.compiled() for layer in self.layers], self.dtype)
        self._parameters = np.zeros(self._plan.n_parameters, self.dtype)
        self._gradients = None
        self._state = np.zeros((2, self._plan.n_parameters), self.dtype)
        self._steps = 0
        self._tape = None

    def _views(self, flat):
        """A layer's weights (n_in, n_out) and biases (n_out,) in a flat buffer, for each layer."""
        for start, n_in, n_out in self._plan.layout():
            end = start + n_in * n_out
            yield flat[start:end].reshape(n_in, n_out), flat[end : end + n_out]

    def state_dict(self):
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
        self._check_built()
        pairs = zip(self._names(), self._views(self._parameters), strict=True)
        return {
            key: value.copy()
            for name, (weight, bias) in pairs
            for key, value in ((f"{name}.weight", weight.T), (f"{name}.bias", bias))
        }

    def load_state_dict(self, state):
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
        names = list(self._names())
        expected = [f"{name}.{kind}" for name in names for kind in ("weight", "bias")]
        for key in expected:
            if key not in state:
                raise ValueError(f"state lacks {key!r}; it must hold {', '.join(expected)}")
        for key in state:
            checks.choice(key, "a key of state", expected)
        arrays = {key: np.asarray(state[key], self.dtype) for key in expected}
        first = arrays[expected[0]]
        n_in = self._plan.n_in if self._plan else (first.shape[1] if first.ndim == 2 else -1)
        for layer, name in zip(self.layers, names, strict=True):
            shapes = {f"{name}.weight": (layer.units, n_in), f"{name}.bias": (layer.units,)}
            for key, shape in shapes.items():
                if arrays[key].shape != shape:
                    raise ValueError(f"{key} must have shape {shape}, got {arrays[key].shape}")
            n_in = layer.units
        self._allocate(first.shape[1])
        for name, (weight, bias) in zip(names, self._views(self._parameters), strict=True):
            weight[:], bias[:] = arrays[f"{name}.weight"].T, arrays[f"{name}.bias"]

    def _names(self):
        """The index of each layer among the modules of a torch.nn.Sequential."""
        index = 0
        for layer in self.layers:
            yield str(index)
            index += 1 if layer.activation is None else 2

    def __getstate__(self):
        """Values and settings, copied, without what can be compiled again."""
        state = {key: value for key, value in self.__dict__.items() if key != "_plan"}
        state["_n_in"] = None if self._plan is None else self._plan.n_in
        for key in ("_parameters", "_state"):
            if key in state:
                state[key] = state[key].copy()
        return state | {"_tape": None, "_gradients": None, "_rng": _copy_of(self._rng)}

    def __setstate__(self, state):
        n_in = state.pop("_n_in")
        self.__dict__.update(state)
        layers = [layer.compiled() for layer in self.layers]
        self._plan = None if n_in is None else Plan(n_in, layers, self.dtype)

    def _check_built(self):
        if self._plan is None:
            raise RuntimeError("the network is not built: call fit, build or load_state_dict first")

    # -- training ---------------------------------------------------------------------------------

    def fit(
        self,
        X,
        y,
        *,
        epochs=1,
        batch_size=32,
        shuffle=True,
        validation_data=None,
        progress=False,
    ):
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
        return Training(
            self._plan, self._parameters, self._state, X, y, batch_size, self.loss,
            self.optimizer.kernel, self.optimizer.hyper(), self._steps,
        )  # fmt: skip

    def _epoch(self, training, order, epoch, before, good):
        """Train one epoch and return its loss; put the network back where that cannot be done."""
        try:
            status, step, loss = training.epoch(order)
        finally:
            self._steps = training.t
        if status == STATUS["input not finite"]:
            self._restore(before)
            raise ValueError(f"X must be finite in {self.dtype}, got NaN or infinity")
        if status == STATUS["loss not finite"]:
            self._restore(good)
            raise FloatingPointError(
                f"the loss stopped being finite at epoch {epoch}, step {step + 1}; the network has "
                "the weights of the beginning of that epoch again. A lower learning rate may help"
            )
        return loss

    def _snapshot(self):
        """All that training changes, or None if the network is not built."""
        random = self._rng.bit_generator.state
        if self._plan is None:
            return None, random
        return (self._parameters.copy(), self._state.copy(), self._steps), random

    def _restore(self, snapshot):
        values, self._rng.bit_generator.state = snapshot
        if values is None:
            self._plan = None
        else:
            self._parameters[:], self._state[:], self._steps = values

    def train_on_batch(self, X, y):
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
        before = self._snapshot() if self._plan is None else (None, None)
        self.build(X.shape[1])
        with single_threaded_blas:
            status, _, loss = self._step_on(X, y)
        if status != STATUS["fine"]:
            if before[1] is not None:
                self._restore(before)
            if status == STATUS["input not finite"]:
                raise ValueError(f"X must be finite in {self.dtype}, got NaN or infinity")
            raise FloatingPointError("the loss of this minibatch is not finite; no step was made")
        return loss

    def _step_on(self, X, y):
        training = self._training(X, y, len(X))
        result = training.epoch(np.arange(len(X)))
        self._steps = training.t
        return result

    def forward(self, X, training=False):
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
        X, tape = X.copy(), self._plan.new_tape(len(X))
        with single_threaded_blas:
            z = self._plan.forward(self._parameters, X, tape)
        if z is None:
            raise ValueError(f"X must be finite in {self.dtype}, got NaN or infinity")
        self._tape = X, tape
        return z

    def backward(self, dz):
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
            If `dz` has another shape.
        """
        if self._plan is None or self._tape is None:
            raise RuntimeError("call forward(X, training=True) before backward")
        X, tape = self._tape
        dz = checks.matrix(dz, "dz", self.dtype, self._plan.n_out)
        checks.same_length(X, dz, ("X", "dz"))
        gradients = np.zeros_like(self._parameters)
        with single_threaded_blas:
            dX = self._plan.backward(self._parameters, gradients, X, tape, dz)
        self._tape, self._gradients = None, gradients
        return dX

    def gradients(self):
        """The gradients of the last `backward`, by the names and shapes of `state_dict`.

        Returns
        -------
        gradients : dict of str to ndarray

        Raises
        ------
        RuntimeError
            If there was no `backward` since the last `step`.
        """
        self._check_gradients()
        pairs = zip(self._names(), self._views(self._gradients), strict=True)
        return {
            key: value.copy()
            for name, (weight, bias) in pairs
            for key, value in ((f"{name}.weight", weight.T), (f"{name}.bias", bias))
        }

    def step(self):
        """Let the optimizer make a step with the gradients of the last `backward`.

        Raises
        ------
        RuntimeError
            If there was no `backward` since the last step.
        """
        self._check_gradients()
        self._steps += 1
        apply_update(
            self._plan, self._parameters, self._gradients, self._state, self.optimizer.kernel,
            self.optimizer.hyper(), self._steps,
        )  # fmt: skip
        self._gradients = None

    def _check_gradients(self):
        if self._plan is None or self._gradients is None:
            raise RuntimeError("call backward first: there are no gradients")

    # -- prediction -------------------------------------------------------------------------------

    def predict(self, X):
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
        self._check_built()
        z = self._outputs(self._features(X))
        if LOSSES[self.loss].classifies:
            return z.argmax(axis=1)
        return z.ravel() if z.shape[1] == 1 else z

    def predict_proba(self, X):
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
        self._check_built()
        if not LOSSES[self.loss].classifies:
            raise RuntimeError(f"loss={self.loss!r} has no class probabilities; use predict")
        return self._outputs(self._features(X), softmax=True)

    def evaluate(self, X, y):
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
        self._check_built()
        return self._evaluate(*self._data(X, y))

    def _evaluate(self, X, y):
        z = self._outputs(X)
        return {
            "loss": self._plan.mean_loss(self.loss, z, y),
            **LOSSES[self.loss].metrics(z, y),
        }

    def _outputs(self, X, softmax=False):
        self.build(X.shape[1])
        with single_threaded_blas:
            z = self._plan.predict(self._parameters, X, softmax)
        if z is None:
            raise ValueError(f"X must be finite in {self.dtype}, got NaN or infinity")
        return z

    # -- data -------------------------------------------------------------------------------------

    def _features(self, X, name="X", width=None):
        return checks.matrix(X, name, self.dtype, self._plan.n_in if self._plan else width)

    def _data(self, X, y, names=("X", "y"), width=None):
        X, y = self._features(X, names[0], width), np.asarray(y)
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
            raise ValueError(f"validation_data X must be finite in {self.dtype}, got NaN or infinity")
        return X, y


def _copy_of(rng):
    """A generator that goes on as this one does, independently."""
    copied = np.random.Generator(type(rng.bit_generator)(0))
    copied.bit_generator.state = rng.bit_generator.state
    return copied
