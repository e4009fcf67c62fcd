"""The loop of `Network.fit`: its epochs, their logs, and the way back where one fails."""

import time
from typing import Any

from relume.nn.callbacks.callback import Hooks
from relume.nn.losses import PythonLoss
from relume.nn.optimizers.schedule import learn
from relume.nn.parameters.snapshot import Snapshot
from relume.nn.training.fit_scope import fit_scope
from relume.nn.training.history import History, Progress
from relume.nn.training.run import Diverged, HeldOut, Run


def _about(loss: Any) -> str:
    """What else may be wrong with a loss written in Python: the end of an error's text."""
    if not isinstance(loss, PythonLoss):
        return ""
    return f", unless the gradient of {loss.name} is wrong, which nn.check_loss finds out"


class FitLoop(Run):
    """One fit of a network to data that has been checked.

    Where something fails, the network goes back to one of two snapshots: `before` the fit if the
    data is wrong, the `good` one from the beginning of the epoch otherwise.

    Parameters
    ----------
    net : Network
    source : ArrayBatches or IterableBatches
    held_out : tuple of X, y and weights, or None
        Rows that are evaluated after each epoch.
    hooks : Hooks
    """

    def __init__(self, net: Any, source: Any, held_out: Any, hooks: Hooks) -> None:
        self.held_out = HeldOut(net, held_out)
        self.before = self.good = net.snapshot()
        try:
            super().__init__(net, source, hooks)
        except Exception:
            net.restore(self.before)
            raise

    def failed(self, stage: str, error: Exception) -> None:
        """Put the network back: to before the fit if the data is wrong, else to the last epoch."""
        wrong = stage == "data" and isinstance(error, TypeError | ValueError)
        (self.before if wrong else self.good).roll_back(self.net)

    def run(self, epochs: int, progress: bool) -> History:
        """Train for some epochs and return their history."""
        with fit_scope(self.net, self.hooks, self.failed) as (history, done):
            if not done:
                self._epochs(epochs, progress, history)
        self._recycle(self.good)
        return history

    def _recycle(self, snapshot: Snapshot) -> None:
        """Let the next snapshot use the memory of one that nobody will go back to."""
        weights = self.net._values
        if weights is not None and snapshot.weights is not None:
            weights.recycle(snapshot.weights)

    def _epochs(self, epochs: int, progress: bool, history: History) -> None:
        net, begin = self.net, time.perf_counter()
        self.hooks.show_targets(self.source)
        with Progress(epochs, progress) as shown:
            for number in range(1, epochs + 1):
                logs = self._epoch(number)
                if logs is None:
                    break
                skipped = self.training.share_skipped()
                seconds = time.perf_counter() - begin
                history.add(net.epoch, **logs, skipped=skipped, seconds=seconds)
                shown.epoch(**logs)
                recorded = set(logs)
                done = self.ends(logs)
                history.complete(logs, recorded)
                if done:
                    break

    def ends(self, logs: dict[str, float]) -> bool:
        """Call the hooks of an epoch's end; tells whether they end the fit."""
        return self.hooks.call("on_epoch_end", self.net, self.net.epoch, logs)

    def _epoch(self, number: int) -> dict[str, float] | None:
        """Train the number'th epoch of the fit; None where a hook ended it at a divergence."""
        net = self.net
        if number > 1 or self.before.weights is None or self.hooks["on_fit_begin"]:
            last, self.good = self.good, net.snapshot()
            if last is not self.before:
                self._recycle(last)
        self.call("on_epoch_begin", net.epoch + 1)
        order, key = self.order_and_key()
        try:
            steps, loss = self.epoch(order, key)
        except Diverged as error:
            self._diverged(number, error.steps + 1)
            return None
        # No later loss of this epoch would reveal bad weights from the last step.
        if not net._built().are_finite():
            self._diverged(number, steps)
            return None
        try:
            logs = {"loss": loss, **self.held_out.logs(net)}
            learn(net.schedule, logs)
        except Exception as error:  # a metric's, for one
            self.failed("hook", error)
            raise
        net.epoch += 1  # now that the history will have it
        return logs

    def order_and_key(self) -> tuple[Any, int]:
        """The order of an epoch's rows, and the seed of its random numbers."""
        return self.source.order(self.net._rng), self.net._key()

    def _diverged(self, number: int, step: int) -> None:
        """Put the network back, and raise unless a hook ends the fit quietly."""
        net = self.net
        self.good.roll_back(net)
        error = FloatingPointError(
            f"the loss stopped being finite at epoch {number} of this fit, step {step}; the "
            "network has the weights of the beginning of that epoch again. "
            f"A lower learning rate may help{_about(net.loss)}"
        )
        if not self.hooks.call("on_divergence", net, net.epoch + 1, error):
            raise error
