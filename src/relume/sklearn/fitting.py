"""The loop of a fit as scikit-learn's: its epochs, its figures, and when it ends.

Rows that are held out are not copied away from those that are trained on: an epoch's order names
the rows. What scikit-learn does where a loss is not finite is to go on, and to fail at the end.
"""

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import r2_score

from relume.engine.training import STATUS, Training
from relume.nn.data.rows import SparseRows
from relume.nn.training.fit_loop import raise_refused
from relume.sklearn.warned import warn

BETTER = 5.0  # what the adaptive learning rate is divided by
SMALLEST_RATE = 1e-6


class Fitting:
    """One fit, or one epoch of `partial_fit`, that makes steps.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
    data : tuple
        X, y and weights, or None, as the engine takes them.
    rows : ndarray of int64
        Those of X that are trained on.
    validation : tuple or None
        X, y and weights.
    hooks : Hooks
    random_state : numpy.random.RandomState
    """

    def __init__(self, estimator, data, rows, validation, hooks, random_state):
        self.estimator, self.network = estimator, estimator._network
        (self.X, self.y, self.weight), self.rows = data, rows
        self.validation, self.hooks, self.random_state = validation, hooks, random_state
        self.objective = estimator._objective
        self.diverged = False
        self.batch_size, self.n_steps = self._batches()
        self.constants = self.objective.constants(self.y)
        self._begin()

    def _batches(self):
        """The size of a minibatch, and how many an epoch has."""
        size, n = self.estimator.batch_size, len(self.rows)
        if size == "auto":
            size = min(200, n)
        elif size > n:
            warn(
                "Got `batch_size` less than 1 or larger than sample size. It is going to be "
                "clipped"
            )
            size = n
        self.network._enough_rows(self.rows, size)
        joins = self.network._normalizes_batches() and n > size and n % size == 1
        return int(size), -(-n // int(size)) - joins

    def _begin(self):
        """Let the engine hold the network's present values, which a hook may have replaced."""
        network, objective = self.network, self.objective
        self.estimator._bind()
        self.weights = weights = network._weights
        weights.average_for(network.optimizer.ema_decay)
        n = len(self.rows)
        most = max(self.batch_size, n - (self.n_steps - 1) * self.batch_size)
        self.training = Training(
            weights.plan, weights, most, objective.kernel(network, self.y[:0]), self.y[:0],
            network.optimizer, True, objective.scale, objective.loss_scale, objective.limit,
        )  # fmt: skip

    def run(self, incremental):
        """Train until it has converged, or for an epoch if `incremental`."""
        e, network = self.estimator, self.network
        self.order = self.rows
        self.hooks.call("on_fit_begin", network)
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
            network._weights.parameters[:] = e._best
            e._best = None
        self.hooks.call("on_fit_end", network)
        e._bind()

    def _epoch(self):
        """Train on all rows once; tells whether the fit has come to its end."""
        e, network, n = self.estimator, self.network, len(self.rows)
        if e.shuffle:
            places = np.arange(n)
            self.random_state.shuffle(places)
            self.order = self.order[places]
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
        figures = {"loss": e.loss_, **self._validate()}
        self._count_epochs_without_improvement()
        if hasattr(network.schedule, "update"):
            network.schedule.update(figures)
        if e._learning_rate == "invscaling":
            network.optimizer.lr = e.learning_rate_init / (e.t_ + 1) ** e.power_t
        converged = e._no_improvement_count > e.n_iter_no_change and self._converges()
        # A hook is asked even where the fit ends anyway.
        return self.hooks.call("on_epoch_end", network, network.epoch, figures) or converged

    # -- training ---------------------------------------------------------------------------------

    def _train(self):
        """The loss of an epoch; NaN from the first loss on that is not finite."""
        if self.network._weights is not self.weights or self.weights.steps != self.training.t:
            self._begin()
        rates, key = self.network._learning_rates(self.n_steps), self._key()
        if self.diverged:
            return np.nan
        if self.weight is not None:
            starts = np.arange(self.n_steps) * self.batch_size
            check_sums(np.add.reduceat(self.weight[self.order], starts))
        self.observers = self.hooks.observers(self.network, self.batch_size, self.n_steps)
        self.training.watch(self.observers)
        by_batch = any(self.hooks[name] for name in ("on_batch_begin", "on_batch_end"))
        try:
            if by_batch or isinstance(self.X, SparseRows):
                status, _, loss = self._by_batch(rates, key)
            else:
                status, _, loss = self.training.epoch(
                    self.X, self.y, self.weight, self.order, rates, self.batch_size, key
                )
        finally:
            self.weights.steps = self.training.t
        raise_refused(status, self.training, self.network.dtype)
        if status != STATUS["fine"]:
            self.diverged = True
            self.weights.parameters[:] = np.nan
            return np.nan
        return loss if self.constants is None else loss + self._mean_constant()

    def _by_batch(self, rates, key):
        """An epoch whose minibatches pass through Python."""
        sum = 0.0
        for i, rate in enumerate(rates):
            self.hooks.call("on_batch_begin", self.network, i + 1)
            if self.network._weights is not self.weights or self.weights.steps != self.training.t:
                self._begin()
                self.training.watch(self.observers)
            rows = self._rows_of(i)
            X = self.X.take(rows) if isinstance(self.X, SparseRows) else self.X[rows]
            weight = None if self.weight is None else self.weight[rows]
            status, _, loss = self.training.batch(X, self.y[rows], weight, rate, (key + i) % 2**64)
            self.weights.steps = self.training.t
            if status != STATUS["fine"]:
                return status, i, 0.0
            sum += loss * len(rows)
            self.hooks.call("on_batch_end", self.network, i + 1, loss)
        return status, len(rates), sum / len(self.rows)

    def _rows_of(self, step):
        """The rows of a minibatch."""
        last = None if step == self.n_steps - 1 else (step + 1) * self.batch_size
        return self.order[step * self.batch_size : last]

    def _key(self):
        """What dropout's random numbers come of; none is drawn where there is no dropout."""
        if not self.weights.plan.random:
            return 0
        return int(self.random_state.randint(2**62, dtype=np.int64))

    def _mean_constant(self):
        """What an epoch's loss lacks for the deviance, each minibatch counting by its rows."""
        if self.weight is None:
            return self.constants[self.rows].mean()
        parts = [self._rows_of(i) for i in range(self.n_steps)]
        means = [np.average(self.constants[rows], weights=self.weight[rows]) for rows in parts]
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
        """The figures of the rows that are not trained on."""
        if self.validation is None:
            return {}
        e, (X, y, weight) = self.estimator, self.validation
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
        """By the validation's score under early stopping, else by the loss; NaN is no failure."""
        e = self.estimator
        if e.early_stopping:
            score = e.validation_scores_[-1]
            worse = score < e.best_validation_score_ + e.tol
            if score > e.best_validation_score_:
                e.best_validation_score_ = score
                e._best = self.network._weights.parameters.copy()
        else:
            worse = e.loss_ > e.best_loss_ - e.tol
            if e.loss_ < e.best_loss_:
                e.best_loss_ = e.loss_
        e._no_improvement_count = e._no_improvement_count + 1 if worse else 0

    def _converges(self):
        """Whether the fit ends; or goes on, at a lower learning rate, under "adaptive"."""
        e, optimizer = self.estimator, self.network.optimizer
        figure = "Validation score" if e.early_stopping else "Training loss"
        message = (
            f"{figure} did not improve more than tol={e.tol:f} for {e.n_iter_no_change:d} "
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


def check_sums(sums):
    """Raise, as scikit-learn does, where the weights of a minibatch sum to 0.

    The engine takes such a minibatch as one without a loss.
    """
    if not np.all(sums):
        raise ZeroDivisionError("Weights sum to zero, can't be normalized")


def accuracy(codes, y, weight):
    """The share of rows that are right, with all their labels if there are many."""
    right = codes == y
    return float(np.average(right if right.ndim == 1 else right.all(axis=1), weights=weight))


def r2(values, y, weight):
    """The share of the variance that is explained."""
    return r2_score(y, values, sample_weight=weight)
