"""The regressor: its parameters, its targets, its predictions."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import RegressorMixin, _fit_context
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.metaestimators import available_if

from relume.nn.data.rows import is_sparse
from relume.nn.layers.initializers import Initializer
from relume.nn.losses import Loss, Poisson
from relume.nn.optimizers.lbfgs import LBFGS
from relume.nn.optimizers.optimizers import Optimizer
from relume.sklearn.base import MLP, ActivationOf, LossFunction, validation_pair
from relume.sklearn.docstrings import documented
from relume.sklearn.fitting import r2
from relume.sklearn.objectives import REGRESSOR_LOSSES, for_values


@documented
class MLPRegressor(RegressorMixin, MLP):
    """Multi-layer perceptron that predicts values, as ``sklearn.neural_network.MLPRegressor``.

    If only scikit-learn's parameters are used, the results are those of scikit-learn up to
    rounding, because the same random numbers are drawn.

    Parameters
    ----------
    loss : {{"squared_error", "poisson", "absolute_error", "mse", "mae", "huber", "quantile"}}, \
Loss or callable, default="squared_error"
        "squared_error" and "poisson" are scikit-learn's losses: half of the squared error and half
        of the deviance. With "poisson" the network computes the logarithm of the prediction. You
        can also give a loss of `relume.nn`, such as ``nn.Huber(delta=2.0)`` or
        ``nn.Quantile(0.9)``, or a function ``(y_true, y_pred) -> (loss, grad)``; these are not
        halved.
    {shapes}
    {scikit_learn}
    {relume}

    Attributes
    ----------
    {attributes}

    See Also
    --------
    MLPClassifier : The same for classes.
    relume.nn.Network : The network that the estimator trains.

    Notes
    -----
    {notes}

    Examples
    --------
    >>> import numpy as np
    >>> from relume.sklearn import MLPRegressor
    >>> X = np.linspace(0, 6, 100)[:, None]
    >>> y = np.sin(X).ravel()
    >>> mlp = MLPRegressor(hidden_layer_sizes=32, activation="tanh", solver="lbfgs", max_iter=2000,
    ...                    random_state=0)
    >>> mlp.fit(X, y).score(X, y) > 0.99
    True
    >>> upper = MLPRegressor("quantile", activation="silu", random_state=0)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **MLP._parameter_constraints,
        "loss": [StrOptions(set(REGRESSOR_LOSSES)), Loss, callable],
    }  # fmt: skip
    _y_numeric = True
    _score_name = "val_r2"

    def __init__(
        self,
        loss: str | Loss | LossFunction = "squared_error",
        hidden_layer_sizes: int | Sequence[int] | NDArray[Any] = (100,),
        activation: ActivationOf | Sequence[ActivationOf] = "relu",
        *,
        solver: Literal["lbfgs", "sgd", "adam"] = "adam",
        alpha: float = 0.0001,
        batch_size: int | Literal["auto"] = "auto",
        learning_rate: Literal["constant", "invscaling", "adaptive"] = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: int | np.random.RandomState | None = None,
        tol: float = 1e-4,
        verbose: bool = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        dropout: float | Sequence[float] = 0.0,
        normalization: Literal["batch", "layer"] | None = None,
        residual: bool = False,
        weight_init: str | Initializer | None = None,
        optimizer: str | Optimizer | LBFGS | None = None,
        schedule: Callable[[float], float] | None = None,
        clip_norm: float | None = None,
        callbacks: Sequence[Any] | None = None,
        dtype: Any = None,
        n_threads: int | None = None,
    ) -> None:
        self._take(locals())

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        X_val: Any = None,
        y_val: ArrayLike | None = None,
    ) -> Self:
        """Train on data, from newly drawn weights unless `warm_start` is set.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Input rows.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Target values.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row. None gives all rows the weight 1.
        X_val, y_val : array-like, default=None
            Rows and targets that are evaluated after each epoch. `early_stopping` uses them
            instead of holding out rows of X.

        Returns
        -------
        self : MLPRegressor
        """
        return self._fit(X, y, sample_weight, validation_pair(X_val, y_val))

    @available_if(lambda self: self._check_solver())
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Train for one epoch, continuing with the current weights.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Input rows.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Target values.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row. None gives all rows the weight 1.

        Returns
        -------
        self : MLPRegressor
        """
        return self._fit(X, y, sample_weight, incremental=True)

    def predict(self, X: Any) -> NDArray[Any]:
        """Predict the values of each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Input rows.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        """
        z = self._outputs(X)
        values = self._values(z)
        return values.ravel() if values.shape[1] == 1 else values

    # -- targets ----------------------------------------------------------------------------------

    def _values(self, z):
        """What raw outputs stand for."""
        if self.out_activation_ == "identity":
            return z
        with np.errstate(over="ignore", under="ignore"):
            return np.exp(z)

    def _learn_targets(self, y, incremental):
        """How many outputs y has."""
        if is_sparse(y):
            raise TypeError("y must be dense, got a sparse matrix")
        if y.dtype.kind not in "fiub":
            raise ValueError(f"y must hold real numbers, got dtype {y.dtype}")
        return 1 if y.ndim == 1 else y.shape[1]

    def _check_validation_targets(self, y):
        n_outputs = self._learn_targets(y, incremental=True)
        if n_outputs != self.n_outputs_:
            raise ValueError(f"y_val must have {self.n_outputs_} outputs, got {n_outputs}")

    def _objective_for(self, dtype):
        return for_values(self.loss, self.n_outputs_)

    def _out_activation(self):
        return "exp" if isinstance(self._objective.loss, Poisson) else "identity"

    def _encoded(self, y):
        return np.ascontiguousarray(y.reshape(len(y), -1), self._network.dtype)

    def _weighted_by_class(self, data, rows):
        return data[2]

    def _strata(self, y):
        return None

    def _score_of(self, z, y, weight):
        values = self._values(z)
        return r2(values, y, weight) if np.isfinite(values).all() else np.nan
