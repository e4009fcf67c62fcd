"""An estimator's fit by L-BFGS, which sees all rows at once; the method is SciPy's."""

import numpy as np
import scipy
from sklearn.utils.optimize import _check_optimize_result

from relume.nn.data.minibatches import ArrayBatches
from relume.nn.training.lbfgs_fit import Objective
from relume.nn.training.run import Diverged
from relume.runtime.blas import single_threaded_blas
from relume.sklearn.warned import as_of_scikit_learn

SHOWS_ITERATIONS = tuple(map(int, scipy.__version__.split(".")[:2])) < (1, 15)  # not any more


def fit_lbfgs(estimator, data, key):
    """Minimize the loss over all rows, as scikit-learn's estimator with solver="lbfgs"."""
    import scipy.optimize

    network, given = estimator._network, estimator.optimizer
    weights, function = network._built(), _Function(estimator, data, key)
    options = {"maxfun": estimator.max_fun, "maxiter": estimator.max_iter, "gtol": estimator.tol}
    if given is not None and not isinstance(given, str):
        options = {"maxiter": given.max_iter, "maxcor": given.history_size, "gtol": given.gtol,
                   "ftol": given.ftol}  # fmt: skip
    if SHOWS_ITERATIONS:
        options["iprint"] = 1 if estimator.verbose else -1
    with single_threaded_blas:
        result = scipy.optimize.minimize(
            function, weights.parameters.copy(), jac=True, method="L-BFGS-B", options=options
        )
    weights.write(result.x)
    network.epoch += 1
    with as_of_scikit_learn():
        estimator.n_iter_ = _check_optimize_result("lbfgs", result, options["maxiter"])
    estimator.loss_ = np.float64(result.fun)


class _Function:
    """The loss and its gradient as scikit-learn has them: with constants, NaN at a divergence."""

    def __init__(self, estimator, data, key):
        X, y, weight = data
        source, objective = ArrayBatches(X, y, weight, len(y)), estimator._objective
        self.objective = Objective(estimator._network, source, key, objective.scale)
        constants = objective.constants(y)
        self.constant = 0.0 if constants is None else np.average(constants, weights=weight)

    def __call__(self, parameters):
        """Both; SciPy keeps to the dtype that it began with."""
        try:
            loss, gradient = self.objective(parameters)
        except Diverged:
            return np.nan, np.full_like(self.objective.gradient, np.nan)
        return loss + self.constant, gradient.copy()
