"""What tests of the estimators share: data, both kinds of estimators, and how alike they are."""

import numpy as np
import pytest
import scipy.sparse
import sklearn.neural_network
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning

import relume.sklearn

NOT_CONVERGED = pytest.mark.filterwarnings(
    f"ignore::{ConvergenceWarning.__module__}.{ConvergenceWarning.__name__}"
)

_X, LABELS = load_digits(n_class=4, return_X_y=True)
X = np.clip(_X[:300] / 16, 0.01, None)  # no feature is 0 throughout: see `assert_same`
LABELS = LABELS[:300]
_rng = np.random.default_rng(0)
WEIGHT = np.where(np.arange(300) % 7, _rng.uniform(0.5, 2, 300), 0)
TARGETS = {
    "classes": LABELS,
    "names": np.array(["zero", "one", "two", "three"])[LABELS],
    "two classes": LABELS % 2,
    "labels": (X[:, [10, 20, 30]] > 0.5).astype(int),
    "values": X[:, 10] * 3 + _rng.normal(size=300),
    "outputs": X[:, 10:13] * 3 + _rng.normal(size=(300, 3)),
    "counts": _rng.poisson(np.exp(X[:, 10])).astype(float),
    "columns of counts": _rng.poisson(np.exp(X[:, 10:12])).astype(float),
}
CLASSIFIED = {"classes", "names", "two classes", "labels"}
MATRICES = {"dense": np.asarray, "csr": scipy.sparse.csr_matrix, "csc": scipy.sparse.csc_array}


def both(target, **parameters):
    """relume's estimator and scikit-learn's, with the same parameters."""
    parameters = {"hidden_layer_sizes": (16, 8), "random_state": 3, "batch_size": 32} | parameters
    kind = "MLPClassifier" if target in CLASSIFIED else "MLPRegressor"
    if "counts" in target:
        parameters["loss"] = "poisson"
    return [
        getattr(module, kind)(**parameters) for module in (relume.sklearn, sklearn.neural_network)
    ]


def fitted(target, X=X, sample_weight=None, **parameters):
    """Both, fitted to one of TARGETS."""
    return [
        each.fit(X, TARGETS[target], sample_weight=sample_weight)
        for each in both(target, **parameters)
    ]


def assert_same(ours, theirs, rtol):
    """Values and figures agree to rounding.

    Adam makes of a gradient's rounding errors whole steps where the gradient is no more than they
    are; so do units that are saturated. What is compared here stays away from both.
    """
    for name in ("coefs_", "intercepts_"):
        for i, (a, b) in enumerate(zip(getattr(ours, name), getattr(theirs, name), strict=True)):
            scale = np.abs(b).max()
            np.testing.assert_allclose(a, b, rtol, rtol * scale, err_msg=f"{name}[{i}]")
    for name in ("n_iter_", "t_", "n_layers_", "n_outputs_", "out_activation_", "n_features_in_"):
        assert getattr(ours, name) == getattr(theirs, name), name
    for name in ("loss_", "loss_curve_", "best_loss_", "validation_scores_",
                 "best_validation_score_"):  # fmt: skip
        assert hasattr(ours, name) == hasattr(theirs, name), name
        a, b = getattr(ours, name, None), getattr(theirs, name, None)
        assert (a is None) == (b is None), name
        if a is not None:
            np.testing.assert_allclose(a, b, rtol, err_msg=name)
