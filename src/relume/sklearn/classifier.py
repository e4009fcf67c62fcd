"""The classifier: its parameters, its targets, its predictions."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin, _fit_context
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import _check_partial_fit_first_call, type_of_target

from relume.nn.layers.initializers import Initializer
from relume.nn.losses import CrossEntropy, Loss
from relume.nn.optimizers.lbfgs import LBFGS
from relume.nn.optimizers.optimizers import Optimizer
from relume.sklearn.base import MLP, ActivationOf, LossFunction, validation_pair
from relume.sklearn.docstrings import documented
from relume.sklearn.fitting import accuracy
from relume.sklearn.objectives import CLASSIFIER_LOSSES, for_classes
from relume.sklearn.targets import Classes


@documented
class MLPClassifier(ClassifierMixin, MLP):
    """Multi-layer perceptron that classifies, as ``sklearn.neural_network.MLPClassifier``.

    If only scikit-learn's parameters are used, the results are those of scikit-learn up to
    rounding, because the same random numbers are drawn.

    Parameters
    ----------
    {shapes}
    {scikit_learn}
    loss : {{"log_loss", "cross_entropy", "binary_cross_entropy"}}, Loss or callable, \
default="log_loss"
        "log_loss" is the cross entropy over all classes. For two classes, and for each label of a
        multilabel y, it is the binary cross entropy. You can also give a loss of `relume.nn`, such
        as ``nn.BinaryCrossEntropy(pos_weight=10.0)`` or ``nn.CrossEntropy(label_smoothing=0.1)``,
        which uses two outputs for two classes; or a function
        ``(y_true, y_pred) -> (loss, grad)`` of encoded labels and raw outputs.
    class_weight : dict, list of dict, "balanced" or None, default=None
        Weight of each class, by which ``sample_weight`` is multiplied. Classes that are not in the
        dict have the weight 1. "balanced" gives all classes the same total weight in the training
        rows, not counting rows whose weight is 0. For a multilabel y, give a list with a dict for
        each label; the keys are 0 and 1. Held-out rows are evaluated without class weights.
    {relume}

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels.
    {attributes}

    See Also
    --------
    MLPRegressor : The estimator for values.
    relume.nn.Network : The network that the estimator trains.

    Notes
    -----
    {notes}

    Examples
    --------
    >>> import numpy as np
    >>> from relume.sklearn import MLPClassifier
    >>> X = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    >>> y = ["same", "other", "other", "same"]
    >>> mlp = MLPClassifier((16,), solver="lbfgs", random_state=0).fit(X, y)
    >>> mlp.predict(X)
    array(['same', 'other', 'other', 'same'], dtype='<U5')
    >>> mlp = MLPClassifier((32, 16), activation=["mish", "relu"], dropout=0.1, max_iter=300,
    ...                     random_state=0)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **MLP._parameter_constraints,
        "loss": [StrOptions(set(CLASSIFIER_LOSSES)), Loss, callable],
        "class_weight": [StrOptions({"balanced"}), dict, list, None],
    }  # fmt: skip
    _y_numeric = False
    _score_name = "val_accuracy"

    def __init__(
        self,
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
        loss: str | Loss | LossFunction = "log_loss",
        class_weight: Mapping[Any, float] | list[Any] | Literal["balanced"] | None = None,
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
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            Class labels, or for several labels per row a matrix of 0 and 1 with a column for each.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row. None gives all rows the weight 1.
        X_val, y_val : array-like, default=None
            Rows and targets that are evaluated after each epoch. `early_stopping` uses them
            instead of holding out rows of X.

        Returns
        -------
        self : MLPClassifier
        """
        return self._fit(X, y, sample_weight, validation_pair(X_val, y_val))

    @available_if(lambda self: self._check_solver())
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        classes: ArrayLike | None = None,
    ) -> Self:
        """Train for one epoch, continuing with the current weights.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Input rows.
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            Class labels, or for several labels per row a matrix of 0 and 1 with a column for each.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row. None gives all rows the weight 1.
        classes : array-like of shape (n_classes,), default=None
            All classes that any call will have; required in the first call.

        Returns
        -------
        self : MLPClassifier
        """
        if isinstance(self.class_weight, str):
            raise ValueError(
                "class_weight='balanced' needs all of y, which partial_fit has not: give "
                "class_weight a dict, such as sklearn.utils.class_weight.compute_class_weight "
                "makes of the whole y"
            )
        first = _check_partial_fit_first_call(self, classes)
        try:
            if first:
                multilabel = type_of_target(y).startswith("multilabel")
                self._classes = Classes(y if multilabel else classes, self._wants_softmax)
            return self._fit(X, y, sample_weight, incremental=True)
        except BaseException:
            if first and not hasattr(self, "coefs_"):
                del self.classes_  # there was no first call
            raise

    def predict(self, X: Any) -> NDArray[Any]:
        """Predict the class of each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Input rows.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_labels)
        """
        z = self._outputs(X)
        return self._classes.decode(z)

    def predict_proba(self, X: Any) -> NDArray[Any]:
        """Predict the probability of each class, in the order of `classes_`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Input rows.

        Returns
        -------
        p : ndarray of shape (n_samples, n_classes)
        """
        z = self._outputs(X)
        return self._classes.probabilities(z)

    def predict_log_proba(self, X: Any) -> NDArray[Any]:
        """Return the logarithm of `predict_proba`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Input rows.

        Returns
        -------
        log_p : ndarray of shape (n_samples, n_classes)
        """
        p = self.predict_proba(X)
        return np.log(p, out=p)

    # -- targets ----------------------------------------------------------------------------------

    @property
    def _wants_softmax(self):
        return self.loss == "cross_entropy" or isinstance(self.loss, CrossEntropy)

    def _learn_targets(self, y, incremental):
        """See which classes there are, and return how many outputs stand for them."""
        if not hasattr(self, "classes_") or (not self.warm_start and not incremental):
            self._classes = Classes(y, self._wants_softmax)
            self.classes_ = self._classes.classes
        else:
            self._classes.check(y, self.warm_start and not incremental)
        return self._classes.n_outputs

    def _check_validation_targets(self, y):
        self._classes.check(y, warm_start=False)

    def _objective_for(self, dtype):
        return for_classes(self.loss, self._classes.kind, self.n_outputs_, dtype)

    def _out_activation(self):
        return "softmax" if self._classes.kind == "multiclass" else "logistic"

    def _encoded(self, y):
        return self._classes.encode(y, self._network.dtype)

    def _weighted_by_class(self, data, rows):
        _, y, weight = data
        if self.class_weight is None:
            return weight
        trained = np.zeros(len(y), bool)
        trained[rows] = True
        if weight is not None:
            trained &= weight != 0
        each = self._classes.row_weights(self.class_weight, y, trained)
        return (each if weight is None else each * weight).astype(self._network.dtype)

    def _strata(self, y):
        """What a split keeps the shares of: scikit-learn's only those of two classes."""
        return y.astype(bool) if self.n_outputs_ == 1 else None

    def _score_of(self, z, y, weight):
        return accuracy(self._classes.codes(z), y, weight)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
