"""Data frames and columns of pandas, polars and Arrow: as the arrays of the same numbers."""

import numpy as np
import pytest
import sklearn.neural_network
import xarray as xr

from relume import diagnostics, nn, validation
from relume.sklearn import MLPClassifier, MLPRegressor
from tests.support import twin as plain

pd = pytest.importorskip("pandas", reason="pandas is not installed; these are its data frames")


def needed(library):
    """A library whose tables are taken where it is installed; relume does not depend on it."""
    return pytest.importorskip(
        library, reason=f"{library} is not installed; its tables are optional"
    )


N = 40
RNG = np.random.default_rng(0)
AGE = RNG.integers(0, 90, N)
SHARE = RNG.integers(0, 64, N) / 64  # float32 holds them too
MEMBER = RNG.random(N) < 0.5
COLUMNS = [AGE, SHARE, MEMBER]
Y = RNG.integers(0, 3, N)


def pandas_of(age, share, member):
    return lambda columns: pd.DataFrame(
        {
            "age": pd.Series(columns[0], dtype=age),
            "share": pd.Series(columns[1], dtype=share),
            "member": pd.Series(columns[2], dtype=member),
        }
    )


def arrow_types(columns):
    needed("pyarrow")
    return pandas_of("int16[pyarrow]", "float[pyarrow]", "bool[pyarrow]")(columns)


def categories(columns):
    """Nullable numbers and booleans, not only NumPy's, may be categories."""
    return pd.DataFrame(
        {
            "age": pd.Categorical(columns[0]),
            "share": pd.Series(pd.Categorical(pd.array(columns[1], dtype="Float64"))),
            "member": pd.Categorical(columns[2]),
        }
    )


def sparse_columns(columns):
    return pd.DataFrame(
        {"age": pd.arrays.SparseArray(columns[0]), "share": columns[1], "member": columns[2]}
    )


def columns_of_one_name(columns):
    frame = pandas_of("int64", "float64", "bool")(columns)
    frame.columns = ["x", "x", "x"]
    return frame


def polars_frame(columns):
    pl = needed("polars")
    return pl.DataFrame(dict(zip("abc", map(np.asarray, columns), strict=True)))


def arrow_table(columns):
    pa = needed("pyarrow")
    return pa.table(dict(zip("abc", map(np.asarray, columns), strict=True)))


FRAMES = {
    "numbers and booleans": pandas_of("int64", "float64", "bool"),
    "small": pandas_of("int8", "float32", "bool"),
    "nullable": pandas_of("Int64", "Float32", "boolean"),
    "both": pandas_of("int64", "Float64", "bool"),
    "objects": pandas_of(object, object, object),
    "Arrow types": arrow_types,
    "categories": categories,
    "sparse columns": sparse_columns,
    "columns of one name": columns_of_one_name,
    "polars": polars_frame,
    "Arrow": arrow_table,
}
by_frame = pytest.mark.parametrize("form", FRAMES.values(), ids=FRAMES)
ARRAY = np.column_stack(COLUMNS)


def network(loss="cross_entropy", outputs=3, **options):
    layers = [nn.Standardize(), nn.Dense(5, "relu"), nn.Dense(outputs)]
    return nn.Network(layers, loss=loss, seed=0, **options)


@by_frame
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_frame_is_the_array_of_its_numbers(dtype, form):
    """NumPy makes objects of numbers beside booleans, and of nullable numbers."""
    frame = form(COLUMNS)
    nets, results = [], []
    for X in (frame, ARRAY):
        net = network(dtype=dtype)
        history = net.fit(X, Y, epochs=2, validation_data=(X, Y))
        net.train_on_batch(X, Y)
        nets.append(net)
        results.append([net.predict_proba(X), net.forward(X), net.evaluate(X, Y)["loss"]])
        results[-1] += [history["val_loss"], net.compact(X)[0].predict(X)]
    plain.assert_same_bits(*nets)
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)
    for rows in (0, 3):
        part = frame.iloc[:rows] if hasattr(frame, "iloc") else frame.slice(0, rows)
        assert nets[0].predict(part).shape == (rows,)


