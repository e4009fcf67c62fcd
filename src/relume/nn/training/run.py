"""What all fits share: the engine's `Training`, kept in step with the network, and its loop.

The fits of networks, those of estimators and those by L-BFGS decide what an epoch is for, and what
happens when one fails. This file holds what they share: a network's values, loss and optimizer
become a `Training`, which is built anew when a callback has changed any of them, and the engine's
status becomes an exception.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from relume import validation
from relume.engine.observer import Observer
from relume.engine.training import STATUS, Training
from relume.nn.callbacks.callback import Hooks
from relume.nn.configurable import CHANGES
from relume.nn.data.minibatches import ArrayBatches, Batch, IterableBatches
from relume.nn.data.target_form import TargetForm
from relume.nn.losses import PythonLoss, targets_of_another
from relume.nn.optimizers.lbfgs import LBFGS
from relume.nn.optimizers.schedule import Schedule
from relume.runtime.threads import get_num_threads

if TYPE_CHECKING:
    from relume.nn.network import Network


def check_form(net: Network, form: TargetForm) -> None:
    """Raise where a callback has given the network another scale of the targets within a fit."""
    if net._target_form is not form and not net._target_form.scales_as(form):
        raise RuntimeError(
            "the mean and scale of the targets must stay as they are within a fit; end the fit "
            "before load_state_dict or restore, and call fit again"
        )


class Diverged(Exception):
    """The loss of a minibatch is not finite; `steps` were made before it in this epoch."""

    def __init__(self, steps: int) -> None:
        super().__init__(f"the loss is not finite after {steps} steps")
        self.steps = steps


class NoOptimizer:
    """What the engine asks of an optimizer, for a fit that makes no steps in the engine."""

    kernel: ClassVar[str] = "sgd"
    clip_norm = clip_value = ema_decay = None
    n_state: ClassVar[int] = 2

    def hyper(self) -> list[float]:
        """As many numbers as the kernel takes, which is never called."""
        return [0.0] * 7


@dataclass(frozen=True)
class LossScale:
    """How the engine scales losses: the defaults are `Network.fit`'s, and scale nothing.

    The estimators' values are in `relume.sklearn.objectives`.

    Parameters
    ----------
    mean_penalty : bool
        Whether penalties are divided by the rows of a minibatch, and an epoch's loss counts
        minibatches by their rows, not by their weights.
    gradient, loss : float
        Factors of the loss's gradient and of its reported value.
    limit : float
        Upper limit of a row's loss; 0 is no limit.
    """

    mean_penalty: bool = False
    gradient: float = 1.0
    loss: float = 1.0
    limit: float = 0.0


PLAIN = LossScale()


def new_training(
    net: Network,
    rows: int,
    y_like: NDArray[Any],
    scale: LossScale = PLAIN,
    steps: bool = True,
    kind: type[Training] = Training,
) -> Any:  # of this kind
    """A `Training` of a built network, which holds its present values, loss and optimizer.

    Parameters
    ----------
    net : Network
    rows : int
        Maximum number of rows of a minibatch.
    y_like : ndarray
        An array with y's dtype and trailing shape; its length is ignored.
    scale : LossScale
    steps : bool
        Whether the optimizer makes steps; False leaves them to the caller.
    kind : type
        `Training`, or its subclass for rows in groups.
    """
    weights = net._built()
    net._tape = net._steps = weights.gradients = None
    optimizer = net.optimizer if steps else NoOptimizer()
    weights.average_for(optimizer.ema_decay)
    weights.state_for(optimizer.n_state)
    loss = net.loss.for_engine(y_like, weights.plan.n_out, net.dtype)
    return kind(
        weights.plan, weights, rows, loss, y_like, optimizer,
        scale.mean_penalty, scale.gradient, scale.loss, scale.limit,
    )  # fmt: skip


def checked(
    result: tuple[int, float, float], training: Training, dtype: np.dtype[Any]
) -> tuple[float, float]:
    """What the engine returned beside its status, which becomes an exception.

    Raises
    ------
    ValueError
        If X holds a value that is not finite, or y a label that is none of the classes.
    Diverged
        If the loss is not finite.
    FloatingPointError
        If a guarded step would have made a value infinite or NaN.
    """
    status, count, loss = result
    if status == STATUS["input not finite"]:
        raise validation.not_finite("X", dtype)
    if status == STATUS["label out of range"]:
        raise ValueError(
            f"y must hold class labels 0 to {training.n_out - 1} throughout a fit, got "
            f"{training.strange_label}; it was changed after it was checked"
        )
    if status == STATUS["step not finite"]:
        raise step_not_finite()
    if status == STATUS["loss not finite"]:
        raise Diverged(int(count))
    return count, loss


def step_not_finite() -> FloatingPointError:
    """The error for a step that was undone."""
    return FloatingPointError(
        "the step would have made a weight, or what the optimizer keeps of it, infinite or NaN; "
        "no step was made. A lower learning rate may help"
    )


def _settings_of(net: Network, y_like: NDArray[Any]) -> tuple[Any, ...]:
    """What the engine holds of the optimizer, but for its learning rate, and of the loss."""
    optimizer = net.optimizer
    loss = net.loss.for_engine(y_like, net._built().plan.n_out, net.dtype)
    if isinstance(loss, tuple):
        loss = loss[0], loss[1].tobytes()
    options = optimizer.clip_norm, optimizer.clip_value, optimizer.ema_decay
    return loss, optimizer.kernel, optimizer.hyper()[1:], options


class Steps:
    """The `Training` of single steps, kept from one to the next: building it takes 15 us.

    Parameters
    ----------
    net : Network
    source : ArrayBatches
        The first minibatch.
    """

    MAX_ROWS = 1024  # beyond, its memory is not kept, and a step takes far longer than building it

    def __init__(self, net: Network, source: ArrayBatches) -> None:
        self.idle = threading.Lock()  # held by the Python thread that makes a step
        self.idle.acquire()
        self.training = new_training(net, source.rows, source.y_like)
        self.weights = weights = net._built()
        self.buffers = weights.predictor, weights.optimizer_state, weights.average
        self.settings = _settings_of(net, source.y_like)
        self.y_like = source.y_like

    def fits(self, net: Network, source: ArrayBatches) -> bool:
        """Whether a new `Training` for another minibatch would be the same."""
        weights, (predictor, state, average) = net._built(), self.buffers
        return (
            weights is self.weights
            and weights.predictor is predictor  # the plan's and the parameters'
            and weights.optimizer_state is state
            and weights.average is average
            and weights.steps == self.training.t
            and source.rows <= self.training.rows
            and get_num_threads() == self.training.max_threads
            and source.y_like.shape == self.y_like.shape
            and source.y_like.dtype == self.y_like.dtype
            and _settings_of(net, source.y_like) == self.settings
        )


def one_step(net: Network, source: ArrayBatches, rate: float, key: int) -> float:
    """Train on one minibatch, all rows of the source, and return its loss before the step."""
    steps = net._steps
    if steps is None or not steps.idle.acquire(blocking=False) or not steps.fits(net, source):
        steps = Steps(net, source)
    net._steps = None  # as long as the step may fail
    net._tape = steps.weights.gradients = None
    X = source.X if source.in_memory else source.X.take(slice(None))
    training = steps.training
    result = training.batch(X, source.y, source.weight, rate, key, guarded=True)
    _, loss = checked(result, training, net.dtype)
    if source.rows <= Steps.MAX_ROWS:
        steps.idle.release()
        net._steps = steps
    return loss


def gradients_of(net: Network, X: Any, y: NDArray[Any]) -> NDArray[Any] | None:
    """The gradients of the mean loss of rows, penalties included, by all parameters.

    It is a flat array; None where the loss is not finite. The network is left as it is: the
    engine works on a copy of its values, with the same random numbers in each call.

    Parameters
    ----------
    net : Network
    X, y : ndarray, or the arrays of a sparse matrix
        As the engine takes them.
    """
    weights = copy.copy(net._built())
    weights.state_for(NoOptimizer.n_state)
    loss = net.loss.for_engine(y, weights.plan.n_out, net.dtype)
    training = Training(weights.plan, weights, len(y), loss, y, NoOptimizer())
    gradients = np.zeros_like(weights.parameters)
    try:
        checked(training.gradients(X, y, None, gradients), training, net.dtype)
    except Diverged:
        return None
    return gradients


class HeldOut:
    """Rows that are evaluated after each epoch, if there are any.

    Parameters
    ----------
    net : Network
    data : tuple of X, y and weights, or None
    """

    def __init__(self, net: Network, data: Any) -> None:
        self.data, self.loss = data, net.loss
        names = ("loss", *(name for name, _ in net.metrics)) if data is not None else ()
        net._log_names = ("loss", *(f"val_{name}" for name in names))

    def logs(self, net: Network) -> dict[str, float]:
        """The loss and the metrics, each name with ``val_`` before it."""
        if self.data is None:
            return {}
        X, y, weight = self.data
        if net.loss is not self.loss:
            y = targets_of_another(self.loss, net.loss, y, "y", net.n_outputs, net.dtype)
            self.data, self.loss = (X, y, weight), net.loss
        return {f"val_{name}": value for name, value in net._evaluate(X, y, weight).items()}


class Run:
    """One fit by minibatches: the engine at work, and its loop.

    Parameters
    ----------
    net : Network
    source : ArrayBatches or IterableBatches
    hooks : Hooks
    scale : LossScale
    """

    def __init__(
        self,
        net: Network,
        source: ArrayBatches | IterableBatches,
        hooks: Hooks,
        scale: LossScale = PLAIN,
    ) -> None:
        self.net, self.source, self.hooks, self.scale = net, source, hooks, scale
        self.observers: list[Observer] = []
        self.loss = net.loss
        if source.target_form is not None:
            net._target_form = source.target_form
        self.form = net._target_form
        self.begin()

    def begin(self) -> None:
        """Build the network if need be, and the engine's `Training` of its present state."""
        net, source = self.net, self.source
        self._adopt_loss()
        net.build(source.width)
        self.weights = net._built()
        source.standardize(self.weights)
        self.plan = self.weights.plan
        self.settings, self.changes = self._settings(), CHANGES.settings
        self.optimizer = net.optimizer
        self.training: Any = self.new_training()
        self.average, self.state = self.weights.average, self.weights.optimizer_state

    def new_training(self) -> Training:
        """The engine's part, of the network as it is now."""
        return new_training(self.net, self.source.rows, self.source.y_like, self.scale)

    def failed(self, stage: str, error: Exception) -> None:
        """Called before an error leaves the loop; a subclass may put the network back.

        Parameters
        ----------
        stage : {"hook", "data", "loss"}
            Who raised it: a callback; the data, or what gives it; or a loss written in Python.
        error : Exception
        """

    # -- an epoch ---------------------------------------------------------------------------------

    def epoch(self, order: NDArray[np.int64] | None, key: int) -> tuple[int, float]:
        """Train for an epoch.

        Parameters
        ----------
        order : ndarray of int64 or None
            Rows of X; None where an iterable sets the order.
        key : int
            Seed of the layers' random numbers.

        Returns
        -------
        steps : int
        loss : float
            Mean loss of the minibatches.

        Raises
        ------
        Diverged
            If the loss of a minibatch is not finite.
        """
        self.synchronize()
        rates = self.net._learning_rates(self.source.steps)
        self.observers = self.hooks.observers(self.net, self.source.rows, self.source.steps)
        source = self.source
        by_batch = self.hooks["on_batch_begin"] or self.hooks["on_batch_end"]
        if by_batch or isinstance(source, IterableBatches) or not source.in_memory:
            return self._by_batch(order, rates, key)
        steps, loss = self._in_engine(
            "epoch", source.X, source.y, source.weight, order, rates, source.batch_size, key
        )
        return int(steps), loss

    def _by_batch(self, order, rates, key):
        """An epoch whose minibatches pass through Python, with hooks between them."""
        loss, total, i = 0.0, 0.0, 0
        time = self._time()
        for i, (X, y, weight) in enumerate(self._batches(order), 1):
            counts = weight is None or weight.any()  # else the engine makes no step
            if counts:
                self.call("on_batch_begin", i)
            self.source.rows = max(self.source.rows, len(y))
            self.synchronize()
            if time != self._time():
                rates, time = self.net._learning_rates(self.source.steps), self._time()
            rate = rates[min(i, len(rates)) - 1]
            try:
                share, batch_loss = self._in_engine(
                    "batch", X, y, weight, rate, (key + i - 1) % 2**64
                )
            except Diverged:
                raise Diverged(i - 1) from None
            if not counts:
                continue
            if self.scale.mean_penalty:
                share = len(y)
            loss, total = loss + batch_loss * share, total + share
            self.call("on_batch_end", i, batch_loss)
        if total == 0:
            error = ValueError(
                "sample_weight must not be 0 throughout an epoch, got minibatches of weight 0 only"
            )
            self.failed("data", error)
            raise error
        return i, loss / total

    def _batches(self, order: Any) -> Iterator[Batch]:
        """The minibatches of an epoch, at least one."""
        X = None
        try:
            for X, y, weight in self.source.batches(order):
                yield X, y, weight
            if X is None:
                raise ValueError(
                    "X must give minibatches for every epoch, got an exhausted iterator. Pass an "
                    "iterable that starts anew, such as a list or an object whose __iter__ makes "
                    "a new generator, or train for fewer epochs"
                )
        except Exception as error:
            self.failed("data", error)
            raise

    def _in_engine(self, method, *arguments):
        """Let the engine train."""
        self.training.watch(self.observers)
        try:
            result = getattr(self.training, method)(*arguments)
        except Exception as error:
            if isinstance(self.net.loss, PythonLoss):  # else it is a signal handler's
                self.failed("loss", error)
            raise
        try:
            return checked(result, self.training, self.net.dtype)
        except ValueError as error:
            self.failed("data", error)
            raise

    def call(self, hook: str, *arguments: Any) -> bool:
        """Call the hooks of a name; tells whether one of them returned True."""
        try:
            return self.hooks.call(hook, self.net, *arguments)
        except Exception as error:
            self.failed("hook", error)
            raise

    # -- what callbacks may change ----------------------------------------------------------------

    def synchronize(self) -> None:
        """Build the `Training` anew where a hook has changed what it was built from."""
        try:
            weights = self.net._built()
            check_form(self.net, self.form)
            if not (
                weights is self.weights
                and weights.plan is self.plan
                and weights.average is self.average
                and weights.optimizer_state is self.state
                and weights.steps == self.training.t
                and self.source.rows <= self.training.rows
                and self._has_same_settings()
            ):
                self.begin()
        except Exception as error:
            self.failed("hook", error)
            raise

    def _has_same_settings(self) -> bool:
        """Whether the engine holds the present settings; they are compared only after a change."""
        net = self.net
        if (
            self.changes is CHANGES.settings
            and net.loss is self.loss
            and net.optimizer is self.optimizer
        ):
            return True
        self.changes = CHANGES.settings
        return self._settings() == self.settings

    def _settings(self) -> tuple[Any, ...]:
        """What the engine holds of the optimizer, but for its learning rate, and of the loss."""
        if isinstance(self.net.optimizer, LBFGS):
            raise RuntimeError(
                "optimizer must not become nn.LBFGS, which sees all rows at once, within a fit "
                "by minibatches; end the fit, and call fit again"
            )
        return _settings_of(self.net, self.source.y_like)

    def _time(self) -> tuple[Any, ...]:
        """What the learning rates of an epoch depend on."""
        net = self.net
        learned = dict(vars(net.schedule)) if isinstance(net.schedule, Schedule) else None
        return net.optimizer.lr, net.epoch, net.schedule, learned

    def _adopt_loss(self) -> None:
        """Let y be what the network's loss takes, where a hook has given it another loss."""
        if self.net.loss is not self.loss:
            self.source.adopt_loss(self.net, self.loss)
            self.loss = self.net.loss
