"""The network: its layers and settings, its weights, training and prediction.

The arithmetic is in `relume.engine`; the loop of a fit in `relume.nn.training`; checks of data in
`relume.nn.data`.
"""

from __future__ import annotations

import copy
import functools
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Never, Self, TypeVar, cast

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from relume import validation
from relume.engine.prediction import Predictor, Ready
from relume.engine.skip_zeros import SPARSITIES
from relume.engine.updates import Updates
from relume.keywords import no_attribute, refuse, refusing
from relume.nn import notebook
from relume.nn.callbacks.callback import Callback, Hooks
from relume.nn.choices import Choices, choices_of
from relume.nn.configurable import CHANGES
from relume.nn.data import check_data
from relume.nn.data.minibatches import (
    ArrayBatches,
    Features,
    IterableBatches,
    ShardBatches,
    learn_standardization,
)
from relume.nn.data.rows import RawRows, SparseRows, parts_of
from relume.nn.data.shards import Shards
from relume.nn.data.splits import class_weights, split
from relume.nn.data.target_form import MEAN, SCALE, TargetForm
from relume.nn.layers.activations import Activation
from relume.nn.layers.layer import Layer, checked_layers
from relume.nn.layers.normalization import Standardize
from relume.nn.layers.ops import ops_of
from relume.nn.layers.regularization import ActivityL1
from relume.nn.layers.residual import Residual, width_of
from relume.nn.losses import CrossEntropy, Loss, PythonLoss, loss_of
from relume.nn.metrics import Metric, metric_values, metrics_of
from relume.nn.optimizers.lbfgs import LBFGS
from relume.nn.optimizers.optimizers import Optimizer, optimizer_of
from relume.nn.optimizers.schedule import Schedule, learning_rates, schedule_of
from relume.nn.parameters.snapshot import Snapshot
from relume.nn.parameters.state_dict import from_state_dict, state_dict_of
from relume.nn.parameters.weights import Weights
from relume.nn.saving.save import save
from relume.nn.summary import HEAD, rows_of, summary_of
from relume.nn.training.fit_loop import FitLoop
from relume.nn.training.group_fit import (
    GroupBatches,
    GroupFitLoop,
    GroupObjective,
    GroupShardBatches,
    check_groups,
)
from relume.nn.training.groups import Groups, groups_of
from relume.nn.training.history import History
from relume.nn.training.lbfgs_fit import check_fit as check_lbfgs
from relume.nn.training.lbfgs_fit import fit_lbfgs
from relume.nn.training.lbfgs_fit import plain as plain_objective
from relume.nn.training.run import Diverged, Steps, gradients_of, one_step, step_not_finite
from relume.runtime import files
from relume.runtime.read_write_lock import OneThread

if TYPE_CHECKING:
    from relume.nn.compact import Compacted

DTYPES: dict[str, np.dtype[Any]] = {name: np.dtype(name) for name in ("float32", "float64")}

LossOf = (
    Loss
    | Literal[
        "cross_entropy", "binary_cross_entropy", "mse", "mae", "huber", "quantile", "poisson"
    ]
    | Callable[..., Any]
)
OptimizerOf = (
    Optimizer | LBFGS | Literal["adam", "adamw", "lbfgs", "lion", "nadam", "rmsprop", "sgd"] | None
)
MetricsOf = Iterable[str | Callable[..., float]] | None


USED_ELSEWHERE = (
    "another Python thread is training this network, or a part of it: one thread at a time may "
    "train, build, load, restore, save or copy it. Others may predict meanwhile, and ask for "
    "state_dict; or give each thread a network of its own"
)

Method = TypeVar("Method", bound=Callable[..., Any])


def _by_one_thread(method: Method) -> Method:
    """A method that changes the network, which one Python thread at a time may do."""

    @functools.wraps(method)
    def alone(self: Network, *args: Any, **kwargs: Any) -> Any:
        with self._one_thread:
            return method(self, *args, **kwargs)

    return cast("Method", alone)


class _Elsewhere:
    """An attribute that a network does not have, by a name of another library.

    Assigning it would do nothing, and nobody would say so. A property costs other assignments
    nothing, unlike a ``__setattr__``. Derived classes may have an attribute of that name.
    """

    def __init__(self, remedy: str) -> None:
        self.remedy = remedy

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, net: Any, owner: type) -> Any:
        if net is not None and self.name in vars(net):
            return vars(net)[self.name]
        raise AttributeError(f"{owner.__name__} has no {self.name!r}; {self.remedy}")

    def __set__(self, net: Any, value: Any) -> None:
        if type(net) is Network:
            raise AttributeError(f"Network has no {self.name!r}; {self.remedy}")
        vars(net)[self.name] = value

    def __delete__(self, net: Any) -> None:
        if vars(net).pop(self.name, self) is self:
            raise AttributeError(f"{type(net).__name__} has no {self.name!r}; {self.remedy}")


def _elsewhere(n: int, remedy: str) -> list[Any]:
    return [_Elsewhere(remedy) for _ in range(n)]


# Methods of other libraries, and what to do here.
METHODS = {
    name: remedy
    for names, remedy in {
        "add compile": "pass layers, loss and optimizer to nn.Network",
        "parameters named_parameters weights get_weights": "use net.state_dict()",
        "coefs_ intercepts_": "use net.state_dict(), or net.to_sklearn()",
        "set_weights load_weights": "use net.load_state_dict(state)",
        "score": "use net.evaluate(X, y)",
        "transform encode": "use net.part(first, last).predict(X), or net.layer_outputs(X, layer)",
        "partial_fit": "use net.train_on_batch(X, y)",
        "predict_log_proba": "use relume.log_softmax(net.forward(X), axis=1)",
        "decision_function": "use net.forward(X)",
        "zero_grad": "it is not needed: net.backward begins with new gradients",
        "train eval": "it is not needed: fit trains, predict and forward do not",
        "to cuda cpu": "networks run on the CPU, and nn.Network takes dtype",
        "load": "use nn.load(path)",
    }.items()
    for name in names.split()
}