@by_frame
def test_diagnostics_take_what_networks_take(form):
    net = network()
    net.fit(ARRAY, Y)
    frame = form(COLUMNS)
    assert str(diagnostics.inspect(net, frame, Y)) == str(diagnostics.inspect(net, ARRAY, Y))
    nets = [network(), network()]
    for each, X in zip(nets, (frame, ARRAY), strict=True):
        each.fit(ARRAY, Y, epochs=2, callbacks=[nn.Revive(X=X), nn.Monitor(X=X)])
    plain.assert_same_bits(*nets)


ESTIMATOR = {"hidden_layer_sizes": (5,), "max_iter": 3, "random_state": 0}
each_estimator = pytest.mark.parametrize("estimator", [MLPClassifier, MLPRegressor])


def partial_fit(mlp, X, y):
    given = {"classes": range(3)} if isinstance(mlp, MLPClassifier) else {}
    return mlp.partial_fit(X, y, **given).partial_fit(X[:9], y[:9])


FITS = {
    "fit": lambda mlp, X, y: mlp.fit(X, y),
    "early stopping": lambda mlp, X, y: mlp.set_params(early_stopping=True).fit(X, y),
    "validation data": lambda mlp, X, y: mlp.fit(X, y, X_val=X, y_val=y),
    "partial_fit": partial_fit,
}


@by_frame
@each_estimator
@pytest.mark.parametrize("fit", FITS.values(), ids=FITS)
@pytest.mark.filterwarnings("ignore")
def test_estimators_take_what_networks_take(fit, estimator, form):
    if form is columns_of_one_name:
        pytest.skip("scikit-learn wants columns of different names")
    dtype = np.float32 if form is arrow_types else np.float64
    mlps = [fit(estimator(**ESTIMATOR, dtype=dtype), X, Y) for X in (form(COLUMNS), ARRAY)]
    np.testing.assert_array_equal(mlps[0].predict(form(COLUMNS)), mlps[1].predict(ARRAY))
    for a, b in zip(mlps[0].coefs_, mlps[1].coefs_, strict=True):
        np.testing.assert_array_equal(a, b)


@by_frame
@pytest.mark.filterwarnings("ignore")  # scikit-learn's of sparse columns
def test_estimators_check_the_names_of_features(form):
    """scikit-learn's checks see every kind of frame, and so must what is done before them."""
    if form is columns_of_one_name:
        pytest.skip("scikit-learn wants columns of different names")
    frame = form(COLUMNS)
    names = list(getattr(frame, "column_names", None) or frame.columns)
    mlp = partial_fit(MLPClassifier(**ESTIMATOR), frame, Y)
    assert list(mlp.feature_names_in_) == names
    other = frame.select(names[::-1]) if hasattr(frame, "select") else frame[names[::-1]]
    words = ["feature names should match", "same order"]
    for call in (
        lambda: mlp.predict(other),
        lambda: mlp.partial_fit(other, Y),
        lambda: MLPClassifier(**ESTIMATOR).fit(frame, Y, X_val=other, y_val=Y),
    ):
        plain.assert_raises(ValueError, words, call)


# -- columns --


def polars_series(y):
    return needed("polars").Series("y", y)


def arrow_column(y):
    pa = needed("pyarrow")
    return pa.chunked_array([y[:10], y[10:]])


SERIES = {
    "int": pd.Series,
    "Int8": lambda y: pd.Series(y, dtype="Int8"),
    "float": lambda y: pd.Series(y, dtype="float32"),
    "Float64": lambda y: pd.Series(y, dtype="Float64"),
    "objects": lambda y: pd.Series(y, dtype=object),
    "categories": lambda y: pd.Series(pd.Categorical(y)),
    "another index": lambda y: pd.Series(y, index=np.arange(len(y))[::-1]),
    "an array of pandas": lambda y: pd.array(y, dtype="Int64"),
    "an index": pd.Index,
    "a frame": lambda y: pd.DataFrame({"y": y}),
    "a nullable frame": lambda y: pd.DataFrame({"y": pd.array(y, dtype="Int64")}),
    "polars": polars_series,
    "Arrow": arrow_column,
}


