"""Weights of rows and of classes: which rows they count for, and rows that do not count."""

import numpy as np
import pytest
import sklearn.linear_model
from sklearn.model_selection import train_test_split
from sklearn.utils.class_weight import compute_sample_weight

from relume import nn
from relume.sklearn import MLPClassifier, MLPRegressor
from tests.support.scikit_learn import LABELS, MATRICES, NOT_CONVERGED, TARGETS, X

pytestmark = NOT_CONVERGED
SMALL = {"hidden_layer_sizes": (8,), "random_state": 0, "max_iter": 3}
TWO = TARGETS["two classes"]
MANY = TARGETS["labels"]
ALL = np.ones(300)


def assert_equal(a, b):
    for v, w in zip(a.coefs_ + a.intercepts_, b.coefs_ + b.intercepts_, strict=True):
        np.testing.assert_allclose(v, w, rtol=1e-12, atol=1e-14)


# -- rows and minibatches of weight 0 -------------------------------------------------------------


@pytest.mark.parametrize("hooked", [False, True])
@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("make", [MLPClassifier, MLPRegressor])
def test_minibatches_of_weight_zero_are_skipped(make, solver, matrix, hooked):
    """scikit-learn divides by the sum of the weights, and fails.

    Without shuffling, the fit is that of the rows of the other minibatches.
    """
    weight = np.where(np.arange(300) // 10 % 3 == 1, 0.0, 1 + np.arange(300) % 2)
    callbacks = [nn.EarlyStopping("loss", patience=9)] if hooked else None
    mlps = [
        make(solver=solver, batch_size=10, shuffle=False, callbacks=callbacks, **SMALL)
        for _ in range(2)
    ]
    kept = weight > 0
    mlps[0].fit(MATRICES[matrix](X), LABELS, sample_weight=weight)
    mlps[1].fit(MATRICES[matrix](X[kept]), LABELS[kept], sample_weight=weight[kept])
    assert_equal(*mlps)
    np.testing.assert_allclose(mlps[0].loss_curve_, mlps[1].loss_curve_)


def test_deviance_where_minibatches_are_skipped():
    y, weight = TARGETS["counts"], np.repeat([1.0, 0.0, 2.0], 100)
    mlps = [
        MLPRegressor("poisson", batch_size=10, shuffle=False, **SMALL) for _ in range(2)
    ]  # fmt: skip
    kept = weight > 0
    mlps[0].fit(X, y, sample_weight=weight)
    mlps[1].fit(X[kept], y[kept], sample_weight=weight[kept])
    np.testing.assert_allclose(mlps[0].loss_curve_, mlps[1].loss_curve_)


def test_partial_fit_of_minibatches_of_weight_zero():
    weight = np.repeat([0.0, 1.0], [20, 280])
    mlps = [MLPClassifier(batch_size=20, shuffle=False, **SMALL) for _ in range(2)]
    mlps[0].partial_fit(X, LABELS, weight, classes=range(4))
    mlps[1].partial_fit(X[20:], LABELS[20:], weight[20:], classes=range(4))
    assert_equal(*mlps)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("make", [MLPClassifier, MLPRegressor])
def test_rows_that_do_not_count_at_all(make, solver):
    """An error before anything is trained: the estimator is as it was."""
    mlp = make(solver=solver, **SMALL).fit(X, LABELS)
    before = vars(mlp).copy()
    with pytest.raises(ValueError, match=r"at least one non-zero|must not be 0 for"):
        mlp.fit(X, LABELS, sample_weight=0 * ALL)
    assert vars(mlp) == before


def test_class_weights_of_zero_for_all_rows():
    with pytest.raises(ValueError, match="class_weight must not be 0 for all of the rows"):
        MLPClassifier(class_weight={0: 0, 1: 0}, **SMALL).fit(X, TWO)


@pytest.mark.parametrize("make", [MLPClassifier, MLPRegressor])
@pytest.mark.parametrize("held_out", [True, False])
def test_a_split_with_a_side_of_weight_zero(make, held_out):
    """The score of such rows is 0 / 0."""
    state = _after_initial_values(4 if make is MLPClassifier else 1)
    rows = train_test_split(np.arange(300), random_state=state, test_size=0.1)[held_out]
    weight = ALL.copy()
    weight[rows] = 0
    side = "early_stopping holds out" if held_out else "are trained on"
    mlp = make(early_stopping=True, **SMALL)
    with pytest.raises(ValueError, match=f"sample_weight must not be 0 for all of the .* {side}"):
        mlp.fit(X, LABELS, sample_weight=weight)
    assert not hasattr(mlp, "coefs_")


# -- weights of classes ---------------------------------------------------------------------------


@pytest.mark.parametrize("y", [
    LABELS, LABELS - 7, LABELS.astype(float), LABELS > 1, np.array(["a", "b", "c", "dd"])[LABELS],
    np.array(["a", "b", "c", "dd"], object)[LABELS], LABELS.astype("uint8"),
], ids=lambda y: str(y.dtype))  # fmt: skip
def test_dict_of_classes(y):
    """A key is the label itself."""
    classes = np.unique(y)
    named = {classes[0].item() if y.dtype != object else classes[0]: 3.0}
    mlp = MLPClassifier(class_weight=named, **SMALL).fit(X, y)
    weight = np.where(y == classes[0], 3.0, 1.0)
    assert_equal(mlp, MLPClassifier(**SMALL).fit(X, y, sample_weight=weight))


def test_partial_fit_of_a_batch_without_a_named_class():
    """The classes are those of the first call, not those of the batch."""
    now = LABELS < 2
    mlp = MLPClassifier(class_weight={0: 2.0, 3: 5.0}, **SMALL)
    mlp.partial_fit(X[now], LABELS[now], classes=range(4)).partial_fit(X, LABELS)
    plain = MLPClassifier(**SMALL)
    weight = np.array([2.0, 1.0, 1.0, 5.0])[LABELS]
    plain.partial_fit(X[now], LABELS[now], weight[now], classes=range(4))
    assert_equal(mlp, plain.partial_fit(X, LABELS, weight))


def test_partial_fit_of_a_batch_without_a_label():
    rows = MANY[:, 1] == 0
    each = [{0: 1, 1: 2}, {1: 5}, {}]
    mlp = MLPClassifier(class_weight=each, **SMALL)
    mlp.partial_fit(X[rows], MANY[rows], classes=range(3))
    plain = MLPClassifier(**SMALL)
    plain.partial_fit(X[rows], MANY[rows], 1.0 + MANY[rows, 0], classes=range(3))
    assert_equal(mlp, plain)


@pytest.mark.parametrize("class_weight", [
    "balanced", [{0: 1, 1: 2}, {0: 3, 1: 1}, {0: 1, 1: 1}],
], ids=str)  # fmt: skip
def test_labels_have_weights_as_elsewhere(class_weight):
    weight = compute_sample_weight(class_weight, MANY)
    mlp = MLPClassifier(class_weight=class_weight, **SMALL).fit(X, MANY)
    assert_equal(mlp, MLPClassifier(**SMALL).fit(X, MANY, sample_weight=weight))


def test_balanced_counts_the_rows_that_are_trained_on():
    """It counted held-out rows, and rows of weight 0."""
    weight = np.where(np.arange(300) % 3, 1.0, 0.0)
    settings = {"early_stopping": True, "batch_size": 32, **SMALL}
    mlp = MLPClassifier(class_weight="balanced", **settings).fit(X, TWO, sample_weight=weight)
    train, _ = train_test_split(
        np.arange(300), random_state=_after_initial_values(1), test_size=0.1, stratify=TWO
    )
    train = train[weight[train] > 0]
    count = np.bincount(TWO[train])
    by_hand = weight * (len(train) / (2 * count))[TWO]
    plain = MLPClassifier(**settings)
    with pytest.MonkeyPatch.context() as patch:
        # Rows held out keep the weights that they were given.
        patch.setattr(plain, "_weighted_by_class", lambda data, rows: by_hand, raising=False)
        assert_equal(mlp, plain.fit(X, TWO, sample_weight=weight))


def _after_initial_values(n_outputs):
    """The random numbers that are left after an estimator has drawn its weights."""
    state = np.random.RandomState(0)
    for n in (64 * 8, 8, 8 * n_outputs, n_outputs):
        state.uniform(size=n)
    return state


@pytest.mark.parametrize("given", [False, True])
def test_class_weights_never_weight_what_is_held_out(given):
    """A first epoch that learns nothing has the same validation loss with any weights."""
    settings = {"early_stopping": True, "learning_rate_init": 1e-12, **SMALL}
    held_out = {"X_val": X[:99], "y_val": LABELS[:99]} if given else {}
    losses = [
        MLPClassifier(class_weight=each, **settings).fit(X, LABELS, **held_out)
        for each in (None, {0: 50.0}, "balanced")
    ]
    for each in losses[1:]:
        assert each.validation_scores_ == losses[0].validation_scores_
        np.testing.assert_allclose(
            each.validation_loss_curve_, losses[0].validation_loss_curve_, rtol=1e-6
        )


@pytest.mark.parametrize("class_weight", [{0: 2.0, 9: 1.0}, {"0": 2.0, 1: 3.0}], ids=str)
def test_keys_that_are_no_classes(class_weight):
    """An error where a class has no weight, as of scikit-learn's own classifiers."""
    with pytest.raises(ValueError, match="not in class_weight"):
        sklearn.linear_model.LogisticRegression(class_weight=class_weight).fit(X, LABELS)
    mlp = MLPClassifier(class_weight=class_weight, **SMALL)
    with pytest.raises(ValueError, match=r"class_weight must have classes as keys, \[0, 1, 2, 3"):
        mlp.fit(X, LABELS)
    assert not hasattr(mlp, "classes_")


def test_a_class_that_these_rows_lack():
    """As in a fold of a cross-validation: every class that there is has a weight."""
    class_weight = {0: 2.0, 1: 3.0, 2: 1.0}
    sklearn.linear_model.LogisticRegression(class_weight=class_weight).fit(X, TWO)
    mlp = MLPClassifier(class_weight=class_weight, **SMALL).fit(X, TWO)
    assert_equal(mlp, MLPClassifier(**SMALL).fit(X, TWO, sample_weight=2.0 + TWO))


@pytest.mark.parametrize(("class_weight", "y", "text"), [
    ({0: -1.0}, TWO, r"class_weight\[0\] must be at least 0, got -1.0"),
    ({0: np.nan}, TWO, r"class_weight\[0\] must be at least 0, got nan"),
    ({0: "2"}, TWO, r"class_weight\[0\] must be a number"),
    ([{0: 1}], TWO, "class_weight must be a dict, 'balanced' or None where"),
    ({0: 2.0}, MANY, "class_weight must be a list of 3 dicts, .* got a dict"),
    ([{0: 2.0}], MANY, "class_weight must be a list of 3 dicts, .* got a list of 1"),
    ([{0: 2.0}, 3, {}], MANY, r"class_weight\[1\] must be a dict, got 3"),
    ([{0: 2.0}, {7: 1.0}, {}], MANY, r"class_weight\[1\] must have classes as keys, \[0, 1\]"),
], ids=str)  # fmt: skip
def test_bad_class_weights(class_weight, y, text):
    with pytest.raises((TypeError, ValueError), match=text):
        MLPClassifier(class_weight=class_weight, **SMALL).fit(X, y)


# -- what a call that fails leaves ----------------------------------------------------------------


def test_partial_fit_under_warm_start():
    """It asked for every class in every batch, as `fit` does."""
    now = LABELS < 2
    mlps = [MLPClassifier(warm_start=warm, **SMALL) for warm in (False, True)]
    for mlp in mlps:
        mlp.partial_fit(X, LABELS, classes=range(4)).partial_fit(X[now], LABELS[now])
    assert_equal(*mlps)


@pytest.mark.parametrize("parameters", [
    {"dropout": [0.1, 0.2]}, {"early_stopping": True, "validation_fraction": 0.001},
    {"normalization": "batch", "solver": "lbfgs"}, {"activation": ["relu", "tanh"]},
    {"hidden_layer_sizes": (3.5,)}, {"callbacks": [3]}, {"class_weight": {"a": 2, 0: 1}},
], ids=str)  # fmt: skip
def test_a_refused_fit_changes_nothing(parameters):
    """The classes were the new ones, and the network the old one."""
    mlp = MLPClassifier(**SMALL).fit(X, LABELS)
    before, p = vars(mlp).copy(), mlp.predict_proba(X)
    mlp.set_params(**parameters)
    with pytest.raises((TypeError, ValueError)):
        mlp.fit(X[:, :30], TWO)
    mlp.set_params(**{name: before[name] for name in parameters})
    assert vars(mlp) == before
    np.testing.assert_array_equal(mlp.predict_proba(X), p)


def test_a_first_partial_fit_that_is_refused_was_none():
    mlp = MLPClassifier(**SMALL)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        mlp.partial_fit(X, LABELS[:3], classes=range(4))
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        mlp.partial_fit(X, LABELS)


def test_another_number_of_layers_is_no_warm_start():
    """It was ignored."""
    mlp = MLPClassifier(warm_start=True, **SMALL).fit(X, LABELS)
    with pytest.raises(ValueError, match=r"hidden_layer_sizes must have 1 entries, got \[8, 4\]"):
        mlp.set_params(hidden_layer_sizes=(8, 4)).fit(X, LABELS)


@pytest.mark.parametrize("sizes", [(3.5,), True, ((3,),)], ids=str)
def test_sizes_that_are_no_integers(sizes):
    with pytest.raises(TypeError, match="hidden_layer_sizes must be integers of at least 1"):
        MLPClassifier(sizes).fit(X, LABELS)


@pytest.mark.parametrize(("y", "text"), [
    (np.array(["a", "b"])[TWO], "y must hold real numbers, got dtype <U1"),
    (np.array(["2020-01-01", "2020-01-02"], "datetime64[D]")[TWO], "y must hold real numbers"),
    (MATRICES["csr"](MANY), "y must be dense, got a sparse matrix"),
], ids=["names", "dates", "sparse"])  # fmt: skip
def test_values_that_are_no_numbers(y, text):
    with pytest.raises((TypeError, ValueError), match=text):
        MLPRegressor(**SMALL).fit(X, y)
