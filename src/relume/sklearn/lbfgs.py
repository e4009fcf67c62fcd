"""A fit by L-BFGS, which sees all rows at once; the method is SciPy's."""

import numpy as np
import scipy
from sklearn.utils.optimize import _check_optimize_result

from relume.engine.training import STATUS, Training
from relume.nn.data.rows import SparseRows
from relume.nn.training.fit_loop import raise_refused
from relume.nn.training.lbfgs_fit import Unused
from relume.sklearn.fitting import check_sums
from relume.sklearn.warned import as_of_scikit_learn

SHOWS_ITERATIONS = tuple(map(int, scipy.__version__.split(".")[:2])) < (1, 15)  # not any more


def fit_lbfgs(estimator, data, key):
    """Minimize the loss over all rows, as scikit-learn's estimator with solver="lbfgs"."""
    import scipy.optimize

    network, given = estimator._network, estimator.optimizer
    weights, function = network._weights, Function(estimator, data, key)
    options = {"maxfun": estimator.max_fun, "maxiter": estimator.max_iter, "gtol": estimator.tol}
    if given is not None and not isinstance(given, str):
        options = {"maxiter": given.max_iter, "maxcor": given.history_size, "gtol": given.gtol,
                   "ftol": given.ftol}  # fmt: skip
    if SHOWS_ITERATIONS:
        options["iprint"] = 1 if estimator.verbose else -1
    result = scipy.optimize.minimize(
        function, weights.parameters.copy(), jac=True, method="L-BFGS-B", options=options
    )
    weights.parameters[:] = result.x
    network.epoch += 1
    with as_of_scikit_learn():
        estimator.n_iter_ = _check_optimize_result("lbfgs", result, options["maxiter"])
    estimator.loss_ = np.float64(result.fun)


class Function:
    """The loss over all rows, penalties included, and its gradient, by all parameters."""

    def __init__(self, estimator, data, key):
        (X, self.y, self.weight), network = data, estimator._network
        self.X = X.take(slice(None)) if isinstance(X, SparseRows) else X
        objective, self.weights, self.key = estimator._objective, network._weights, key
        self.gradient = np.zeros_like(self.weights.parameters)
        self.training = Training(
            self.weights.plan, self.weights, len(self.y), objective.kernel(network, self.y),
            self.y, Unused(), True, objective.scale, objective.loss_scale, objective.limit,
        )  # fmt: skip
        if self.weight is not None:
            check_sums(self.weight.sum())
        constants = objective.constants(self.y)
        self.constant = 0.0 if constants is None else np.average(constants, weights=self.weight)

    def __call__(self, parameters):
        """Both, NaN where the loss is not finite; SciPy keeps to the dtype that it began with."""
        self.weights.parameters[:] = parameters
        status, _, loss = self.training.gradients(
            self.X, self.y, self.weight, self.gradient, self.key
        )
        raise_refused(status, self.training, self.weights.dtype)
        if status != STATUS["fine"]:
            return np.nan, np.full_like(self.gradient, np.nan)
        return loss + self.constant, self.gradient.copy()
