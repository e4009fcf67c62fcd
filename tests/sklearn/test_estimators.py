"""The estimators among scikit-learn's tools, their errors, and what they keep."""

import copy
import pickle
import re
import subprocess
import sys
import warnings

import joblib
import numpy as np
import pandas
import pytest
import sklearn
from sklearn.base import clone
from sklearn.datasets import make_classification, make_regression
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, cross_validate, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import relume
from relume import nn
from relume.sklearn import MLPClassifier, MLPRegressor
from tests.support.scikit_learn import LABELS, NOT_CONVERGED, TARGETS, X, assert_same, both, fitted

pytestmark = NOT_CONVERGED
SMALL = {"hidden_layer_sizes": (8,), "max_iter": 3, "random_state": 0}


# -- among scikit-learn's tools -------------------------------------------------------------------


def number_of_threads(estimator, X, y):
    return relume.get_num_threads()


def test_grid_search_in_two_processes():
    """joblib tells its processes by OMP_NUM_THREADS how many threads are theirs."""
    grid = {"activation": ["relu", ["mish"]], "optimizer": [None, nn.AdamW(0.01)]}
    scoring = {"accuracy": "accuracy", "threads": number_of_threads}
    search = GridSearchCV(
        MLPClassifier(**SMALL), grid, n_jobs=2, cv=2, scoring=scoring, refit="accuracy"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the other processes
        search.fit(X, LABELS)
    assert np.isfinite(search.cv_results_["mean_test_accuracy"]).all()
    assert search.best_estimator_.predict(X).shape == (300,)
    assert search.cv_results_["mean_test_threads"].max() <= max(joblib.cpu_count() // 2, 1)


def test_pipeline():
    pipeline = make_pipeline(StandardScaler(), MLPRegressor(**SMALL))
    pipeline.set_params(mlpregressor__solver="lbfgs", mlpregressor__max_iter=100)
    assert pipeline.fit(X, TARGETS["values"]).score(X, TARGETS["values"]) > 0.5


def test_clone_and_set_params():
    mlp = MLPClassifier(optimizer=nn.SGD(0.1), callbacks=[nn.EarlyStopping()], activation=["elu"])
    twin = clone(mlp.set_params(hidden_layer_sizes=(3,)))
    assert twin.optimizer == nn.SGD(0.1)
    assert twin.get_params()["hidden_layer_sizes"] == (3,)
    assert not hasattr(clone(mlp.fit(X, LABELS)), "coefs_")
    with pytest.raises(ValueError, match="Invalid parameter 'dropuot' for estimator MLPClassif"):
        mlp.set_params(dropuot=0.5)
    assert "MLPClassifier(activation=['elu']" in repr(mlp)


def test_feature_names():
    frame = pandas.DataFrame(X, columns=[f"pixel {i}" for i in range(64)])
    mlp = MLPClassifier(**SMALL).fit(frame, LABELS)
    np.testing.assert_array_equal(mlp.feature_names_in_, frame.columns)
    np.testing.assert_array_equal(
        mlp.predict(frame), MLPClassifier(**SMALL).fit(X, LABELS).predict(X)
    )
    with pytest.raises(ValueError, match="The feature names should match those that were passed"):
        mlp.predict(frame[frame.columns[::-1]])
    with pytest.warns(UserWarning, match="X does not have valid feature names, but MLPClassifier"):
        mlp.predict(X)


def test_metadata_routing():
    """cross_validate hands rows' weights on, and a pipeline validation data."""
    with sklearn.config_context(enable_metadata_routing=True):
        mlp = MLPClassifier(**SMALL).set_fit_request(sample_weight=True)
        mlp.set_score_request(sample_weight=False)
        weights = np.ones(300)
        results = cross_validate(
            mlp, X, LABELS, params={"sample_weight": weights}, cv=2, return_estimator=True
        )
        plain = cross_validate(MLPClassifier(**SMALL), X, LABELS, cv=2, return_estimator=True)
        np.testing.assert_allclose(results["test_score"], plain["test_score"])
        mlp = MLPClassifier(**SMALL).set_fit_request(X_val=True, y_val=True)
        pipeline = make_pipeline(StandardScaler(), mlp, transform_input=["X_val"])
        pipeline.fit(X[:200], LABELS[:200], X_val=X[200:], y_val=LABELS[200:])
    assert len(mlp.validation_loss_curve_) == 3
    assert mlp.validation_loss_curve_[-1] < mlp.validation_loss_curve_[0]


# -- what they keep -------------------------------------------------------------------------------


@pytest.mark.parametrize("copied", [
    lambda mlp: pickle.loads(pickle.dumps(mlp)), copy.deepcopy, copy.copy,
], ids=["pickle", "deepcopy", "copy"])  # fmt: skip
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_copies_go_on_where_the_original_was(copied, solver):
    mlp = MLPClassifier(solver=solver, warm_start=True, **SMALL).fit(X, LABELS)
    twin = copied(mlp)
    for each in (mlp, twin):
        each.fit(X, LABELS) if solver == "lbfgs" else each.partial_fit(X, LABELS)
    for a, b in zip(mlp.coefs_ + mlp.intercepts_, twin.coefs_ + twin.intercepts_, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(mlp.predict_proba(X), twin.predict_proba(X))


@pytest.mark.parametrize(("solver", "copies"), [("adam", 3), ("sgd", 2), ("lbfgs", 1)])
def test_pickles_hold_what_partial_fit_needs(solver, copies):
    ours, theirs = fitted("classes", solver=solver, max_iter=2, hidden_layer_sizes=(300, 300))
    n_bytes = sum(each.nbytes for each in ours.coefs_ + ours.intercepts_)
    size = len(pickle.dumps(ours))
    assert size < copies * n_bytes + 10_000
    assert size < len(pickle.dumps(theirs))


def test_memory_mapped_estimators_predict_and_train(tmp_path):
    mlp = MLPClassifier(**SMALL).fit(X, LABELS)
    joblib.dump(mlp, tmp_path / "mlp")
    mapped = joblib.load(tmp_path / "mlp", mmap_mode="r")
    np.testing.assert_array_equal(mapped.predict_proba(X), mlp.predict_proba(X))
    mapped.partial_fit(X, LABELS)
    np.testing.assert_array_equal(mapped.coefs_[0], mlp.partial_fit(X, LABELS).coefs_[0])


def test_values_may_be_set():
    mlp = MLPClassifier(**SMALL).fit(X, LABELS)
    p = mlp.predict_proba(X)
    mlp.coefs_[0][:] *= 2
    assert np.abs(mlp.predict_proba(X) - p).max() > 0.01
    mlp.coefs_[0] = mlp.coefs_[0] / 2
    np.testing.assert_allclose(mlp.predict_proba(X), p)
    mlp.coefs_ = [w * 0 for w in mlp.coefs_]
    mlp.intercepts_ = [b * 0 for b in mlp.intercepts_]
    np.testing.assert_allclose(pickle.loads(pickle.dumps(mlp)).predict_proba(X), 0.25)
    mlp.coefs_[1] = np.zeros((3, 3))
    with pytest.raises(ValueError, match="coefs_ and intercepts_ must have the shapes"):
        mlp.predict(X)


def test_the_network_is_the_estimators():
    mlp = MLPClassifier(**SMALL).fit(X, LABELS)
    np.testing.assert_array_equal(mlp.network_.predict(X), mlp.predict(X))
    np.testing.assert_array_equal(mlp.network_.state_dict()["0.weight"].T, mlp.coefs_[0])
    with pytest.raises(NotFittedError):
        MLPClassifier().network_  # noqa: B018


# -- errors and warnings --------------------------------------------------------------------------

BAD = {
    "hidden_layer_sizes": [-1, (3, 0), "10"], "solver": ["adams"], "alpha": [-1, "0"],
    "batch_size": [0, 1.5], "learning_rate": ["falling"], "learning_rate_init": [0],
    "power_t": [-1], "max_iter": [0], "shuffle": ["yes"], "random_state": [-1], "tol": [-1],
    "warm_start": [3], "momentum": [1.5], "nesterovs_momentum": ["yes"], "early_stopping": ["no"],
    "validation_fraction": [1.0, -0.1], "beta_1": [1.0], "beta_2": [-1], "epsilon": [0],
    "n_iter_no_change": [0], "max_fun": [0],
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_parameters_get_scikit_learns_errors(name):
    for value in BAD[name]:
        for target in ("classes", "values"):
            texts = []
            for each in both(target, **{name: value}):
                with pytest.raises(ValueError) as error:  # noqa: PT011
                    each.fit(X, TARGETS[target])
                # The names that are allowed stand in the order of a set.
                texts.append(sorted(re.findall(r"\w+", str(error.value))))
            assert texts[0] == texts[1]


def corrupted(index, value):
    data = X.copy()
    data[index] = value
    return data


@pytest.mark.parametrize(("data", "y"), [
    (corrupted((3, 4), np.nan), LABELS), (corrupted((3, 4), np.inf), LABELS), (X[:, 0], LABELS),
    (X[:0], LABELS[:0]), (X, LABELS[:-1]), (X, X[:, 0]), (X, X),
    (np.full((300, 2), "x"), LABELS),
    (X, None), (X * 1j, LABELS),
], ids=range(10))  # fmt: skip
def test_bad_data_gets_scikit_learns_errors(data, y):
    texts = []
    for each in both("classes"):
        with pytest.raises((ValueError, TypeError)) as error:
            each.fit(data, y)
        texts.append((type(error.value), str(error.value)))
    assert texts[0] == texts[1]


def messages(act):
    """The errors of both estimators."""
    texts = []
    for each in both("classes", max_iter=2):
        with pytest.raises((ValueError, AttributeError)) as error:
            act(each)
        texts.append((type(error.value), str(error.value)))
    return texts


@pytest.mark.parametrize("act", [
    lambda e: e.predict(X),
    lambda e: e.fit(X, LABELS).predict(X[:, :3]),
    lambda e: e.partial_fit(X, LABELS),
    lambda e: e.set_params(early_stopping=True).partial_fit(X, LABELS, classes=range(4)),
    lambda e: e.partial_fit(X, LABELS, classes=range(4)).partial_fit(X, LABELS + 1),
    lambda e: e.partial_fit(X, LABELS, classes=range(4)).partial_fit(X, LABELS, classes=[1, 2]),
    lambda e: e.set_params(warm_start=True).fit(X, LABELS).fit(X, np.minimum(LABELS, 2)),
    lambda e: e.set_params(solver="lbfgs").partial_fit,
    lambda e: e.set_params(early_stopping=True).fit(X[:8], LABELS[:8]),
    lambda e: e.set_params(early_stopping=True).fit(X, np.arange(300) == 4),
    lambda e: e.fit(X, LABELS, sample_weight=np.ones(3)),
], ids=range(11))  # fmt: skip
def test_misuse_gets_scikit_learns_errors(act):
    ours, theirs = messages(act)
    assert ours == theirs


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("parameters", [
    {"solver": "sgd", "learning_rate_init": 1e30}, {"learning_rate_init": 1e300},
], ids=["sgd", "adam"])  # fmt: skip
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_divergence(parameters, dtype):
    """scikit-learn goes on to the last epoch with a loss that is NaN, and raises then."""
    texts = []
    pair = both("values", max_iter=6, **parameters)
    for each in pair:
        with (
            pytest.warns(ConvergenceWarning),
            pytest.raises(ValueError, match="non-fini") as error,
        ):
            each.fit(X.astype(dtype), TARGETS["values"])
        texts.append(str(error.value))
        assert each.n_iter_ == len(each.loss_curve_) == 6
        assert np.isnan(each.loss_)
    assert texts[0] == texts[1]
    for each in pair:
        each.set_params(early_stopping=True).fit(X.astype(dtype), TARGETS["values"])
    assert np.isnan(pair[0].validation_scores_[-1])
    assert np.isfinite(pair[0].predict(X)).all() == np.isfinite(pair[1].predict(X)).all()


def test_warnings():
    for parameters, kind, text in [
        ({"max_iter": 2}, ConvergenceWarning, r"Maximum iterations \(2\) reached and the optim"),
        ({"batch_size": 301}, UserWarning, "Got `batch_size` less than 1 or larger than sample"),
        ({"solver": "lbfgs", "max_iter": 2}, ConvergenceWarning, "lbfgs failed to converge"),
    ]:
        told = []
        for each in both("classes", **parameters):
            with pytest.warns(kind, match=text) as record:
                each.fit(X, LABELS)
            told.append([str(each.message) for each in record])
        assert told[0] == told[1]


@pytest.mark.parametrize("parameters", [
    {"max_iter": 2}, {"solver": "lbfgs", "max_iter": 2}, {"batch_size": 301, "tol": 1.0},
], ids=["epochs", "lbfgs", "batch_size"])  # fmt: skip
def test_filters_written_for_scikit_learn_hold(parameters):
    """Warnings were relume's, which no filter with module="sklearn" met."""
    for y in (LABELS, LABELS[:, None]):
        for each in both("classes", **parameters):
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                warnings.filterwarnings("ignore", module="sklearn")
                each.fit(X, y)


def test_warnings_name_the_line_that_called():
    mlp = MLPClassifier(**SMALL)
    with pytest.warns(ConvergenceWarning) as record:
        make_pipeline(StandardScaler(), mlp).fit(X, LABELS)
    assert record[0].filename == __file__


def test_figures_are_numpys():
    """Scripts call methods of them: ``mlp.loss_.round(3)``."""
    for parameters in ({}, {"early_stopping": True}, {"solver": "lbfgs"}):
        for target in ("classes", "values"):
            for name in ("loss_", "best_loss_", "loss_curve_", "best_validation_score_"):
                found = [getattr(each, name, None) for each in fitted(target, **parameters)]
                types = [type(each[0] if isinstance(each, list) else each) for each in found]
                assert types[0] is types[1], (name, parameters)


@pytest.mark.parametrize("parameters", [
    {"max_iter": 3}, {"early_stopping": True, "n_iter_no_change": 2, "tol": 1},
    {"solver": "sgd", "learning_rate": "adaptive", "n_iter_no_change": 1, "tol": 1},
], ids=["epochs", "early stopping", "adaptive"])  # fmt: skip
def test_verbose(parameters, capsys):
    shown = []
    for each in both("classes", verbose=True, **parameters):
        each.fit(X, LABELS)
        shown.append(capsys.readouterr().out)
    assert shown[0] == shown[1]


def test_interrupt():
    """Ctrl-C ends a fit, which keeps what it has learned."""

    def interrupt(net, epoch, figures):
        if epoch == 2:
            raise KeyboardInterrupt

    mlp = MLPClassifier(callbacks=[interrupt], hidden_layer_sizes=(8,), random_state=0)
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        mlp.fit(X, LABELS)
    assert len(mlp.loss_curve_) == 2
    assert mlp.predict(X).shape == (300,)


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_an_interrupt_before_training_changes_nothing(method, monkeypatch):
    """Only refusals put back what was there, so that an interrupted fit left no network."""
    mlp = MLPClassifier(**SMALL).fit(X, LABELS)
    fresh, before = MLPClassifier(**SMALL), mlp.predict(X)

    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("relume.sklearn.base.features_of", interrupt)
    given = {"classes": np.unique(LABELS)} if method == "partial_fit" else {}
    for each in (mlp, fresh):
        with pytest.raises(KeyboardInterrupt):
            getattr(each, method)(X, LABELS, **given)
    monkeypatch.undo()
    np.testing.assert_array_equal(mlp.predict(X), before)
    assert not hasattr(fresh, "classes_")


@pytest.mark.parametrize("parameters", [
    {}, {"solver": "sgd"}, {"solver": "sgd", "momentum": 1.0, "nesterovs_momentum": False},
    {"solver": "lbfgs"}, {"epsilon": 0.1},
], ids=str)  # fmt: skip
def test_the_network_is_saved_with_its_optimizer(parameters, tmp_path):
    """The optimizers of solver="adam" and "sgd" were unknown to files."""
    mlp = MLPClassifier(**SMALL | parameters).fit(X, LABELS)
    mlp.network_.save(tmp_path / "model")
    loaded = nn.load(tmp_path / "model")
    assert loaded.optimizer == mlp.network_.optimizer
    nets = loaded, mlp.network_
    for net in nets:
        if parameters != {"solver": "lbfgs"}:
            net.train_on_batch(X[:50], LABELS[:50])
    np.testing.assert_array_equal(*[net.forward(X) for net in nets])


def test_checkpoints_of_a_fit(tmp_path):
    saving = nn.ModelCheckpoint(str(tmp_path / "model"))
    mlp = MLPClassifier(**SMALL, callbacks=[saving]).fit(X, LABELS)
    np.testing.assert_array_equal(
        nn.load(tmp_path / "model").predict_proba(X), mlp.predict_proba(X)
    )


def test_data_is_left_alone():
    for make in (np.asfortranarray, lambda x: x.astype("float32"), pandas.DataFrame):
        data = make(X)
        before = copy.deepcopy(data)
        assert_same_as_plain = MLPClassifier(**SMALL).fit(data, LABELS)
        np.testing.assert_array_equal(data, before)
        np.testing.assert_allclose(
            assert_same_as_plain.loss_, MLPClassifier(**SMALL).fit(X, LABELS).loss_, rtol=1e-5
        )


def test_importing_relume_imports_no_scikit_learn():
    code = "import relume, sys; assert 'sklearn' not in sys.modules; relume.sklearn.MLPClassifier"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_arguments_are_scikit_learns():
    ours, theirs = both("classes")
    assert list(theirs.get_params()) == [n for n in ours.get_params() if n in theirs.get_params()]
    for a, b in (both("classes"), both("values")):
        a, b = type(a)().get_params(), type(b)().get_params()
        assert {name: a[name] for name in b} == b
    assert_same(*fitted("classes", max_iter=1), 1e-9)


# -- scikit-learn's user guide and docstrings -----------------------------------------------------


def test_user_guide():
    """Its page on supervised neural networks, and what it prints."""
    data = [[0.0, 0.0], [1.0, 1.0]]
    parameters = {"solver": "lbfgs", "alpha": 1e-5, "random_state": 1}
    mlp = MLPClassifier(hidden_layer_sizes=(5, 2), **parameters).fit(data, [0, 1])
    np.testing.assert_array_equal(mlp.predict([[2.0, 2.0], [-1.0, -2.0]]), [1, 0])
    assert [coef.shape for coef in mlp.coefs_] == [(2, 5), (5, 2), (2, 1)]
    np.testing.assert_allclose(
        mlp.predict_proba([[2.0, 2.0], [1.0, 2.0]]), [[1.967e-4, 9.998e-1]] * 2, rtol=1e-3
    )
    labels = MLPClassifier(hidden_layer_sizes=(15,), **parameters).fit(data, [[0, 1], [1, 1]])
    np.testing.assert_array_equal(labels.predict([[1.0, 2.0]]), [[1, 1]])
    np.testing.assert_array_equal(labels.predict([[0.0, 0.0]]), [[0, 1]])


def test_examples_of_docstrings():
    X, y = make_classification(n_samples=100, random_state=1)
    X_train, X_test, y_train, _ = train_test_split(X, y, stratify=y, random_state=1)
    mlp = MLPClassifier(random_state=1, max_iter=300).fit(X_train, y_train)
    np.testing.assert_allclose(mlp.predict_proba(X_test[:1]), [[0.0383, 0.961]], rtol=3e-3)
    np.testing.assert_array_equal(mlp.predict(X_test[:5]), [1, 0, 1, 0, 1])
    X, y = make_regression(n_samples=200, n_features=20, random_state=1)
    X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=1)
    mlp = MLPRegressor(random_state=1, max_iter=2000, tol=0.1).fit(X_train, y_train)
    np.testing.assert_allclose(mlp.predict(X_test[:2]), [28.98, -291], rtol=2e-3)
    assert mlp.score(X_test, y_test) == pytest.approx(0.98, abs=0.01)
