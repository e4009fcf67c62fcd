"""The loop of an estimator's fit, as scikit-learn has it: its epochs, its logs, and its end.

Rows that are held out are not copied away from those that are trained on: an epoch's order names
the rows. Where a loss is not finite, scikit-learn goes on, and fails at the end.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import r2_score

from relume.nn.callbacks.callback import Hooks
from relume.nn.data.check_data import check_enough_rows
from relume.nn.data.minibatches import ArrayBatches
from relume.nn.optimizers.schedule import learn
from relume.nn.training.run import Diverged, Run
from relume.sklearn.warned import warn

BETTER = 5.0  # what the adaptive learning rate is divided by
SMALLEST_RATE = 1e-6


class EstimatorFit(Run):
    """One fit, or one epoch of `partial_fit`, that makes steps.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
    data : tuple
        X, y and weights, or None, as the engine takes them.
    rows : ndarray of int64
        The rows of X to train on.
    held_out : tuple or None
        X, y and weights of rows to evaluate.
    hooks : Hooks
    random_state : numpy.random.RandomState
    """

    source: ArrayBatches

    def __init__(
        self,
        estimator: Any,
        data: tuple[Any, Any, Any],
        rows: NDArray[np.int64],
        held_out: tuple[Any, Any, Any] | None,
        hooks: Hooks,
        random_state: np.random.RandomState,
    ) -> None:
        self.estimator, self.rows, self.held_out = estimator, rows, held_out
        self.random_state, self.objective = random_state, estimator._objective
        network, (X, y, weight) = estimator._network, data
        self.diverged = False
        self.constants = self.objective.constants(y)
        size = self._batch_size()
        check_enough_rows(network, len(rows), size)
        source = ArrayBatches(X, y, weight, size, joins=network._has_batch_norm(), n=len(rows))
        super().__init__(network, source, hooks, self.objective.scale)
        self.network = network

    def _batch_size(self):
        size, n = self.estimator.batch_size, len(self.rows)
        if size == "auto":
            return min(200, n)
        if size > n:
            warn(
                "Got `batch_size` less than 1 or larger than sample size. It is going to be "
                "clipped"
            )
            return n
        return int(size)

    def begin(self) -> None:
        """Also let the estimator's `coefs_` be the network's values, which a hook may replace."""
        self.estimator._bind()
        super().begin()

    def run(self, incremental: bool) -> None:
        """Train until the loss has converged, or for one epoch if `incremental`."""
        e, network = self.estimator, self.network
        self.order = self.rows
        network._log_names = None
        self.hooks.call("on_fit_begin", network)
        self.hooks.show_targets(self.source)
        try:
            e.n_iter_ = 0
            for _ in range(e.max_iter):
                if self._epoch() or incremental:
                    break
                if e.n_iter_ == e.max_iter:
                    warn(
                        f"Stochastic Optimizer: Maximum iterations ({e.max_iter}) reached and "
                        "the optimization hasn't converged yet.",
                        ConvergenceWarning,
                    )
        except KeyboardInterrupt:
            warn("Training interrupted by user.")
        if e.early_stopping and e._best is not None:
            network._built().write(e._best)
            e._best = None
        self.hooks.call("on_fit_end", network)
        e._bind()

    def _epoch(self):
        """Train on all rows once; tells whether the fit ends."""
        e, network, n = self.estimator, self.network, len(self.rows)
        if e.shuffle:
            index = np.arange(n)
            self.random_state.shuffle(index)
            self.order = self.order[index]
        self.hooks.call("on_epoch_begin", network, network.epoch + 1)
        good = network.snapshot() if self.hooks["on_divergence"] else None
        e.loss_ = np.float64(self._train())  # scikit-learn's has NumPy's methods
        if self._ends_by_divergence(good):
            return True
        network.epoch += 1
        e.n_iter_ += 1
        e.t_ += n
        e.loss_curve_.append(e.loss_)
        if e.verbose:
            print(f"Iteration {e.n_iter_}, loss = {e.loss_:.8f}")
        logs = {"loss": e.loss_, **self._validate()}
        self._count_epochs_without_improvement()
        learn(network.schedule, logs)
        if e._learning_rate == "invscaling":
            network.optimizer.lr = e.learning_rate_init / (e.t_ + 1) ** e.power_t
        converged = e._no_improvement_count > e.n_iter_no_change and self._converges()
        # A hook is asked even where the fit ends anyway.
        return self.hooks.call("on_epoch_end", network, network.epoch, logs) or converged

    # -- training ---------------------------------------------------------------------------------

    def _train(self):
        """The loss of an epoch; NaN from the first loss on that is not finite."""
        key = self._key()
        if self.diverged:
            return np.nan
        try:
            _, loss = self.epoch(self.order, key)
        except Diverged:
            self.diverged = True
            self.network._built().write(np.nan)
            return np.nan
        return loss if self.constants is None else loss + self._mean_constant()

    def _rows_of(self, step):
        """The rows of a minibatch."""
        size = self.source.batch_size
        last = None if step == self.source.steps - 1 else (step + 1) * size
        return self.order[step * size : last]

    def _key(self):
        """Seed of an epoch's random numbers, drawn only where layers need some."""
        if not self.network._built().plan.random:
            return 0
        return int(self.random_state.randint(2**62, dtype=np.int64))

    def _mean_constant(self):
        """What the deviance adds to an epoch's loss, each minibatch counting by its rows."""
        weight = self.source.weight
        if weight is None:
            return self.constants[self.rows].mean()
        parts = [self._rows_of(i) for i in range(self.source.steps)]
        parts = [rows for rows in parts if weight[rows].any()]  # the others are skipped
        means = [np.average(self.constants[rows], weights=weight[rows]) for rows in parts]
        return np.average(means, weights=[len(rows) for rows in parts])

    def _ends_by_divergence(self, good):
        """Let hooks end the fit at a loss that is not finite, as after the last good epoch."""
        if not self.diverged or good is None:
            return False
        error = FloatingPointError(f"the loss stopped being finite at epoch {self.network.epoch}")
        if not self.hooks.call("on_divergence", self.network, self.network.epoch + 1, error):
            return False
        self.network.restore(good)
        return True

    # -- validation, and when a fit ends ----------------------------------------------------------

    def _validate(self):
        """The logs of the rows that are not trained on."""
        if self.held_out is None:
            return {}
        e, (X, y, weight) = self.estimator, self.held_out
        z = self.network._outputs(X)
        with np.errstate(invalid="ignore"):
            loss = self.objective.value(self.network, z, y, weight)
        e.validation_loss_curve_.append(loss)
        if not e.early_stopping:
            return {"val_loss": loss}
        score = e._score_of(z, y, weight)
        e.validation_scores_.append(score)
        if e.verbose:
            print(f"Validation score: {score:f}")
        return {"val_loss": loss, e._score_name: score}

    def _count_epochs_without_improvement(self):
        """By the validation score under early stopping, else by the loss; NaN is no failure."""
        e = self.estimator
        if e.early_stopping:
            score = e.validation_scores_[-1]
            worse = score < e.best_validation_score_ + e.tol
            if score > e.best_validation_score_:
                e.best_validation_score_ = score
                e._best = self.network._built().parameters.copy()
        else:
            worse = e.loss_ > e.best_loss_ - e.tol
            if e.loss_ < e.best_loss_:
                e.best_loss_ = e.loss_
        e._no_improvement_count = e._no_improvement_count + 1 if worse else 0

    def _converges(self):
        """Whether the fit ends; or goes on, at a lower learning rate, under "adaptive"."""
        e, optimizer = self.estimator, self.network.optimizer
        metric = "Validation score" if e.early_stopping else "Training loss"
        message = (
            f"{metric} did not improve more than tol={e.tol:f} for {e.n_iter_no_change:d} "
            "consecutive epochs."
        )
        adaptive = e._learning_rate == "adaptive"
        ends = not adaptive or optimizer.lr <= SMALLEST_RATE
        if not ends:
            optimizer.lr /= BETTER
            e._no_improvement_count = 0
        if e.verbose:
            small = "Learning rate too small. " if adaptive else ""
            rate = f"Setting learning rate to {optimizer.lr:f}"
            print(message, f"{small}Stopping." if ends else rate)
        return ends


def accuracy(codes, y, weight):
    """The share of rows that are right, with all their labels if there are many."""
    right = codes == y
    return float(np.average(right if right.ndim == 1 else right.all(axis=1), weights=weight))


def r2(values, y, weight):
    """The share of the variance that is explained: the mean of that of each output.

    Of rows without weights as `sklearn.metrics.r2_score`, to the last bit, in a tenth of its time.
    """
    if weight is not None or len(y) < 2:
        return r2_score(y, values, sample_weight=weight)
    lost = np.sum((y - values) ** 2, axis=0)
    total = np.sum((y - np.average(y, axis=0)) ** 2, axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        explained = 1 - lost / total
    # A constant output is explained where nothing is lost of it, and else not at all.
    constant = np.where(lost == 0, 1.0, 0.0)
    return float(np.average(np.where((total != 0) & (lost != 0), explained, constant)))