class Network:
    """A dense network with a loss and an optimizer.

    Parameters
    ----------
    layers : list of Layer and Activation
        The layers, with at least one `Dense`. The loss is computed from the outputs of the last
        layer: logits for ``"cross_entropy"``, values for ``"mse"``.
    loss : str, Loss or callable, default="cross_entropy"
        The name of a loss, such as ``"cross_entropy"`` for class labels 0 to n - 1 or ``"mse"``
        for values; a loss object, such as ``nn.Huber(delta=2.0)``; or a function
        ``(y_true, y_pred)`` that returns the loss and its gradient, see `nn.PythonLoss`.
    optimizer : Optimizer, LBFGS, str or None, default=None
        The optimizer, which updates the weights; None means ``nn.Adam()``. The network keeps a
        copy, so change the settings of ``net.optimizer``, not those of the object passed.
    seed : int, numpy.random.Generator or None, default=None
        Seed for the initial weights and for shuffling. The same seed gives the same bits in every
        run, for any number of threads; None means a different seed for each network.
    dtype : {"float32", "float64"}, default="float32"
        Precision of the weights and of all computation.
    metrics : list of str and callable, or None, default=None
        Metrics that `evaluate` reports in addition to the loss, and that a fit reports for its
        validation data: names such as ``"f1"``, and functions ``(y_true, y_pred) -> float`` of
        targets and predictions, both of shape (n,) for one output. None means the accuracy for
        a classifier, and no metrics for other networks.
    schedule : Schedule, callable or None, default=None
        Factor of the learning rate over time: a schedule such as ``nn.Cosine(10)``, or a function
        from the epoch as a float (0.0 at the start of training, 1.5 in the middle of the second
        epoch) to a factor of at least 0. None keeps the learning rate constant. `train_on_batch`
        and `step` use the factor for the time ``net.epoch``. The network keeps a copy of a
        `Schedule`.
    sparse : {"auto", "never", "always"}, default="auto"
        Whether matrix products skip zeros in their input, such as those that a relu produces.
        "auto" times both ways while it works, and skips them where that is faster on this
        machine, see `choices`. The results have the same bits in all three cases.
    scale_targets : bool, default=False
        Whether to train on targets scaled to mean 0 and standard deviation 1. Networks learn them
        far faster than targets that are far from 0 or widely spread. The first `fit` or
        `train_on_batch` computes the weighted mean and std of each output, and the network keeps
        them. Predictions and metrics are in the units of y, in float64. The loss and the raw
        outputs of `forward` refer to the scaled targets. Only for losses of values.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid.

    Notes
    -----
    A network is built when it gets its weights: at the first `fit`, which takes the number of
    features from X, or by `build`.

    Any number of Python threads may predict with the same network at once, even while another
    thread trains it. Each prediction uses the weights from before or after a step, never a
    mixture. Only one thread at a time may train, build, load, restore, save or copy the network;
    other threads get a RuntimeError.

    You can assign attributes, and the settings of layers, loss and optimizer, at any time, even in
    a callback during a fit. A new value is checked as in the constructor and takes effect at the
    next step. A new optimizer starts without the state of the previous one. If new layers do not
    fit the weights of a built network, assigning `layers` raises a ValueError. If a layer's
    setting no longer fits, as after ``net.layers[0].units = 5``, every use of the network raises a
    ValueError until you undo the change.

    A network can be pickled if its schedule can. Other versions of relume may fail to load the
    pickle; use `save` to keep a network.

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
        loss: LossOf = "cross_entropy",
        optimizer: OptimizerOf = None,
        seed: int | np.random.Generator | None = None,
        dtype: DTypeLike = "float32",
        metrics: MetricsOf = None,
        schedule: Callable[[float], float] | None = None,
        sparse: Literal["auto", "never", "always"] = "auto",
        scale_targets: bool = False,
    ) -> None:
        self._one_thread = OneThread(USED_ELSEWHERE)  # entered by the one that trains
        self._values: Weights | None = None  # `_weights` follows the layers
        self._ready = Ready()
        self._tape: Any = None  # what `forward` keeps for `backward`
        self._steps: Steps | None = None  # what `train_on_batch` keeps for its next call
        self._log_names: tuple[str, ...] | None = None  # of the epochs of the last fit
        self._dtype, self._sparse = DTYPES["float32"], "auto"
        self._scale_targets, self._target_form = False, TargetForm()
        # Set before their properties compare with them; vars(self) would make every later access
        # of an attribute take twice as long.
        self._layers: list[Layer | Activation] = []
        self._optimizer: Any = None
        self.layers = layers
        self.dtype = dtype
        self._given_metrics: list[Any] | None = None
        self.loss = loss
        self.metrics = metrics
        self.optimizer = optimizer
        self.schedule = schedule
        self.epoch = 0
        self.sparse = sparse
        self.scale_targets = scale_targets
        self._history: History | None = None
        self._hooks: Hooks | None = None  # those of the fit that is running
        self._callback_states: list[dict[str, Any]] = []  # as the last fit left them
        self._resumes = False  # whether they come from a file, and the next fit continues them
        self._rng = _generator_of(seed)

    # Names of other libraries for what is elsewhere.
    lr, learning_rate = _elsewhere(2, "assign net.optimizer.lr")
    optim, optimiser, solver = _elsewhere(3, "assign net.optimizer")
    criterion, loss_fn, loss_function = _elsewhere(3, "assign net.loss")
    metric, scoring = _elsewhere(2, "assign net.metrics, a list")
    scheduler, lr_scheduler = _elsewhere(2, "assign net.schedule")
    seed, random_state = _elsewhere(2, "pass seed to nn.Network")
    epochs, batch_size, callbacks, progress, verbose = _elsewhere(5, "it is an argument of fit")
    stop_training, should_stop = _elsewhere(2, "a callback that returns True ends the fit")

    def _new(self, layers: Any, **options: Any) -> Network:
        """A network of other layers: a derived class may have another constructor."""
        return Network(layers, **options)

    if not TYPE_CHECKING:  # a type checker would let any attribute be read

        def __getattr__(self, name):
            """Raise an error that says what another library's method is called here."""
            for cls in type(self).__mro__:
                if name in vars(cls):  # a property raised: again, for its own error
                    return vars(cls)[name].__get__(self, type(self))
            raise no_attribute(type(self).__name__, name, METHODS.get(name))

    def __repr__(self) -> str:
        layers = ", ".join(map(repr, self.layers))
        schedule = "" if self.schedule is None else f", schedule={self.schedule!r}"
        scale = ", scale_targets=True" if self.scale_targets else ""
        return (
            f"Network([{layers}], loss={self.loss!r}, optimizer={self.optimizer!r}, "
            f"dtype={self.dtype.name!r}{schedule}{scale})"
        )

    def _repr_html_(self) -> str:
        """The network in a notebook: its layers, its settings, and the loss of the last fit."""
        n_features = None if self._weights is None else self._weights.plan.n_in
        layers = notebook.table(HEAD, rows_of(self.layers, n_features))
        settings: list[tuple[str, str]] = [
            ("input features", "not built yet" if n_features is None else f"{n_features:,}"),
            ("loss", repr(self.loss)),
            ("optimizer", repr(self.optimizer)),
            ("dtype", self.dtype.name),
            ("epochs trained", str(self.epoch)),
        ]
        if self.schedule is not None:
            settings.insert(3, ("schedule", repr(self.schedule)))
        if self.scale_targets:
            settings.append(("scale_targets", "True"))
        for name in ("loss", "val_loss"):
            values = None if self._history is None else self._history.get(name)
            if values:
                line = notebook.sparkline(values, name)
                settings.append((f"last {name}", notebook.Drawing(f"{line} {values[-1]:.4g}")))
        return notebook.fragment("Network", layers, notebook.settings(settings))

    def __dir__(self) -> list[str]:
        """The names that a network has, without those that only tell what to assign instead."""
        told = {name for name, value in vars(Network).items() if isinstance(value, _Elsewhere)}
        return sorted((set(super().__dir__()) - told) | set(vars(self)))

    def summary(self) -> str:
        """Return a table of the layers with their widths and numbers of parameters.

        Returns
        -------
        table : str
            Text to print. The numbers of parameters are known once the network is built. A learned
            slope counts as a parameter of its layer, and a projection as one of its `Residual`.
            The statistics of `BatchNorm` and `Standardize` are not counted.

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

    def choices(self) -> Choices:
        """Choices made by timing on this machine, with the measured times.

        relume measures whether a matrix product should skip zeros (with ``sparse="auto"``) and how
        many threads a step or a prediction should use. It times both ways in the first few calls,
        and later so rarely that it costs less than one percent. Results do not depend on the
        choice.

        Returns
        -------
        choices : Choices
            The products that have been timed, and the threads; ``print`` shows a table.

        Raises
        ------
        RuntimeError
            If the network is not built.

        Examples
        --------
        >>> import numpy as np
        >>> from relume import nn
        >>> X = np.random.default_rng(0).normal(size=(1000, 20)).astype("float32")
        >>> net = nn.Network([nn.Dense(64, activation="relu"), nn.Dense(10)], seed=0)
        >>> history = net.fit(X, np.arange(1000) % 10, epochs=2)
        >>> choices = net.choices()
        >>> [(each.layer, each.product) for each in choices.products]
        [('0', 'forward'), ('0', 'gradient'), ('2', 'forward'), ('2', 'gradient')]
        >>> choices.products[0].pays_from > choices.products[0].zeros     # X has no zeros
        True
        """
        return choices_of(self)

    # -- settings ---------------------------------------------------------------------------------

    @property
    def layers(self) -> list[Layer | Activation]:
        """The layers; the list, and the layers' settings, may be changed in place."""
        return self._layers

    @layers.setter
    def layers(self, value: Sequence[Layer | Activation]) -> None:
        layers = checked_layers(value, "layers")
        before, self._layers = self._layers, layers
        try:
            self._follow_layers()
        except Exception:
            self._layers = before
            self._forget_layers()
            raise

    @property
    def n_outputs(self) -> int:
        """Number of outputs, which follows from `layers`."""
        weights = self._weights
        return _outputs_of(self._layers) if weights is None else weights.plan.n_out

    @n_outputs.setter
    def n_outputs(self, value: int) -> None:
        raise AttributeError(
            f"n_outputs follows from the layers, and is {self.n_outputs}; assign layers instead"
        )

    @property
    def loss(self) -> Loss:
        """The loss that is minimized; the metrics must suit it."""
        return self._loss

    @loss.setter
    def loss(self, value: LossOf) -> None:
        loss = loss_of(value)
        if self._scale_targets:
            _check_scales_targets(loss)
        loss.numbers(self.n_outputs, self._dtype)  # raises where they do not fit the outputs
        try:
            metrics = metrics_of(self._given_metrics, loss)
        except ValueError as error:
            raise ValueError(
                f"loss must suit the metrics; assign metrics = None before it: {error}"
            ) from None
        self._loss, self._metrics, self._ready = loss, metrics, Ready()

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The metrics; names and functions may be assigned, as given to the constructor."""
        return tuple(self._metrics)

    @metrics.setter
    def metrics(self, value: MetricsOf) -> None:
        given: Any = value
        if isinstance(given, Iterable) and not isinstance(given, str):
            given = list(given)
        self._metrics = metrics_of(given, self._loss)
        self._given_metrics = given

    @property
    def optimizer(self) -> Any:  # an Optimizer or LBFGS
        """The optimizer. Another one starts afresh, without moments, average or steps."""
        return self._optimizer

    @optimizer.setter
    def optimizer(self, value: OptimizerOf) -> None:
        if value is not None and value is self._optimizer:
            return
        # A copy, since a fit may change the learning rate.
        self._optimizer = copy.copy(optimizer_of(value))
        if self._values is not None:
            self._values.forget_steps()

    @property
    def schedule(self) -> Callable[[float], float] | None:
        """Factor of the learning rate over time, or None."""
        return self._schedule

    @schedule.setter
    def schedule(self, value: Callable[[float], float] | None) -> None:
        schedule = schedule_of(value)
        # A copy, since a schedule may learn from the epochs.
        self._schedule = copy.copy(schedule) if isinstance(schedule, Schedule) else schedule

    @property
    def epoch(self) -> int:
        """Number of epochs done; a custom training loop may count it up."""
        return self._epoch

    @epoch.setter
    def epoch(self, value: int) -> None:
        self._epoch = validation.integer(value, "epoch", 0)

    @property
    def history(self) -> History | None:
        """The `History` of the last fit, also of one that Ctrl-C or an error ended; else None."""
        return self._history

    @history.setter
    def history(self, value: History) -> None:
        raise AttributeError("history is what the last fit recorded, and cannot be assigned")

    @property
    def dtype(self) -> np.dtype[Any]:
        """Precision of the weights and of all computation."""
        return self._dtype

    @dtype.setter
    def dtype(self, value: DTypeLike) -> None:
        dtype = DTYPES[validation.choice(_name_of(value), "dtype", DTYPES)]
        if self._values is not None and dtype != self._dtype:
            raise ValueError(
                f"dtype must stay {self._dtype} once the network is built, got {dtype}. Give a "
                f"new nn.Network(layers, dtype={dtype.name!r}) the weights by "
                "load_state_dict(net.state_dict())"
            )
        self._dtype = dtype

    @property
    def sparse(self) -> str:
        """Whether matrix products skip zeros."""
        return self._sparse

    @sparse.setter
    def sparse(self, value: str) -> None:
        self._sparse = validation.choice(value, "sparse", SPARSITIES)
        self._forget_layers()

    @property
    def scale_targets(self) -> bool:
        """Whether the outputs stand for targets of mean 0 and standard deviation 1."""
        return self._scale_targets

    @scale_targets.setter
    def scale_targets(self, value: bool) -> None:
        value = validation.flag(value, "scale_targets")
        if value == self._scale_targets:
            return
        if self._values is not None:
            raise ValueError(
                f"scale_targets must stay {self._scale_targets} once the network is built, got "
                f"{value}. Train a new nn.Network(layers, scale_targets={value})"
            )
        if value:
            _check_scales_targets(self._loss)
        self._scale_targets = value

    # -- weights ----------------------------------------------------------------------------------

    @property
    def _weights(self) -> Weights | None:
        """The weights with a plan of the present layers; None before the network is built."""
        if self._changes != CHANGES.layers:
            self._follow_layers()
        return self._values

    @_weights.setter
    def _weights(self, value: Weights | None) -> None:
        self._values, self._tape = value, None
        self._forget_layers()

    def _forget_layers(self) -> None:
        """Let the next look at the weights compare the layers with their plan."""
        self._changes: int | None = None
        self._ready = Ready()

    def _follow_layers(self) -> None:
        """Check layers that have changed, and compile the plan anew where it differs."""
        changes = CHANGES.layers
        layers = checked_layers(self._layers, "layers")
        _outputs_of(layers)
        if self._values is not None and self._values.recompile(layers, self._sparse):
            self._tape = None
        self._changes, self._ready = changes, Ready()

    def _built(self) -> Weights:
        weights = self._weights
        if weights is None:
            raise RuntimeError(
                "the network is not built: call fit, build or load_state_dict first"
            )
        return weights

    @property
    def _kinds(self) -> list[str]:
        """The kinds of the engine's ops that the layers become."""
        weights = self._weights
        specs = ops_of(self._layers) if weights is None else weights.specs
        return [spec.kind for spec in specs]

    def _has_batch_norm(self) -> bool:
        """Whether there is a BatchNorm, which cannot use a minibatch of one row."""
        return "batch_norm" in self._kinds

    def build(self, n_features: int) -> Self:
        """Draw the initial weights for a number of features; the first `fit` does so too.

        Parameters
        ----------
        n_features : int
            Width of the input, at least 1.

        Returns
        -------
        net : Network
            The network itself.

        Raises
        ------
        ValueError
            If the network has been built for another number of features.
        """
        self._build(validation.integer(n_features, "n_features"))
        return self

    def _build(self, n_features: int) -> Weights:
        """Build the network, or check that it has been built for this width."""
        weights = self._weights
        if weights is None:
            with self._one_thread:
                weights = Weights(list(self.layers), n_features, self.dtype, self.sparse)
                weights.draw(self._rng)
                self._weights = weights
        elif n_features != weights.plan.n_in:
            raise ValueError(
                f"n_features must be {weights.plan.n_in}, for which the network is built; "
                f"got {n_features}"
            )
        return weights

    def state_dict(self) -> dict[str, NDArray[np.floating]]:
        """Return copies of the parameters, named as in the equivalent `torch.nn.Sequential`.

        Returns
        -------
        state : dict of str to ndarray
            ``"0.weight"`` of shape (n_out, n_in), ``"0.bias"`` and so on. The number is that of
            the module; an activation counts as a module. A network with ``scale_targets=True``
            also has ``"targets.mean"`` and ``"targets.scale"``, in float64.

        Raises
        ------
        RuntimeError
            If the network is not built.
        """
        weights = self._built()
        with weights.lock.reading():
            state = state_dict_of(weights, weights.parameters)
        if self._scale_targets:
            state |= self._target_form.arrays(weights.plan.n_out)
        return state

    @_by_one_thread
    def load_state_dict(self, state: Mapping[str, ArrayLike]) -> None:
        """Set the parameters to those that `state_dict` returned; the optimizer starts afresh.

        Parameters
        ----------
        state : mapping of str to array_like
            Arrays with exactly the keys and shapes that `state_dict` has for these layers.

        Raises
        ------
        TypeError
            If `state` is no mapping.
        ValueError
            If a key is missing or unknown, or if a shape does not fit. The message names the first
            such key, and the network is unchanged.
        """
        if not isinstance(state, Mapping):
            raise TypeError(f"state must be a dict of arrays by name, got {type(state).__name__}")
        layers = checked_layers(self._layers, "layers")
        _outputs_of(layers)
        n_features = self._values.plan.n_in if self._values else None
        form = self._target_form
        if self._scale_targets:
            for name in (MEAN, SCALE):
                if name not in state:
                    raise ValueError(f"state lacks {name!r}, which scale_targets=True needs")
            form = form.of_arrays(state[MEAN], state[SCALE], _outputs_of(layers))
            state = {name: state[name] for name in state if name not in (MEAN, SCALE)}
        elif MEAN in state or SCALE in state:
            raise ValueError(
                f"state must not hold {MEAN!r} and {SCALE!r}, which belong to a network with "
                "scale_targets=True; load it into such a network"
            )
        new = from_state_dict(state, layers, self.dtype, n_features, self.sparse)
        old = self._values
        known = self._target_form
        if old is not None and old.shared and known.learned and not form.scales_as(known):
            raise ValueError(
                f"state must have the {MEAN} and {SCALE} of this network, whose parts have them "
                "too; load the state first, and then take parts"
            )
        if old is not None and old.shared and old.plan.layout() == new.plan.layout():
            old.assign(new)  # parts of this network get the values too
            self._weights = old
        else:
            self._weights = new
        self._target_form = form

    def __getstate__(self) -> dict[str, Any]:
        """Weights and settings: copies, since a network trains in place."""
        with self._one_thread.absent():
            return self._state()

    def _state(self) -> dict[str, Any]:
        weights, layers = copy.copy(self._weights), copy.deepcopy(self._layers)
        if weights is not None:
            weights.recompile(list(layers), self._sparse)
        rng = np.random.Generator(type(self._rng.bit_generator)(0))
        rng.bit_generator.state = self._rng.bit_generator.state
        return self.__dict__ | {
            "_layers": layers,
            "_values": weights,
            "_loss": copy.copy(self._loss),
            "_optimizer": copy.copy(self._optimizer),
            "_schedule": copy.copy(self._schedule),
            "_rng": rng,
            "_one_thread": OneThread(USED_ELSEWHERE),
            "_tape": None,
            "_steps": None,
            "_changes": None,
            "_hooks": None,
            "_callback_states": self._states_of_callbacks(),
        }

    def snapshot(self) -> Snapshot:
        """Return a copy of everything that training changes, for `restore`.

        Returns
        -------
        snapshot : object
            The weights, the optimizer and its state, the schedule's state, the random state, and
            the number of epochs. It can be pickled, but other versions of relume may fail to load
            the pickle.
        """
        with self._one_thread.absent():
            return Snapshot.of(self)

    def _states_of_callbacks(self) -> list[dict[str, Any]]:
        """The states of the callbacks of the running fit, or of the last one."""
        return self._callback_states if self._hooks is None else self._hooks.states()

    @_by_one_thread
    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot of this network, or of a network with the same layers.

        Parameters
        ----------
        snapshot : object
            What `snapshot` returned. It can be used again.

        Raises
        ------
        TypeError, ValueError
            If it is no snapshot, or a snapshot of other layers. The network is then unchanged.
        """
        if not isinstance(snapshot, Snapshot):
            raise TypeError(
                f"snapshot must be what snapshot() returns, got {validation.shown(snapshot)}"
            )
        snapshot.put_back(self)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save the network to a file, which `relume.nn.load` reads.

        Training continues from the file with the same bits as without saving. The file has the
        safetensors format. It contains the layers, loss and metrics, the optimizer and the
        schedule with their states, the parameters named as in `state_dict`, the random state, the
        number of epochs, and the state of the callbacks of the running or the last fit. Of a
        Python function it contains only the name.

        Parameters
        ----------
        path : str or path-like
            Path of the file. An existing file is replaced atomically: after a crash, the file is
            either the complete old one or the complete new one.

        Raises
        ------
        TypeError
            If a layer or the optimizer is of a class that is not part of relume, or if the random
            generator is not one of NumPy's.
        ValueError
            If a parameter is not finite; such a file could not be loaded.
        OSError
            If the file cannot be written. An existing file is then unchanged.

        See Also
        --------
        relume.nn.load : Load the file; its example saves a network first.
        """
        save(self, path)

    # -- training -------------------------------------------------------------------------------

    @_by_one_thread
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
        validation_data: tuple[Any, ...] | Shards | None = None,
        validation_split: float = 0.0,
        steps_per_epoch: int | None = None,
        groups: int | Sequence[int] | None = None,
        progress: bool = False,
        callbacks: Sequence[Callback | Callable[[Network, int, dict[str, float]], Any]]
        | None = None,
    ) -> History:
        """Train the network for some epochs.

        Another call continues where the last one ended: the weights, the optimizer's state and the
        random state are kept.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n, n_features), Shards, or iterable
            Input rows of real numbers. An array that is C-contiguous and has the network's dtype
            is not copied. A memory map or a SciPy sparse matrix is read a few rows at a time. For
            a sparse matrix, the first layer must be a `Dense`, or a `Standardize` followed by a
            `Dense`. `Shards` contain rows, targets and weights in a folder of files, which are
            read as they are needed. An iterable yields minibatches (X, y) or
            (X, y, sample_weight), and each epoch iterates over it again. An `nn.Standardize` must
            then have learned its mean and std before: from an array, by `train_on_batch`, or by
            `load_state_dict`.
        y : array_like of shape (n,) or (n, n_outputs), or None
            Targets in the form that the loss expects: class labels or values. None if X is
            `Shards` or an iterable of minibatches.
        epochs : int, default=1
            Number of epochs to train, in addition to those already done.
        batch_size : int, default=32
            Number of rows per minibatch; the last minibatch of an epoch may have fewer.
        shuffle : bool, default=True
            Whether to put the rows into a new random order for each epoch.
        sample_weight : array_like of shape (n,) or None, default=None
            Weight of each row. A minibatch's loss is ``sum(w * loss) / sum(w)``. A minibatch whose
            weights are all 0 is skipped.
        class_weight : dict, "balanced" or None, default=None
            Weight of each label, by which the weights of its rows are multiplied. Labels that are
            not in the dict have the weight 1. "balanced" gives all labels the same total weight in
            the training rows. Class weights are used in training only, not in the validation loss.
        validation_data : tuple (X, y) or (X, y, sample_weight), Shards or None, default=None
            Held-out rows, which are evaluated after each epoch. Their weights are used in the loss
            and in the metrics.
        validation_split : float, default=0.0
            Fraction of the rows to hold out for validation, taken from the end of X. Give either
            this or `validation_data`.
        steps_per_epoch : int or None, default=None
            Number of minibatches per epoch if X is an iterable; None uses all of them. An
            iterator, which can be used only once, needs it to train several epochs.
        groups : int, sequence of int or None, default=None
            Number of groups to divide the rows into, or the number of rows of each group. None
            trains without groups. With groups, ``relume.distributed`` gives the same bits on any
            number of processes: a minibatch takes a share of each group, each group has an order
            of its own, and the groups' gradients are added in a fixed order. A minibatch should
            have at least 64 rows of each group. The network's random state does not change.
        progress : bool, default=False
            Whether to show the progress: a bar in a terminal, one line per epoch elsewhere.
        callbacks : list or None, default=None
            Callbacks such as ``nn.EarlyStopping()``, and functions ``f(net, epoch, logs)``, which
            are called after each epoch. They are called in the order of the list. The fit ends if
            one of them returns True after an epoch.

        Returns
        -------
        history : History
            Loss and metrics of each epoch.

        Raises
        ------
        TypeError, ValueError
            If an argument is invalid, if X or y contain NaN or infinities, or if a label is not
            one of the classes. The network is then as it was before the fit.
        FloatingPointError
            If the loss becomes infinite or NaN. The message names the epoch and the step. The
            network is then as it was at the beginning of that epoch.
        KeyboardInterrupt
            On Ctrl-C, after the current minibatch. The network keeps what it has learned, and
            `history` has the epochs until then. Callbacks still act at the end of the fit:
            `EarlyStopping` goes back to the best epoch.
        Exception
            Any exception that a callback raises. The network is then as it was after the last
            complete epoch.

        Examples
        --------
        >>> from relume import datasets, nn
        >>> X, y = datasets.load_digits(return_X_y=True)
        >>> net = nn.Network([nn.Dense(64, activation="relu"), nn.Dense(10)], seed=0)
        >>> history = net.fit(X / 16, y, epochs=10, validation_split=0.2,
        ...                   callbacks=[nn.EarlyStopping(patience=3)])
        >>> sorted(history)
        ['loss', 'seconds', 'skipped', 'val_accuracy', 'val_loss']
        >>> bool(max(history["val_accuracy"]) > 0.8)
        True
        """
        epochs = validation.integer(epochs, "epochs")
        batch_size = validation.integer(batch_size, "batch_size")
        shuffle = validation.flag(shuffle, "shuffle")
        progress = validation.flag(progress, "progress")
        if steps_per_epoch is not None:
            steps_per_epoch = validation.integer(steps_per_epoch, "steps_per_epoch")
        hooks, held_out = Hooks(callbacks), None
        source: IterableBatches | ShardBatches | ArrayBatches
        if isinstance(self.optimizer, LBFGS):
            check_lbfgs(self, y is None)
        if isinstance(X, Shards):
            others = (class_weight, y, sample_weight, validation_split or None, steps_per_epoch)
            source = check_data.shard_batches(self, X, batch_size, shuffle, others)
            if groups is not None:
                cut = Groups(groups_of(groups, len(X)), batch_size)
                check_groups(self, cut)
                source = GroupShardBatches(source, cut)
            held_out = check_data.validation_rows(self, validation_data, source.width)
            hooks.check_logs(self, held_out is not None)
            learns = self._scale_targets and not self._target_form.learned
            if held_out is not None and learns:
                held_out = self._scaled(held_out, source.target_form)
        elif y is None:
            if groups is not None:
                raise ValueError(
                    "groups must be None where X gives minibatches, got "
                    f"{validation.shown(groups)}"
                )
            weights = (sample_weight, class_weight, validation_split or None)
            source = check_data.batches(self, X, steps_per_epoch, epochs, weights)
            held_out = check_data.validation_rows(self, validation_data, None)
            hooks.check_logs(self, held_out is not None)
            source.begin()  # last, since what an iterator has given is gone
            if held_out is not None:
                validation.shape(held_out[0].shape, "validation_data X", source.width)
        else:
            given = y
            X, y, weight = check_data.rows(self, X, y, sample_weight, learns=True)
            form = self._target_form.of_shape(given)
            if steps_per_epoch is not None:
                raise ValueError(
                    "steps_per_epoch must be None where X is an array, all of whose rows are an "
                    f"epoch; got {steps_per_epoch}"
                )
            (X, y, weight), held_out = split(X, y, weight, validation_split, validation_data)
            weight = class_weights(class_weight, self.loss, self.n_outputs, y, weight, self.dtype)
            check_data.check_enough_rows(self, len(X), batch_size)
            if groups is None:
                source = ArrayBatches(X, y, weight, batch_size, shuffle, self._has_batch_norm())
            else:
                cut = Groups(groups_of(groups, len(X)), batch_size)
                check_groups(self, cut)
                source = GroupBatches(X, y, weight, cut, shuffle)
            if held_out:
                check_data.check_finite(held_out[0], "X")
            else:
                held_out = check_data.validation_rows(self, validation_data, source.width)
            hooks.check_logs(self, held_out is not None)
            held_out = self._learn_scale(source, form, held_out)
        grouped = isinstance(source, GroupBatches | GroupShardBatches)
        if isinstance(self.optimizer, LBFGS):
            objective = GroupObjective if grouped else plain_objective
            return fit_lbfgs(self, source, epochs, held_out, hooks, progress, objective)
        loop = GroupFitLoop if grouped else FitLoop
        return loop(self, source, held_out, hooks).run(epochs, progress)

    def _learn_scale(self, source: ArrayBatches, form: TargetForm, held_out: Any = None) -> Any:
        """Let the source have targets that are scaled, by themselves if this is the first data.

        Returned are the held-out rows, scaled likewise.
        """
        if self._scale_targets and not form.learned:
            form = form.fitted(source.y, source.weight)
            source.y = form.scaled(source.y, "y", self._dtype)
            source.y_like = source.y[:0]
            if held_out is not None:
                held_out = self._scaled(held_out, form)
        source.target_form = form
        return held_out

    def _scaled(self, held_out: Any, form: TargetForm) -> Any:
        """Held-out rows with targets scaled as those that are trained on."""
        X, y, weight = held_out
        return X, form.scaled(y, "validation_data y", self._dtype), weight

    def _learning_rates(self, steps: int | None) -> NDArray[np.float64]:
        """The learning rates of the next epoch's minibatches; just one if their number is None."""
        return learning_rates(self._optimizer.lr, self._schedule, self._epoch, steps)

    def _learning_rate(self) -> float:
        """The learning rate of a single step."""
        rate = self._optimizer.lr
        return float(rate) if self._schedule is None else self._learning_rates(None)[0]

    def _key(self) -> int:
        """Seed of an epoch's random numbers, drawn only where layers need some."""
        if not self._built().plan.random:
            return 0
        return int(self._rng.integers(2**64, dtype=np.uint64))

    @_by_one_thread
    def train_on_batch(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> float:
        """Train on one minibatch: make one step of the optimizer.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n, n_features)
            Rows of the minibatch. An `nn.Standardize` learns its mean and std from the first one.
        y : array_like of shape (n,) or (n, n_outputs)
            Targets in the form that the loss expects.
        sample_weight : array_like of shape (n,) or None, default=None
            Weight of each row.

        Returns
        -------
        loss : float
            Loss of the minibatch before the step.

        Raises
        ------
        TypeError, ValueError, FloatingPointError
            As for `fit`. The network is then unchanged.
        """
        before_form, given = self._target_form, y
        X, y, weight = check_data.rows(self, X, y, sample_weight, learns=True)
        form = before_form.of_shape(given)
        self._needs_steps("train_on_batch")
        check_data.check_enough_rows(self, len(X))
        source = ArrayBatches(X, y, weight, len(X))
        self._learn_scale(source, form)
        weights = self._weights
        steps = 0 if weights is None else weights.steps
        before = self._before_learning()
        average = None if weights is None else weights.average
        try:
            source.standardize(self._build(source.width))
            self._target_form = source.target_form or form
            return one_step(self, source, self._learning_rate(), self._key())
        except BaseException as error:
            if self._values is None or self._values.steps == steps:
                self._undo(before)
                self._target_form = before_form
                if weights is not None:
                    weights.average = average
            if isinstance(error, Diverged):
                raise FloatingPointError(
                    "the loss of this minibatch is not finite; no step was made"
                ) from None
            raise

    def _undo(self, before: Any) -> None:
        """Go back to before a step that was not made: to a snapshot, a random state, or None."""
        if isinstance(before, Snapshot):
            self.restore(before)
        elif before is not None:
            self._rng.bit_generator.state = before

    def _needs_steps(self, method: str) -> None:
        if isinstance(self.optimizer, LBFGS):
            raise RuntimeError(f"{method} needs an optimizer that makes steps; nn.LBFGS has fit")

    @refusing
    def forward(
        self, X: ArrayLike, training: bool = False, **unknown: Never
    ) -> NDArray[np.floating]:
        """Compute the raw outputs of the last layer, such as logits.

        Parameters
        ----------
        X : array_like or, with ``training=False``, sparse matrix of shape (n, n_features)
            Input rows.
        training : bool, default=False
            Whether the layers behave as in training, and keep what `backward` needs: dropout draws
            noise, `BatchNorm` uses these rows and updates its running statistics, and an
            `nn.Standardize` that has seen no data learns from these rows.

        Returns
        -------
        z : ndarray of shape (n, n_outputs)
            Logits with ``loss="cross_entropy"``; scaled values with ``scale_targets=True``.

        Raises
        ------
        TypeError, ValueError
            If X is invalid, or not finite.
        """
        if unknown:
            refuse(Network.forward, self, unknown)
        if training is False and self._values is not None:
            return self._outputs_of(X)
        training = validation.flag(training, "training")
        rows: Any = check_data.features(self, X, no_rows=not training)
        if not training:
            return self._outputs(rows)
        if self._scale_targets and not self._target_form.learned:
            raise RuntimeError(
                "scale_targets=True learns from targets, which forward does not see: call fit or "
                "train_on_batch first, or load a state that has targets.mean and targets.scale"
            )
        if isinstance(rows, SparseRows):
            raise TypeError("X must be a dense array where training=True, got a sparse matrix")
        return self._forward_in_training(rows)

    @_by_one_thread
    def _forward_in_training(self, rows: NDArray[Any] | RawRows) -> NDArray[np.floating]:
        check_data.check_enough_rows(self, len(rows))
        before = self._before_learning()
        try:
            self.build(rows.shape[1])
            weights = self._built()
            learn_standardization(weights, rows)
            weights.adapt(rows)
            rows = rows.copy() if isinstance(rows, np.ndarray) else rows.take(slice(None))
            tape, key = weights.plan.new_tape(len(rows)), self._key()
            with weights.lock.writing():  # of running statistics
                z = weights.plan.forward(weights.parameters, rows, tape, key)
            if z is None:
                raise validation.not_finite("X", self.dtype)
        except BaseException:
            self._undo(before)
            raise
        self._tape = rows, tape
        return z

    def _before_learning(self) -> Any:
        """What `_undo` needs where this minibatch builds the network, or draws random numbers."""
        weights = self._weights
        first = self._layers[0]
        learns = isinstance(first, Standardize) and not (weights and weights.standardized)
        if weights is None or learns:
            return self.snapshot()
        return self._rng.bit_generator.state if weights.plan.random else None

    @_by_one_thread
    def backward(self, dz: ArrayLike) -> NDArray[np.floating]:
        """Backpropagate the gradient of your own loss with respect to the raw outputs.

        Parameters
        ----------
        dz : array_like of shape (n, n_outputs)
            Gradient of the loss with respect to what ``forward(X, training=True)`` returned.

        Returns
        -------
        dX : ndarray of shape (n, n_features)
            Gradient with respect to the input. The gradients of the parameters are kept for `step`
            and `gradients`.

        Raises
        ------
        RuntimeError
            If ``forward(X, training=True)`` was not called before.
        ValueError
            If `dz` has another shape, or is not finite.
        """
        weights = self._weights
        if weights is None or self._tape is None:
            raise RuntimeError("call forward(X, training=True) before backward")
        X, tape = self._tape
        dz = validation.matrix(dz, "dz", self.dtype, weights.plan.n_out)
        validation.finite(dz, "dz", self.dtype)
        validation.same_length(X, dz, ("X", "dz"))
        gradients = np.zeros_like(weights.parameters)
        dX = weights.plan.backward(weights.parameters, gradients, X, tape, dz)
        self._tape, weights.gradients = None, gradients
        return dX

    def gradients(self) -> dict[str, NDArray[np.floating]]:
        """Return the gradients of the last `backward`, named and shaped as in `state_dict`.

        Returns
        -------
        gradients : dict of str to ndarray

        Raises
        ------
        RuntimeError
            If there was no `backward` since the last `step`.
        """
        weights, gradients = self._with_gradients()
        named = weights.named(gradients, statistics=False)
        return {name: value.copy() for name, value in named.items()}

    def _gradients_of(self, X: Any, y: NDArray[Any]) -> NDArray[np.floating] | None:
        """The gradients of rows, as the engine takes them, in a flat array; nothing is kept."""
        return gradients_of(self, X, y)

    @_by_one_thread
    def step(self) -> None:
        """Make one step of the optimizer with the gradients of the last `backward`.

        The gradients of the layers' penalties are added first.

        Raises
        ------
        RuntimeError
            If `backward` was not called since the last step.
        FloatingPointError
            If the step would make a parameter infinite or NaN. The network is then unchanged, and
            the gradients are kept.
        """
        self._needs_steps("step")
        weights, gradients = self._with_gradients()
        average, steps = weights.average, weights.steps
        try:
            weights.average_for(self.optimizer.ema_decay)
            weights.state_for(self.optimizer.n_state)
            updates = Updates(weights.plan, weights, self.optimizer, 1)
            if not updates.step(gradients, self._learning_rate()):
                raise step_not_finite()
        except BaseException:
            if weights.steps == steps:
                weights.average = average
            raise

    def averaged(self) -> Network:
        """Return a copy of the network with the running average of its parameters.

        Returns
        -------
        net : Network

        Raises
        ------
        RuntimeError
            If there is no average: the optimizer needs an ``ema_decay`` and at least one step.
        """
        weights = self._weights
        average = None if weights is None else weights.averaged()
        if average is None:
            raise RuntimeError(
                "nothing was averaged: train with an optimizer such as nn.Adam(ema_decay=0.999)"
            )
        net = copy.copy(self)
        net._built().parameters = average
        net._forget_layers()
        return net

    def _with_gradients(self) -> tuple[Weights, NDArray[np.floating]]:
        """The weights, and the gradients of the last `backward`."""
        weights = self._weights
        if weights is None or weights.gradients is None:
            raise RuntimeError("call backward first: there are no gradients")
        return weights, weights.gradients

    # -- prediction -------------------------------------------------------------------------------

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Predict class labels, or values, depending on the loss.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n, n_features), or Shards
            Input rows; n may be 0.

        Returns
        -------
        y : ndarray
            With a loss for classes, int64 labels of shape (n,); for several independent labels, a
            matrix of 0 and 1. With a loss for values, values of shape (n,) for one output, else
            (n, n_outputs). If the last y in training had the shape (n, 1), predictions have it
            too.

        Raises
        ------
        RuntimeError
            If the network is not built.
        TypeError, ValueError
            If X is invalid or not finite.
        """
        z, form = self._ready.outputs(X), self._target_form
        if z is None:
            z = self._outputs_of(X)
        return self._loss.predictions(z) if form.plain else form.predictions(self._loss, z)

    def predict_proba(self, X: ArrayLike) -> NDArray[np.floating]:
        """Predict the probability of each class.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n, n_features), or Shards
            Input rows; n may be 0.

        Returns
        -------
        p : ndarray of shape (n, n_classes)
            The softmax of the logits with ``loss="cross_entropy"``, their sigmoid with
            ``loss="binary_cross_entropy"``.

        Raises
        ------
        RuntimeError
            If the network is not built, or if its loss is not a loss for classes.
        TypeError, ValueError
            If X is invalid or not finite.
        """
        p = self._ready.probabilities(X)
        if p is not None:
            return p
        if type(self._loss) is CrossEntropy:
            return self._outputs_of(X, softmax=True)
        self._built()
        return self.loss.probabilities(self._outputs_of(X))

    def evaluate(
        self, X: Any, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> dict[str, float]:
        """Compute the mean loss and the metrics.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n, n_features), or Shards
            Input rows.
        y : array_like of shape (n,) or (n, n_outputs), or None
            Targets; None if X is `Shards`, which contain targets and weights.
        sample_weight : array_like of shape (n,) or None, default=None
            Weight of each row in the loss and the metrics. A function as a metric gets the weights
            if it has a parameter ``sample_weight``, as scikit-learn's metrics have; otherwise it
            weighs all rows equally.

        Returns
        -------
        logs : dict of str to float
            ``"loss"``, without penalties, and each metric by name. A classifier has the
            ``"accuracy"``, from 0 to 1, unless the network was given other metrics. With
            ``scale_targets=True`` the loss refers to the scaled targets, as in training, and the
            metrics are in the units of y.

        Raises
        ------
        RuntimeError
            If the network is not built.
        TypeError, ValueError
            As for `fit`.
        """
        self._built()
        return self._evaluate(*check_data.rows(self, X, y, sample_weight))

    def _evaluate(
        self, X: Features, y: NDArray[Any], weight: NDArray[Any] | None = None
    ) -> dict[str, float]:
        z = self._outputs(X)
        if isinstance(self.loss, PythonLoss):
            loss, _ = self.loss(y, z)
        else:
            losses, _ = self._row_losses(z, y)
            loss = np.average(losses.astype(np.float64), weights=weight)
        z, y = self._target_form.unscaled(z), self._target_form.unscaled(y)
        return {"loss": float(loss), **metric_values(self._metrics, self.loss, z, y, weight)}

    def _row_losses(self, z: NDArray[Any], y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Loss of each row of outputs z, and its gradient, under a loss of the kernels."""
        plan = self._built().plan
        kernel = self.loss.for_engine(y, plan.n_out, self.dtype)
        if not isinstance(kernel, tuple):
            raise TypeError(
                "loss must be one of relume's to be computed by rows, "
                f"got {validation.shown(kernel)}"
            )
        return plan.row_losses(*kernel, z, y)

    def _outputs_of(self, X: Any, softmax: bool = False) -> NDArray[Any]:
        """The outputs for a user's X; at once where the engine can read it as it is."""
        predictor = self._get_ready()
        z = predictor.predict_array(X, softmax)
        if z is None:
            return self._outputs(check_data.features(self, X, no_rows=True), softmax)
        return z

    def _get_ready(self) -> Predictor:
        """Let the next predictions begin at once, and return the present predictor."""
        weights, loss = self._built(), self._loss
        predictor, changes = weights.predictor, self._changes
        if changes is not None:
            self._ready = Ready(predictor, changes, softmax=type(loss) is CrossEntropy)
        # Another thread may have made other weights, a plan or a loss, and then been overtaken.
        if (self._values, weights.predictor, self._loss) != (weights, predictor, loss):
            self._ready = Ready()
        return predictor

    def _outputs(self, X: Features, softmax: bool = False) -> NDArray[Any]:
        """The outputs for an X that has been checked; builds the network if need be."""
        weights = self._build(X.shape[1])
        predictor = weights.predictor
        if len(X) == 0:
            return np.empty((0, predictor.plan.n_out), self.dtype)
        if isinstance(X, np.ndarray):
            z = predictor.predict(X, softmax)
        else:
            if self._one_thread.elsewhere:  # which makes steps between the parts
                weights = copy.copy(weights)
                predictor = weights.predictor
            weights.adapt(X)
            parts: Any = [predictor.predict(part, softmax) for part in parts_of(X)]
            z = None if any(part is None for part in parts) else np.concatenate(parts)
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
        dtype: DTypeLike | None = None,
        opset: int = 20,
    ) -> None:
        """Export the network to an ONNX file; see `relume.onnx.model_of`.

        Parameters
        ----------
        path : str or path-like
            Path of the file. An existing file is replaced atomically, as by `save`.
        output : {"predict", "proba", "raw"}, default="predict"
            What the model returns. "predict": the results of `predict`, and for a classifier also
            the probabilities. "proba": the results of `predict_proba`. "raw": the results of
            `forward`.
        classes : array_like of shape (n_classes,) or None, default=None
            Labels instead of 0, 1, and so on.
        dtype : {"float32", "float64"} or None, default=None
            Precision of the model, its input and its outputs. None means the network's dtype.
        opset : int, default=20
            Version of the operator set, from 13 to the newest that the installed ``onnx`` knows.

        Raises
        ------
        ImportError
            If the package ``onnx`` is missing.
        RuntimeError
            If the network is not built.
        TypeError, ValueError
            If an argument is invalid.
        """
        from relume.onnx import model_of

        with self._one_thread.absent():
            model = model_of(self, output=output, classes=classes, dtype=dtype, opset=opset)
        files.replace(validation.path(path), model.SerializeToString())

    def to_sklearn(self, classes: ArrayLike | None = None) -> Any:
        """Convert the network to a fitted multilayer perceptron of scikit-learn.

        Parameters
        ----------
        classes : array_like of shape (n_classes,) or None, default=None
            Labels in ascending order, instead of 0, 1, and so on.

        Returns
        -------
        MLPClassifier or MLPRegressor
            An estimator that makes the same predictions, with the network's weights and dtype and
            without penalties. The dtype is float64 if the network scales its targets or subtracts
            means of more than 1000 std, which need the digits. The solver is the network's
            optimizer if scikit-learn has it, else Adam. It starts afresh.

        Raises
        ------
        ImportError
            If scikit-learn is missing.
        RuntimeError
            If the network is not built.
        ValueError
            If scikit-learn has no such network; the message names the layer. Hidden `Dense` layers
            must all have the same activation: relu, tanh, sigmoid or none. The last layer must
            have none. Layers that do nothing in prediction, such as `Dropout`, are left out.
            Layers that multiply and shift each unit, such as `BatchNorm`, `Scale` and
            `Standardize`, become part of a `Dense`.
        """
        from relume.nn.interop.to_sklearn import to_sklearn

        with self._one_thread.absent():
            return to_sklearn(self, classes)

    def part(self, first: int, last: int | None = None) -> Network:
        """Return a network of the layers ``layers[first:last]`` that shares their weights.

        Training one of the two networks, or loading weights into it, changes both. Use it for the
        encoder and the decoder of an autoencoder, or to reuse the first layers of a trained
        network for another task.

        Parameters
        ----------
        first : int
            Index of the first layer. A negative index counts from the end.
        last : int or None, default=None
            Index after the last layer. A negative index counts from the end; None means the end.

        Returns
        -------
        part : Network
            A built network with the same layer objects: ``layer.trainable = False`` freezes a
            layer in both networks. A part with the last layer has this network's loss, metrics and
            scale of targets; any other part has the loss "mse". The optimizer and the schedule are
            copies, which start afresh.

        Raises
        ------
        RuntimeError
            If the network is not built, or begins with a `Standardize` that has not learned; or
            if the part reaches the end and ``scale_targets=True`` has not learned.
        TypeError, ValueError
            If an index is invalid, or if none of the layers is a `Dense` or a `Residual`.

        See Also
        --------
        layer_outputs : Compute the outputs of a layer, without another network.

        Notes
        -----
        Only one thread at a time may train the network or a part of it; other threads get a
        RuntimeError. Copies, pickles and saved files do not share weights. A network also stops
        sharing them when its weights are replaced, as by ``Revive(how="leaky")`` or by a snapshot
        from before it was built. The weights stay in memory as long as one of the networks exists.

        Examples
        --------
        >>> import numpy as np
        >>> from relume import nn
        >>> X = np.random.default_rng(0).random((100, 8), dtype="float32")
        >>> net = nn.Network([nn.Dense(3, "tanh"), nn.Dense(8)], loss="mse", seed=0)
        >>> history = net.fit(X, X, epochs=5)
        >>> encoder, decoder = net.part(0, 1), net.part(1)
        >>> encoder.predict(X).shape
        (100, 3)
        >>> bool((decoder.predict(encoder.predict(X)) == net.predict(X)).all())
        True
        """
        from relume.nn.parts import part

        return part(self, first, last)

    def layer_outputs(self, X: ArrayLike, layer: int | str | Layer | Activation) -> NDArray[Any]:
        """Compute the outputs of a layer, as in prediction.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n, n_features)
            Input rows of the network.
        layer : int, str, Layer or Activation
            The layer itself, its index in `layers`, or its name in reports. ``"layer 1"`` is the
            first layer, and ``"layer 2.1"`` the first one within a `Residual` that is second.

        Returns
        -------
        values : ndarray of shape (n, width)
            Outputs of the layer, after its activation.

        Raises
        ------
        RuntimeError
            If the network is not built.
        TypeError, ValueError
            If an argument is invalid, or if X is not finite.

        Examples
        --------
        >>> from relume import nn
        >>> net = nn.Network([nn.Dense(5, "relu"), nn.Dense(2)], seed=0).build(3)
        >>> net.layer_outputs([[1.0, 2.0, 3.0]], 0).shape
        (1, 5)
        """
        from relume.nn.parts import layer_outputs

        return layer_outputs(self, X, layer)

    def compact(self, X: ArrayLike) -> Compacted:
        """Return a smaller network that gives the same outputs for the rows of X.

        Two kinds of units are removed: those that are 0 for all rows, of which relu leaves many,
        and those that have the same other value for all rows, whose contribution is added to the
        next bias.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n, n_features)
            Rows that decide which units are constant, such as the training data.

        Returns
        -------
        network : Network
            A new network. Its optimizer starts afresh; everything else is the same.
        report : CompactReport
            Which units were removed from each layer; print it. ``report.same_for(X_new)`` tells
            for which other rows the outputs are the same.

        Raises
        ------
        RuntimeError
            If the network is not built.
        TypeError, ValueError
            If X is invalid or not finite.

        Notes
        -----
        The outputs are the same up to rounding for each row for which the removed units have the
        same values as for X. They may differ for other rows. Units of a `Dense` are removed only
        if another `Dense` follows with nothing but activations and dropout in between. Units
        within or before a `Residual`, and before a normalization, stay; the report says so. A
        layer keeps at least one unit, and it keeps constant units if the next layer has no bias.

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

        with self._one_thread.absent():
            return compact(self, X)


def _name_of(dtype):
    """float32 for np.float32 and np.dtype("float32"); anything that is no dtype unchanged."""
    try:
        return np.dtype(dtype).name
    except TypeError:
        return dtype


def _check_scales_targets(loss):
    """Raise where targets that are scaled would be none that a loss takes."""
    if not loss.scales:
        raise ValueError(
            f"scale_targets must be False under loss={loss.name!r}, whose targets have a meaning "
            "that a scale would change; use a loss of values such as 'mse'"
            + (", or scale y yourself" if isinstance(loss, PythonLoss) else "")
        )


def _generator_of(seed):
    try:
        return np.random.default_rng(seed)
    except (TypeError, ValueError) as error:
        raise type(error)(
            "seed must be a non-negative integer, a numpy.random.Generator or None, "
            f"got {validation.shown(seed)}"
        ) from None


# -- layers that make sense together --------------------------------------------------------------


def _outputs_of(layers):
    """The number of outputs of some layers; ValueError unless they make sense together."""
    units = width_of(layers)
    if units is None:
        raise ValueError(
            "layers must hold a Dense, which sets how many outputs, "
            f"got {validation.shown(layers)}"
        )
    if isinstance(layers[0], ActivityL1):
        raise ValueError("nn.ActivityL1 must not be the first layer, whose input nobody learns")
    for i, layer in enumerate(layers):
        if (i > 0 and isinstance(layer, Standardize)) or _holds_standardize(layer):
            raise ValueError(
                "nn.Standardize must be the first layer, "
                f"got {validation.shown(layer)} as layers[{i}]"
            )
    return units


def _holds_standardize(layer):
    if not isinstance(layer, Residual):
        return False
    Residual(layer.layers)  # raises where the list was changed in place to what it must not be
    return any(isinstance(each, Standardize) or _holds_standardize(each) for each in layer.layers)
