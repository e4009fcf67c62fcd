"""With scikit-learn's parameters alone, the estimators give scikit-learn's results."""

import numpy as np
import pytest
import sklearn

from tests.support.scikit_learn import (
    CLASSIFIED,
    MATRICES,
    NOT_CONVERGED,
    TARGETS,
    WEIGHT,
    X,
    assert_same,
    both,
    fitted,
)

pytestmark = NOT_CONVERGED

RTOL = {"float64": 1e-9, "float32": 1e-4}
SOLVERS = {
    "adam": {},
    "adam, other numbers": {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-4},
    "sgd": {"solver": "sgd", "learning_rate_init": 0.05},
    "sgd without nesterov": {"solver": "sgd", "nesterovs_momentum": False, "momentum": 0.5},
    "sgd without momentum": {"solver": "sgd", "momentum": 0, "learning_rate_init": 0.1},
    "sgd with momentum 1": {"solver": "sgd", "momentum": 1},
    "invscaling": {"solver": "sgd", "learning_rate": "invscaling", "learning_rate_init": 0.1},
    "adaptive": {
        "solver": "sgd", "learning_rate": "adaptive", "learning_rate_init": 0.05, "tol": 0.05,
        "n_iter_no_change": 1,
    },
}  # fmt: skip


@pytest.mark.parametrize("dtype", RTOL)
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("epochs", [1, 20])
def test_solvers(solver, epochs, dtype):
    for target in ("classes", "values"):
        pair = fitted(target, X.astype(dtype), max_iter=epochs, **SOLVERS[solver])
        assert_same(*pair, RTOL[dtype])
        assert pair[0].coefs_[0].dtype == dtype


@pytest.mark.parametrize("dtype", RTOL)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("target", TARGETS)
def test_targets(target, weighted, dtype):
    data = X.astype(dtype)
    weight = WEIGHT if weighted else None
    ours, theirs = fitted(target, data, weight, max_iter=20)
    assert_same(ours, theirs, RTOL[dtype])
    if target in CLASSIFIED:
        np.testing.assert_array_equal(ours.predict(data), theirs.predict(data))
        assert ours.predict(data).dtype == theirs.predict(data).dtype
        np.testing.assert_array_equal(ours.classes_, theirs.classes_)
        for name in ("predict_proba", "predict_log_proba"):
            a, b = getattr(ours, name)(data), getattr(theirs, name)(data)
            np.testing.assert_allclose(a, b, RTOL[dtype], RTOL[dtype])
            assert a.dtype == b.dtype
    else:
        a, b = ours.predict(data), theirs.predict(data)
        np.testing.assert_allclose(a, b, RTOL[dtype], RTOL[dtype])
        assert a.dtype == b.dtype
    assert ours.score(data, TARGETS[target]) == pytest.approx(theirs.score(data, TARGETS[target]))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("target", TARGETS)
def test_early_stopping(target, weighted):
    if target == "names" and sklearn.__version__.startswith(("1.7.", "1.8.")):
        pytest.skip("scikit-learn below 1.9 looks for NaN among the names, and fails")
    weight = WEIGHT if weighted else None
    pair = fitted(
        target, X, weight, early_stopping=True, max_iter=40, n_iter_no_change=3,
        learning_rate_init=0.01,
    )  # fmt: skip
    assert_same(*pair, 1e-7)


@pytest.mark.parametrize("dtype", RTOL)
@pytest.mark.parametrize("matrix", ["csr", "csc"])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_sparse(matrix, early_stopping, dtype):
    data = MATRICES[matrix](np.where(X > 0.3, X, 0).astype(dtype))
    assert_same(
        *fitted("classes", data, WEIGHT, early_stopping=early_stopping, max_iter=10), RTOL[dtype]
    )


@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
@pytest.mark.parametrize("hidden", [(), 5, [7, 6, 5], np.array([4])], ids=str)
def test_layers(hidden, activation):
    pair = fitted("classes", hidden_layer_sizes=hidden, activation=activation, max_iter=5)
    assert_same(*pair, 1e-7)


@pytest.mark.parametrize("batch_size", ["auto", 1, 77, 300])
@pytest.mark.parametrize("shuffle", [False, True])
def test_minibatches(batch_size, shuffle):
    assert_same(*fitted("classes", batch_size=batch_size, shuffle=shuffle, max_iter=2), 1e-9)