@pytest.mark.parametrize("form", SERIES.values(), ids=SERIES)
@pytest.mark.parametrize(
    ("loss", "outputs", "y"),
    [
        ("cross_entropy", 3, Y),
        ("binary_cross_entropy", 1, Y // 2),
        ("mse", 1, Y),
        (lambda y, z: (float(np.mean(z)), z - y.astype(z.dtype).reshape(-1, 1)), 1, Y),
    ],
    ids=["labels", "binary", "values", "own"],
)
def test_columns_as_targets(loss, outputs, y, form):
    nets, results = [network(loss, outputs), network(loss, outputs)], []
    for net, target in zip(nets, (form(y), y), strict=True):
        net.fit(ARRAY, target, epochs=2, validation_data=(ARRAY, target))
        results.append(net.evaluate(ARRAY, target)["loss"])
    plain.assert_same_bits(*nets)
    assert results[0] == results[1]


@pytest.mark.parametrize("form", SERIES.values(), ids=SERIES)
def test_columns_as_weights(form):
    if "frame" in str(form(Y).__class__).lower():
        pytest.skip("weights are a vector")
    nets = [network(), network()]
    nets[0].fit(ARRAY, Y, sample_weight=form(Y), validation_split=0.2)
    nets[1].fit(ARRAY, Y, sample_weight=Y, validation_split=0.2)
    plain.assert_same_bits(*nets)
    assert nets[0].evaluate(ARRAY, Y, form(Y)) == nets[1].evaluate(ARRAY, Y, Y)


@pytest.mark.parametrize("form", SERIES.values(), ids=SERIES)
@each_estimator
@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.filterwarnings("ignore")
def test_columns_as_targets_and_weights_of_estimators(early_stopping, estimator, form):
    """As scikit-learn's own, which also says where a target is not one."""
    theirs = getattr(sklearn.neural_network, estimator.__name__)
    found = []
    for cls in (estimator, theirs):
        mlp = cls(**ESTIMATOR, early_stopping=early_stopping)
        try:
            mlp.fit(ARRAY, form(Y), sample_weight=form(Y + 1))
        except (ValueError, TypeError) as error:
            found.append(type(error))
        else:
            found.append(mlp.predict(ARRAY))
    if isinstance(found[1], type):
        assert found[0] is found[1]
    else:
        np.testing.assert_allclose(*found, rtol=1e-9)
        assert found[0].dtype == found[1].dtype


def test_frames_as_targets():
    y = np.eye(3)[Y]
    nets = [network(), network()]
    nets[0].fit(ARRAY, pd.get_dummies(pd.Series(Y)))
    nets[1].fit(ARRAY, y)
    plain.assert_same_bits(*nets)


# -- what is not numbers, or missing --

MISSING = {
    "float": (pd.Series([1.0, np.nan]), np.nan),
    "Int64": (pd.Series([1, None], dtype="Int64"), np.nan),
    "boolean": (pd.Series([True, None], dtype="boolean"), np.nan),
    "Float32": (pd.Series([1.0, None], dtype="Float32"), np.nan),
    "objects": (pd.Series([1, None], dtype=object), np.nan),
    "NA": (pd.Series([1.0, pd.NA], dtype=object), np.nan),
    "category": (pd.Series(pd.Categorical([1, None])), np.nan),
    "infinite": (pd.Series([1.0, np.inf]), np.inf),
    "too large": (pd.Series([1.0, 1e300]), 1e300),
}


@pytest.mark.parametrize(("column", "value"), MISSING.values(), ids=MISSING)
def test_missing_values_are_named(column, value):
    np.testing.assert_array_equal(validation.as_array(column, "y"), [1, value])
    frame = pd.DataFrame({"good": [1, 2], "bad": column, "worse": column})
    words = [r"\bX\b", "finite in float32", "column 'bad'"]
    net = network().build(3)
    for call in (
        lambda: net.fit(frame, Y[:2]),
        lambda: net.predict(frame),
        lambda: diagnostics.inspect(net, frame, Y[:2]),
    ):
        plain.assert_raises(ValueError, words, call)
    words[0] = "validation_data X"
    plain.assert_raises(
        ValueError, words, lambda: net.fit(ARRAY, Y, validation_data=(frame, Y[:2]))
    )
    plain.assert_raises(
        ValueError, [r"\by\b", "finite"], lambda: network("mse", 1).fit(ARRAY[:2], column)
    )


NOT_NUMBERS = {
    "strings": ["a", "2"],
    "string objects": pd.Series(["1", "2"], dtype=object),
    "mixed": pd.Series([1, "2"], dtype=object),
    "categories": pd.Categorical(["a", "b"]),
    "dates": pd.date_range("2020", periods=2),
    "times": pd.to_timedelta([1, 2]),
    "complex": [1j, 2j],
    "lists": pd.Series([[1], [2]]),
    "no time": pd.Series([1.0, pd.NaT], dtype=object),
}


@pytest.mark.parametrize("column", NOT_NUMBERS.values(), ids=NOT_NUMBERS)
def test_columns_that_are_not_numbers_are_named(column):
    frame = pd.DataFrame({"good": [1, 2], "bad": column, "worse": column})
    net = network().build(3)
    kind = str(frame["bad"].dtype).split("[")[0]
    words = [r"\bX\b", "real numbers", "column 'bad'", kind]
    plain.assert_raises(TypeError, words, lambda: net.predict(frame))
    plain.assert_raises(TypeError, words, lambda: net.fit(frame, Y[:2]))
    words = [r"\by\b", "0 to 2"]
    plain.assert_raises(TypeError, words, lambda: net.fit(ARRAY[:2], frame["bad"]))


def test_polars_that_is_not_numbers():
    pl = needed("polars")
    net = network().build(2)
    frame = pl.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    words = [r"\bX\b", "column 'b'", "String"]
    plain.assert_raises(TypeError, words, lambda: net.predict(frame))
    frame = pl.DataFrame({"a": [1, 2], "b": [True, None]})
    plain.assert_raises(ValueError, ["finite", "column 'b'"], lambda: net.predict(frame))


def test_integers_stay_exact():
    """An int64 that no float holds is itself, where there are only integers."""
    large = 2**53 + 1
    for column in (
        pd.Series([large, 1], dtype=object),
        pd.Series([large, 1], dtype="Int64"),
        pd.Series(pd.Categorical([large, 1])),
    ):
        array = validation.as_array(column, "y")
        assert (array.dtype, array[0]) == (np.dtype(np.int64), large)
    assert validation.as_array(pd.Series([2**70, True], dtype=object), "y")[0] == 2.0**70


def test_objects_that_are_numbers():
    """``frame.to_numpy()`` of numbers and booleans was refused, and the frame itself was not."""
    X = np.random.default_rng(0).normal(size=(20, 2))
    y = (X[:, 0] > 0).astype(int)

    def fit(X, y, loss="cross_entropy"):
        net = nn.Network([nn.Dense(2 if loss == "cross_entropy" else 1)], loss=loss, seed=0)
        return net.fit(X, y)["loss"]

    assert fit(X.astype(object), y.astype(object)) == fit(X, y)
    mixed = pd.DataFrame({"a": X[:, 0], "b": y == 1}).to_numpy()
    assert mixed.dtype == object
    assert fit(mixed, y) == fit(mixed.astype(float), y)
    assert fit(X, X[:, 0].astype(object), "mse") == fit(X, X[:, 0], "mse")
    with pytest.raises(ValueError, match="X must be finite"):
        fit([[1.0, None]] * 20, y)
    with pytest.raises(TypeError, match="X must hold real numbers, got dtype object"):
        fit(np.array([[1.0, "a"]] * 20, object), y)


def test_an_array_of_xarray_in_memory():
    """It has a method ``__dask_graph__`` too, and was taken for a Dask array."""
    X = xr.DataArray(np.random.default_rng(0).normal(size=(20, 2)))
    net = nn.Network([nn.Dense(2)], seed=0)
    loss = net.fit(X, np.arange(20) % 2)["loss"]
    assert loss == nn.Network([nn.Dense(2)], seed=0).fit(X.to_numpy(), np.arange(20) % 2)["loss"]
    with pytest.raises(TypeError, match="got a Dask array"):
        net.predict(X.chunk(5))
