"""The loop of a fit: epochs and their figures, the hooks between them, and the way back."""

import time

from relume import validation
from relume.engine.training import STATUS
from relume.nn.losses import PythonLoss
from relume.nn.training.history import History, Progress

ENDED = None  # what an epoch returns instead of figures when a hook ended the fit at a divergence


def raise_refused(status, training, dtype):
    """Raise where a minibatch was refused because its data is wrong."""
    if status == STATUS["input not finite"]:
        raise validation.not_finite("X", dtype)
    if status == STATUS["label out of range"]:
        raise ValueError(
            f"y must hold class labels 0 to {training.n_out - 1} throughout a fit, got "
            f"{training.strange_label}; it was changed after it was checked"
        )


class Fitting:
    """One fit of a network to data that has been checked.

    Where something fails, the network goes back to one of two snapshots: `before` the fit if the
    data is wrong, the `good` one of the beginning of an epoch otherwise.
    """

    def __init__(self, net, source, validation, hooks):
        self.net, self.source = net, source
        self.validation, self.hooks = validation, hooks
        self.before = self.good = net.snapshot()
        try:
            self._begin()
        except Exception:
            net.restore(self.before)
            raise

    def _begin(self):
        """Let the engine hold the network's present values."""
        self.net.build(self.source.width)
        self.source.standardize(self.net._weights)
        self.weights = self.net._weights
        self.training = self.net._training(self.source)

    def run(self, epochs, progress):
        """Train for some epochs and return their history."""
        net, history, begin = self.net, History(), time.perf_counter()
        self._hook("on_fit_begin")
        with Progress(epochs, progress) as shown:
            for number in range(1, epochs + 1):
                figures = self._epoch(number)
                if figures is ENDED:
                    break
                skipped = self.training.share_skipped()
                history.add(**figures, skipped=skipped, seconds=time.perf_counter() - begin)
                shown.epoch(**figures)
                if self.hooks.call("on_epoch_end", net, net.epoch, figures):
                    break
        self.hooks.call("on_fit_end", net)
        history.layers = self.hooks.records
        return history

    def _epoch(self, number):
        """Train one epoch, which is the number'th of the fit, and return its figures."""
        net = self.net
        if number > 1 or self.before.weights is None or self.hooks["on_fit_begin"]:
            self.good = net.snapshot()
        self._hook("on_epoch_begin", net.epoch + 1)
        status, step, loss = self._train()
        try:
            raise_refused(status, self.training, net.dtype)
        except ValueError:
            net.restore(self.before)
            raise
        # The last step's weights are met by no loss of this epoch.
        if status == STATUS["loss not finite"] or not net._weights.are_finite():
            return self._diverged(number, step + (status == STATUS["loss not finite"]))
        net.epoch += 1
        figures = {"loss": loss}
        if self.validation:
            figures |= {f"val_{k}": v for k, v in net._evaluate(*self.validation).items()}
        if hasattr(net.schedule, "update"):
            net.schedule.update(figures)
        return figures

    def _train(self):
        """An epoch in the engine, or minibatch by minibatch: status, steps done, mean loss."""
        net, source = self.net, self.source
        order, key = source.order(net._rng), net._key()
        rates = net._learning_rates(source.steps)
        self.observers = self.hooks.observers(net, source.rows, source.steps)
        if not source.in_memory or self.hooks["on_batch_begin"] or self.hooks["on_batch_end"]:
            return self._by_batch(order, rates, key)
        return self._in_engine(
            "epoch", source.X, source.y, source.weight, order, rates, source.batch_size, key
        )

    def _in_engine(self, method, *arguments):
        """Let the engine train. A hook may have restored or loaded weights, or made steps."""
        if self.net._weights is not self.weights or self.weights.steps != self.training.t:
            self._begin()
        self.training.watch(self.observers)
        try:
            try:
                return getattr(self.training, method)(*arguments)
            finally:
                self.weights.steps = self.training.t
        except Exception:
            if isinstance(self.net.loss, PythonLoss):  # else it is a signal handler's
                self.net.restore(self.good)
            raise

    def _by_batch(self, order, rates, key):
        """An epoch whose minibatches pass through Python, with hooks between them."""
        loss, total, i = 0.0, 0.0, 0
        for i, (X, y, weight) in enumerate(self._batches(order), 1):
            self._hook("on_batch_begin", i)
            if len(y) > self.training.rows:
                self.source.rows = len(y)
                self._begin()
            rate = rates[min(i, len(rates)) - 1]
            status, share, batch_loss = self._in_engine(
                "batch", X, y, weight, rate, (key + i - 1) % 2**64
            )
            if status != STATUS["fine"]:
                return status, i - 1, loss
            loss, total = loss + batch_loss * share, total + share
            self._hook("on_batch_end", i, batch_loss)
        return STATUS["fine"], i, loss / total

    def _batches(self, order):
        """The minibatches of an epoch; where X fails to give one, the network is as before."""
        net, X = self.net, None
        try:
            for X, y, weight in self.source.batches(order):
                yield X, y, weight
            if X is None:
                raise ValueError(
                    "X must give minibatches for every epoch, got an exhausted iterator"
                )
        except Exception as error:
            wrong = isinstance(error, TypeError | ValueError)
            net.restore(self.before if wrong else self.good)
            raise

    def _hook(self, name, *arguments):
        """Call hooks before or within an epoch, which is undone if one of them raises."""
        try:
            self.hooks.call(name, self.net, *arguments)
        except Exception:
            self.net.restore(self.good)
            raise

    def _diverged(self, number, step):
        net = self.net
        net.restore(self.good)
        error = FloatingPointError(
            f"the loss stopped being finite at epoch {number} of this fit, step {step}; the "
            "network has the weights of the beginning of that epoch again. "
            "A lower learning rate may help"
        )
        if not self.hooks.call("on_divergence", net, net.epoch + 1, error):
            raise error
        return ENDED
