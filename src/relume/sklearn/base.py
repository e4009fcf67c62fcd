"""What the classifier and the regressor have in common."""

import contextlib
import operator
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from relume import tables
from relume.nn.callbacks.callback import Hooks
from relume.nn.data.rows import check_sparse, features_of, is_sparse
from relume.nn.layers.activations import ACTIVATIONS, Activation
from relume.nn.layers.initializers import INITIALIZERS, Initializer
from relume.nn.layers.layer import Elementwise
from relume.nn.layers.parametric import ELEMENTWISE
from relume.nn.network import Network
from relume.nn.optimizers.lbfgs import LBFGS
from relume.nn.optimizers.optimizers import OPTIMIZERS, Optimizer
from relume.nn.optimizers.scikit_learn import SGDOfScikitLearn
from relume.nn.parameters.weights import Weights
from relume.runtime.threads import num_threads
from relume.sklearn.building import (
    NORMALIZATIONS,
    SCIKIT_LEARN_NAMES,
    draw,
    is_stochastic,
    layer_sizes,
    layers_of,
    optimizer_of,
)
from relume.sklearn.fitting import EstimatorFit
from relume.sklearn.lbfgs import fit_lbfgs
from relume.sklearn.plain_arrays import is_finite, is_matrix, is_vector
from relume.sklearn.warned import as_of_scikit_learn

SPARSE = ["csr", "csc"]
ActivationOf = str | Activation | Elementwise | type[Activation | Elementwise] | None
LossFunction = Callable[..., tuple[float, NDArray[Any]]]


@contextlib.contextmanager
def named_columns(X):
    """Where scikit-learn finds no numbers in a data frame, name the column that has none."""
    try:
        yield
    except (TypeError, ValueError) as error:
        kind = ValueError if isinstance(error, ValueError) else TypeError
        try:
            tables.as_array(X, "X")
        except TypeError as better:
            raise kind(str(better)) from error
        raise