@pytest.mark.parametrize("alpha", [0, 0.1])
def test_penalty(alpha):
    assert_same(*fitted("two classes", alpha=alpha, max_iter=5, solver="sgd"), 1e-9)


@pytest.mark.parametrize("dtype", RTOL)
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("weighted", [False, True])
def test_lbfgs(target, weighted, dtype):
    """Its line search makes rounding errors grow, so that few iterations are compared."""
    weight = WEIGHT if weighted else None
    data = X.astype(dtype)
    pair = fitted(target, data, weight, solver="lbfgs", max_iter=3)
    assert_same(*pair, {"float64": 1e-9, "float32": 1e-3}[dtype])
    assert pair[0].coefs_[0].dtype == dtype


@pytest.mark.parametrize(
    "parameters", [{}, {"early_stopping": True}, {"solver": "lbfgs"}], ids=str
)
def test_warm_start(parameters):
    pair = both("classes", warm_start=True, max_iter=4, **parameters)
    for _ in range(3):
        for each in pair:
            each.fit(X, TARGETS["classes"])
        assert_same(*pair, 1e-7)


@pytest.mark.parametrize("solver", ["adam", "sgd", "invscaling", "adaptive"])
@pytest.mark.parametrize("target", ["names", "two classes", "labels", "outputs", "counts"])
@pytest.mark.parametrize("after_fit", [False, True])
def test_partial_fit(target, solver, after_fit):
    pair = both(target, max_iter=2, **SOLVERS[solver])
    y = TARGETS[target]
    if after_fit:
        for each in pair:
            each.fit(X, y)
    classes = {"classes": np.arange(3) if y.ndim == 2 else np.unique(y)}
    for rows in (slice(100), slice(100, 300), slice(30, 200)):
        for each in pair:
            each.partial_fit(X[rows], y[rows], **(classes if target in CLASSIFIED else {}))
        assert_same(*pair, 1e-9)


def test_parameters_that_change_between_calls():
    pair = both("classes", max_iter=3)
    for each in pair:
        each.fit(X, TARGETS["classes"])
        each.set_params(alpha=1.0, activation="tanh", batch_size=50)
        each.partial_fit(X, TARGETS["classes"])
    assert_same(*pair, 1e-7)


def test_a_shared_random_state_is_drawn_from_alike():
    states = [np.random.RandomState(5) for _ in range(2)]
    for each, state in zip(both("classes", max_iter=2, early_stopping=True), states, strict=True):
        each.set_params(random_state=state).fit(X, TARGETS["classes"])
    assert states[0].randint(10**9) == states[1].randint(10**9)


def test_losses_are_limited_alike():
    """Where a probability is 0 to rounding, the log loss is that of eps."""
    for target in ("classes", "two classes"):
        for dtype in RTOL:
            data = (X * 500).astype(dtype)
            ours, theirs = fitted(target, data, max_iter=1, solver="sgd", learning_rate_init=1e-9)
            assert ours.loss_ == pytest.approx(theirs.loss_, rel=1e-5)


def test_a_single_class():
    """scikit-learn gives two columns of probabilities, where `classes_` has one entry."""
    ours, theirs = both("classes", max_iter=2)
    y = np.full(300, 7)
    assert_same(ours.fit(X, y), theirs.fit(X, y), 1e-9)
    np.testing.assert_array_equal(ours.predict(X), y)
    np.testing.assert_array_equal(ours.predict_proba(X), np.ones((300, 1)))
    np.testing.assert_array_equal(ours.predict_log_proba(X), np.zeros((300, 1)))


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_sparse_multilabel_target(solver):
    """Its length was asked for by len(), which a sparse matrix has not."""
    ours, theirs = both("labels", solver=solver, max_iter=3)
    y = MATRICES["csr"](TARGETS["labels"])
    assert_same(ours.fit(X, y), theirs.fit(X, y), 1e-9)
    assert (ours.predict(X) != theirs.predict(X)).nnz == 0


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("target", ["classes", "values"])
def test_negative_weights(target, solver):
    """A negative sum of weights was taken for 1."""
    weight = -np.linspace(1, 2, 300)
    ours, theirs = both(target, solver=solver, max_iter=3, learning_rate_init=1e-5)
    y = TARGETS[target]
    ours.fit(X, y, sample_weight=weight)
    assert_same(ours, theirs.fit(X, y, sample_weight=weight), 1e-7)
