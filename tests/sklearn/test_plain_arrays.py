"""Arrays that need no conversion pass without scikit-learn's checks, and mean the same."""

import warnings

import numpy as np
import pytest
import sklearn
from sklearn.metrics import r2_score
from sklearn.preprocessing import LabelBinarizer

from relume.sklearn import MLPClassifier, MLPRegressor
from relume.sklearn.fitting import r2
from relume.sklearn.targets import Classes

RNG = np.random.default_rng(0)
X = RNG.standard_normal((40, 3))
Y = RNG.integers(0, 3, 40)
VALUES = X @ np.ones(3)


def classifier(**options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return MLPClassifier(4, max_iter=2, random_state=0, **options).fit(X, Y)


def regressor(y=VALUES):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return MLPRegressor(hidden_layer_sizes=4, max_iter=2, random_state=0).fit(X, y)


CONVERTED = {
    "list": X.tolist(),
    "subclass": X.view(type("Own", (np.ndarray,), {})),
    "columns": np.asfortranarray(X),
    "strided": np.repeat(X, 2, axis=1)[:, ::2],
    "read only": np.frombuffer(X.tobytes()).reshape(X.shape),
    "swapped": X.astype(">f8"),
}


@pytest.mark.parametrize("given", CONVERTED.values(), ids=CONVERTED)
@pytest.mark.parametrize("method", ["predict", "predict_proba", "predict_log_proba"])
def test_predictions_are_those_of_the_same_rows_in_another_form(given, method):
    mlp = classifier()
    np.testing.assert_array_equal(getattr(mlp, method)(given), getattr(mlp, method)(X))


@pytest.mark.parametrize("given", CONVERTED.values(), ids=CONVERTED)
@pytest.mark.parametrize("labels", [list, np.asarray])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_fits_are_those_of_the_same_rows_in_another_form(given, labels):
    mlp = MLPClassifier(4, max_iter=2, random_state=0).fit(given, labels(Y))
    np.testing.assert_array_equal(mlp.predict_proba(X), classifier().predict_proba(X))
    assert mlp.n_features_in_ == 3


@pytest.mark.parametrize("fitted", ["float32", "float64"])
@pytest.mark.parametrize("given", ["float16", "float32", "float64", "int64"])
def test_rows_of_another_dtype(fitted, given):
    mlp = classifier(dtype=fitted)
    rows = (X * 3).astype(given)
    np.testing.assert_array_equal(mlp.predict_proba(rows), mlp.predict_proba(rows.astype(fitted)))


def with_(value):
    rows = X.copy()
    rows[5, 1] = value
    return rows


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (with_(np.nan), "Input X contains NaN"),
        (with_(np.inf), "Input X contains infinity"),
        (X[:, :2], "X has 2 features, but .* is expecting 3"),
        (X[:0], "Found array with 0 sample"),
        (X[0], "Expected 2D array, got 1D"),
        (X[None], "dim 3"),
        (X + 1j, "Complex data"),
    ],
    ids=["nan", "inf", "features", "empty", "1-D", "3-D", "complex"],
)
def test_errors_are_those_of_scikit_learn(rows, words):
    mlp = classifier()
    with pytest.raises(ValueError, match=words):
        mlp.predict(rows)
    if "features" not in words:
        with pytest.raises(ValueError, match=words):
            classifier().fit(rows, Y)


@pytest.mark.parametrize("assumed", [True, False])
def test_rows_that_the_dtype_of_the_network_cannot_hold(assumed):
    mlp = classifier(dtype="float32")
    with sklearn.config_context(assume_finite=assumed), pytest.raises(ValueError, match="finite"):
        mlp.predict(with_(1e300))


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (np.where(Y == 1, np.nan, Y), "Input y contains NaN"),
        (VALUES, "Unknown label type"),
        (Y[:-1], "inconsistent numbers of samples"),
        (None, "requires y"),
    ],
)
def test_errors_of_labels_are_those_of_scikit_learn(y, words):
    with pytest.raises(ValueError, match=words):
        MLPClassifier().fit(X, y)


def test_names_of_features_are_missed_in_an_array():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=list("abc"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlp = MLPClassifier(4, max_iter=2, random_state=0).fit(frame, Y)
        expected = mlp.predict(frame)
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        np.testing.assert_array_equal(mlp.predict(X), expected)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlp.fit(X, Y)
    assert not hasattr(mlp, "feature_names_in_")


@pytest.mark.parametrize("softmax", [False, True])
@pytest.mark.parametrize("n_classes", [1, 2, 5])
@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "int32", "uint64", "int64"])
def test_classes_of_integers_are_those_of_scikit_learn(dtype, n_classes, softmax):
    y = (RNG.permutation(40) % n_classes).astype(dtype)
    found, expected = Classes(y, softmax), LabelBinarizer().fit(y)
    assert found.classes.dtype == expected.classes_.dtype == y.dtype
    np.testing.assert_array_equal(found.classes, expected.classes_)
    kind = expected.y_type_
    assert found.kind == ("multiclass" if softmax and kind == "binary" else kind)
    indices = [expected.classes_.tolist().index(label) for label in y.tolist()]
    shape = (40,) if found.kind == "multiclass" else (40, 1)
    assert found.encode(y, np.dtype("float64")).tolist() == np.reshape(indices, shape).tolist()
    # What scikit-learn's encoder has to do is done by one that is made when it is needed.
    columns = found._binarizer.transform(y)
    np.testing.assert_array_equal(columns, expected.transform(y))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("y", "values"),
    [
        (RNG.random((30, 2)), RNG.random((30, 2))),
        (np.ones((30, 2)), np.ones((30, 2))),
        (np.ones((30, 2)), RNG.random((30, 2))),
        (np.column_stack([np.ones(30), np.arange(30)]), np.ones((30, 2))),
        (np.arange(30.0)[:, None], np.arange(30.0)[:, None]),
    ],
    ids=["random", "constant, exact", "constant", "one constant", "exact"],
)
def test_the_share_of_the_variance_is_scikit_learns(y, values, dtype):
    y, values = y.astype(dtype), values.astype(dtype)
    assert r2(values, y, None) == r2_score(y, values)


@pytest.mark.parametrize("y", [VALUES, VALUES.astype("float32"), (VALUES * 9).astype(int)])
def test_a_regressor_takes_values_of_any_dtype(y):
    expected = regressor(list(y.astype(float))).predict(X)
    np.testing.assert_array_equal(regressor(y).predict(X), expected)