class MLP(BaseEstimator):
    """The estimator that is one of classes or of values in its subclasses."""

    _parameters_of: ClassVar[tuple[Any, list[str]]]  # a constructor, and its parameters' names
    _network: Network
    _bound: list[NDArray[np.floating]]  # the network's buffer, and the views that users were given
    coefs_: list[NDArray[np.floating]]
    intercepts_: list[NDArray[np.floating]]
    loss_curve_: list[float]
    validation_loss_curve_: list[float] | None
    validation_scores_: list[float] | None
    best_loss_: float | None
    best_validation_score_: float | None

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        # scikit-learn's
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "solver": [StrOptions({"lbfgs", "sgd", "adam"})],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions({"constant", "invscaling", "adaptive"})],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "power_t": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
        "tol": [Interval(Real, 0, None, closed="left")],
        "verbose": ["verbose"],
        "warm_start": ["boolean"],
        "momentum": [Interval(Real, 0, 1, closed="both")],
        "nesterovs_momentum": ["boolean"],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "n_iter_no_change": [
            Interval(Integral, 1, None, closed="left"),
            Options(Real, {np.inf}),
        ],
        "max_fun": [Interval(Integral, 1, None, closed="left")],
        # relume's
        "activation": [
            StrOptions({*ACTIVATIONS, *ELEMENTWISE, *SCIKIT_LEARN_NAMES, "linear"}),
            list, tuple, type, Activation, Elementwise,
        ],
        "dropout": [Interval(Real, 0, 1, closed="left"), list, tuple],
        "normalization": [StrOptions(set(NORMALIZATIONS)), None],
        "residual": ["boolean"],
        "weight_init": [StrOptions(set(INITIALIZERS)), Initializer, None],
        "optimizer": [StrOptions(set(OPTIMIZERS)), Optimizer, LBFGS, None],
        "schedule": [callable, None],
        "clip_norm": [Interval(Real, 0, None, closed="neither"), None],
        "callbacks": [list, tuple, None],
        "dtype": [Options(object, {"float32", "float64", np.float32, np.float64}), None],
        "n_threads": [Interval(Integral, 1, None, closed="left"), None],
    }  # fmt: skip

    def _take(self, arguments):
        """Keep the constructor's arguments, as scikit-learn wants them: untouched.

        They are named by the constructor's own `locals()`: a subclass may have other parameters.
        """
        for name, value in arguments.items():
            if name != "self":
                setattr(self, name, value)

    @classmethod
    def _get_param_names(cls):
        """As scikit-learn does it, but once a constructor: reading its signature takes 0.2 ms."""
        known = vars(cls).get("_parameters_of")
        if known is None or known[0] is not cls.__init__:
            known = cls._parameters_of = cls.__init__, super()._get_param_names()
        return list(known[1])

    # -- training ---------------------------------------------------------------------------------

    def _fit(self, X, y, sample_weight=None, validation=None, incremental=False):
        with self._threads():
            before = vars(self).copy()
            try:
                train = self._prepare(X, y, sample_weight, validation, incremental)
            except BaseException:
                self.__dict__.clear()
                self.__dict__.update(before)
                raise
            train()
        if not self._network._built().are_finite():
            raise ValueError(
                "Solver produced non-finite parameter weights. The input data may contain large "
                "values and need to be preprocessed."
            )
        return self

    def _prepare(self, X, y, sample_weight, validation, incremental):
        """All that a fit does before it trains; returns the function that trains."""
        sizes = layer_sizes(self)
        first = not hasattr(self, "coefs_") or (not self.warm_start and not incremental)
        X, y = self._validate(X, y, first, min_rows=2 if self.normalization == "batch" else 1)
        self._check_combination(incremental)
        if sample_weight is not None:
            if isinstance(sample_weight, str):
                other = "; did you mean class_weight?" if hasattr(self, "class_weight") else ""
                raise ValueError(
                    f"sample_weight must be an array of a weight per row or None, "
                    f"got {sample_weight!r}{other}"
                )
            sample_weight = _check_sample_weight(sample_weight, X)
        self.n_outputs_, before = self._learn_targets(y, incremental), vars(self).get("n_outputs_")
        random_state = check_random_state(self.random_state)
        dtype = X.dtype if first else self._network.dtype
        self._objective = self._objective_for(dtype)
        if first:
            self._initialize(sizes, X.shape[1], dtype, random_state)
        else:
            self._go_on(sizes, before)
        if sample_weight is not None:
            sample_weight = np.ascontiguousarray(sample_weight, dtype)
        data = features_of(X, "X", dtype), self._encoded(y), sample_weight
        if is_stochastic(self):
            return self._prepare_steps(data, validation, random_state, incremental)
        weight = self._training_weights(data, np.arange(data[0].shape[0]))
        return lambda: self._fit_at_once((*data[:2], weight), random_state)

    def _check_combination(self, incremental):
        """Raise where parameters exclude each other."""
        if self.early_stopping and incremental and is_stochastic(self):
            raise ValueError("partial_fit does not support early_stopping=True")
        if self.normalization == "batch" and not is_stochastic(self):
            raise ValueError(
                "normalization must not be 'batch' with L-BFGS, which sees no minibatches"
            )

    def _validate(self, X, y, reset, min_rows=1):
        """X and y as scikit-learn checks them; y may have columns."""
        dtype = [np.float64, np.float32] if self.dtype is None else np.dtype(self.dtype)
        if self._takes(X, reset) and len(X) >= min_rows and self._takes_targets(X, y, dtype):
            self.n_features_in_ = X.shape[1]
            return X, y
        if is_sparse(X):
            check_sparse(X, "X")
        with named_columns(X):
            X, y = validate_data(
                self, X, y, accept_sparse=SPARSE, multi_output=True, dtype=dtype, reset=reset,
                y_numeric=self._y_numeric, ensure_min_samples=min_rows,
            )  # fmt: skip
        if y.ndim == 2 and y.shape[1] == 1:
            with as_of_scikit_learn():
                y = column_or_1d(y, warn=True)
        return X, y

    def _takes(self, X, reset=False):
        """Whether X is an array that needs no conversion, and is that of no named features."""
        known = vars(self)
        return (
            is_matrix(X)
            and "feature_names_in_" not in known
            and (reset or X.shape[1] == known.get("n_features_in_"))
        )

    def _takes_targets(self, X, y, dtype):
        """Whether y needs no conversion either, nor X to a dtype, and both are finite."""
        dtypes = dtype if isinstance(dtype, list) else [dtype]
        kinds = "fiub" if self._y_numeric else "iub"
        return X.dtype in dtypes and is_vector(y, kinds) and len(y) == len(X) and is_finite(X)

    def _initialize(self, sizes, n_features, dtype, random_state):
        """Build the network and forget what there was."""
        layers = layers_of(self, sizes, self.n_outputs_)
        self._network = Network(
            layers, loss=self._objective.loss, optimizer=optimizer_of(self),
            schedule=self.schedule, seed=0, dtype=dtype,
        )  # fmt: skip
        self._network._weights = Weights(list(layers), n_features, dtype)
        draw(self, self._network._weights, random_state)
        self.n_iter_ = self.t_ = 0
        self.n_layers_ = len(sizes) + 2
        self.out_activation_ = self._out_activation()
        self.validation_loss_curve_ = None
        self._best, self._built_by = None, self._layer_parameters()
        self._bind()
        if not is_stochastic(self):
            return
        self.loss_curve_, self._no_improvement_count = [], 0
        self.best_loss_ = None if self.early_stopping else np.inf
        self.validation_scores_ = [] if self.early_stopping else None
        self.best_validation_score_ = -np.inf if self.early_stopping else None
        if self.early_stopping:
            self._best = self._network._weights.parameters.copy()

    def _go_on(self, sizes, n_outputs):
        """Go on from the present values, by what the parameters are now."""
        network = self._synchronized()
        if len(sizes) + 1 != len(self.coefs_):
            raise ValueError(
                "warm_start and partial_fit go on from the network that there is; "
                f"hidden_layer_sizes must have {len(self.coefs_) - 1} entries, got {sizes}"
            )
        if self.n_outputs_ != n_outputs:
            self.n_outputs_, given = n_outputs, self.n_outputs_
            raise ValueError(f"y must have {n_outputs} outputs as before, got {given}")
        weights = network._built()
        # What was loaded as a memory map cannot be written to.
        weights.parameters = np.require(weights.parameters, requirements="W")
        if self._built_by != self._layer_parameters():
            self._change_layers(network)
        network.loss = self._objective.loss
        self._bind()

    def _layer_parameters(self):
        """What the layers were made by, but for their sizes."""
        names = ("activation", "alpha", "dropout", "normalization", "residual")
        values = [getattr(self, name) for name in names]
        return [list(value) if isinstance(value, list) else value for value in values]

    def _change_layers(self, network):
        """Give the network the layers that the parameters ask for now, and keep its values."""
        sizes = [len(intercepts) for intercepts in self.intercepts_[:-1]]
        layers = layers_of(self, sizes, self.n_outputs_)
        try:
            network.layers = layers
        except ValueError as error:
            raise ValueError(
                "warm_start and partial_fit go on from the network that there is; the layers "
                f"must be of the shapes of {network.layers}, got {layers}"
            ) from error
        self._built_by = self._layer_parameters()

    def _prepare_steps(self, data, validation, random_state, incremental):
        """The rows to train on and those held out; returns the function that trains."""
        network = self._network
        if not incremental or isinstance(network.optimizer, LBFGS):
            network.optimizer = optimizer_of(self)
        rows = np.arange(data[0].shape[0])
        if validation is not None:
            validation = self._validation(*validation)
        elif self.early_stopping:
            rows, validation = self._held_out(data, random_state)
        weight = self._training_weights(data, rows)
        if validation is not None and self.validation_loss_curve_ is None:
            self.validation_loss_curve_ = []
        hooks = Hooks(self.callbacks)
        fit = EstimatorFit(self, (*data[:2], weight), rows, validation, hooks, random_state)
        return lambda: fit.run(incremental)

    def _fit_at_once(self, data, random_state):
        network, hooks = self._network, Hooks(self.callbacks)
        network.optimizer = optimizer_of(self)
        key = int(random_state.randint(2**31)) if network._built().plan.random else 0
        network._log_names = None
        hooks.call("on_fit_begin", network)
        hooks.call("on_epoch_begin", network, network.epoch + 1)
        fit_lbfgs(self, data, key)
        hooks.call("on_epoch_end", network, network.epoch, {"loss": self.loss_})
        hooks.call("on_fit_end", network)
        self._bind()

    def _held_out(self, data, random_state):
        """The rows that early stopping leaves to train on, and what it scores."""
        X, y, weight = data
        train, test = train_test_split(
            np.arange(X.shape[0]), random_state=random_state, test_size=self.validation_fraction,
            stratify=self._strata(y),
        )  # fmt: skip
        if len(test) < 2:
            raise ValueError(
                "The validation set is too small. Increase 'validation_fraction' or the size of "
                "your dataset."
            )
        if weight is not None and not weight[test].any():
            raise ValueError(
                "sample_weight must not be 0 for all of the rows that early_stopping holds out: "
                "change validation_fraction or random_state, or give X_val and y_val"
            )
        if len(train) == 1 and self.normalization == "batch":
            raise ValueError(
                f"With n_samples={len(y)} and validation_fraction={self.validation_fraction}, one "
                "sample is left to train on; normalization='batch' needs at least 2"
            )
        held_out = X[test] if isinstance(X, np.ndarray) else X.subset(test)
        return train, (held_out, y[test], None if weight is None else weight[test])

    def _validation(self, X, y):
        """Validation data of the user's, as the engine takes it."""
        X, y = self._validate(X, y, reset=False)
        self._check_validation_targets(y)
        return features_of(X, "X_val", self._network.dtype), self._encoded(y), None

    def _training_weights(self, data, rows):
        """The weights of all rows, of which some are trained on; None where all count 1.

        A classifier multiplies them by those of the classes, which no validation sees.
        """
        weight = self._weighted_by_class(data, rows)
        if weight is not None and not weight[rows].any():
            name = "sample_weight" if data[2] is not None else "class_weight"
            raise ValueError(f"{name} must not be 0 for all of the rows that are trained on")
        return weight

    def _check_solver(self):
        """Whether there is a `partial_fit`."""
        if not is_stochastic(self):
            name = self.solver if self.optimizer is None else self.optimizer
            raise AttributeError(
                f"partial_fit is only available for stochastic optimizers. {name} is not "
                "stochastic."
            )
        return True

    @property
    def _learning_rate(self):
        """The schedule that is scikit-learn's; only its SGD has others than a constant rate."""
        own = isinstance(self._network.optimizer, SGDOfScikitLearn)
        return self.learning_rate if own and self.schedule is None else "constant"

    # -- values -----------------------------------------------------------------------------------

    @property
    def network_(self):
        """The `relume.nn.Network` that is trained; it shares its values with the estimator."""
        if not hasattr(self, "_network"):
            check_is_fitted(self)  # raises; where there is a network, it would take 8 us
        return self._synchronized()

    def _dense(self):
        """Views of the weights and the intercepts in the network's buffer."""
        dense = [arrays for spec, arrays in self._network._built().by_op() if spec.kind == "dense"]
        return [each["weight"] for each in dense], [each["bias"] for each in dense]

    def _bind(self):
        """Let `coefs_` and `intercepts_` be the network's."""
        buffer = self._network._built().parameters
        if "_bound" not in vars(self) or self._bound[0] is not buffer:
            self.coefs_, self.intercepts_ = self._dense()
            self._bound = [buffer, *self.coefs_, *self.intercepts_]

    def _synchronized(self):
        """The network, with the values that a user may have put into the lists."""
        bound = self._bound
        found = [bound[0], *self.coefs_, *self.intercepts_]
        if len(found) == len(bound) and all(map(operator.is_, found, bound)):
            return self._network
        now, views = found[1:], bound[1:]
        shapes = [view.shape for view in views]
        if [np.shape(value) for value in now] != shapes:
            raise ValueError(f"coefs_ and intercepts_ must have the shapes {shapes}")
        for view, value in zip(views, now, strict=True):
            view[...] = value
        del self._bound
        self._bind()
        return self._network

    def __getstate__(self):
        """Values once: `coefs_` and `intercepts_` are made of the network's again."""
        if hasattr(self, "_network"):
            self._synchronized()
        views = ("coefs_", "intercepts_", "_bound")
        state = super().__getstate__()
        return {key: value for key, value in state.items() if key not in views}

    def __setstate__(self, state):
        super().__setstate__(state)
        if hasattr(self, "_network"):
            self._bind()

    # -- prediction -------------------------------------------------------------------------------

    def _outputs(self, X):
        """The raw outputs for X."""
        if self._takes(X) and hasattr(self, "_network"):
            # What is wrong with it is an error of scikit-learn's, below.
            with contextlib.suppress(ValueError), self._threads():
                return self._synchronized()._outputs_of(X)
        check_is_fitted(self)
        if is_sparse(X):
            check_sparse(X, "X")
        with named_columns(X):
            X = validate_data(self, X, accept_sparse=SPARSE, reset=False)
        network = self._synchronized()
        with self._threads():
            return network._outputs(features_of(X, "X", network.dtype))

    def _threads(self):
        if self.n_threads is None:
            return contextlib.nullcontext()
        return num_threads(self.n_threads)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def validation_pair(X_val, y_val):
    """Validation data, or None."""
    if (X_val is None) != (y_val is None):
        raise ValueError("X_val and y_val must be given together, or neither")
    return None if X_val is None else (X_val, y_val)
