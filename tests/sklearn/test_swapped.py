"""Scripts in which only the import is swapped: what scikit-learn's gallery does with an MLP.

Each script is a function of the module that the estimators come from, returns what it would print
or plot, and runs once with scikit-learn's and once with relume's.
"""

import warnings

import numpy as np
import pandas
import pytest
import sklearn.neural_network
from sklearn.datasets import load_diabetes, load_digits, load_iris, make_circles, make_moons
from sklearn.exceptions import ConvergenceWarning
from sklearn.inspection import partial_dependence
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, QuantileTransformer, StandardScaler

import relume.sklearn

MOONS = make_moons(noise=0.3, random_state=0)
CIRCLES = make_circles(noise=0.2, factor=0.5, random_state=1)


def boundaries(model, X, y):
    """The probabilities that a picture of two classes shows as colours, and the score in it."""
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.4, random_state=42)
    model.fit(X_train, y_train)
    assert not hasattr(model, "decision_function")
    axes = [np.arange(x.min() - 0.5, x.max() + 0.5, 0.1) for x in X.T]
    grid = np.column_stack([each.ravel() for each in np.meshgrid(*axes)])
    return model.predict_proba(grid)[:, 1], model.score(X_test, y_test)


def penalties(module):
    """L-BFGS, to which early_stopping means nothing, at several penalties.

    Over hundreds of iterations it makes rounding errors grow: scikit-learn's own probabilities
    change by 0.01 with X multiplied by 1 + 2e-16. What takes few iterations is compared.
    """
    for alpha, max_iter in ((0.1, 10), (10.0, 2000)):
        mlp = module.MLPClassifier(
            hidden_layer_sizes=[10, 10], solver="lbfgs", alpha=alpha, random_state=1,
            max_iter=max_iter, early_stopping=True,
        )  # fmt: skip
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=ConvergenceWarning, module="sklearn")
            yield from boundaries(make_pipeline(StandardScaler(), mlp), *MOONS)


def among_classifiers(module):
    """One estimator, fitted again to each set of data."""
    mlp = module.MLPClassifier(alpha=1, max_iter=1000, random_state=42)
    for X, y in (MOONS, CIRCLES):
        yield from boundaries(make_pipeline(StandardScaler(), mlp), X, y)
        yield mlp.n_iter_


def learning_strategies(module):
    """Curves of all ways to learn, with the warnings silenced as scikit-learn's are."""
    strategies = [
        {"solver": "sgd", "learning_rate": rate, "learning_rate_init": 0.2, **momentum}
        for rate in ("constant", "invscaling")
        for momentum in ({"momentum": 0}, {"nesterovs_momentum": False}, {"momentum": 0.9})
    ]
    iris, digits = load_iris(return_X_y=True), load_digits(return_X_y=True)
    for (X, y), epochs in ((iris, 60), (digits, 3), (MOONS, 60)):
        data = MinMaxScaler().fit_transform(X)
        for strategy in [*strategies, {"solver": "adam", "learning_rate_init": 0.01}]:
            mlp = module.MLPClassifier(random_state=0, max_iter=epochs, **strategy)
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", category=ConvergenceWarning, module="sklearn")
                mlp.fit(data, y)
            yield from (mlp.loss_curve_, mlp.loss_.round(4), mlp.score(data, y))


def weights_as_pictures(module):
    """A few epochs that are told of, and the first weights between their extremes."""
    X, y = load_digits(return_X_y=True)
    mlp = module.MLPClassifier(
        (40,), max_iter=4, solver="sgd", verbose=10, random_state=1, learning_rate_init=0.2
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=ConvergenceWarning, module="sklearn")
        mlp.fit(X / 16, y)
    yield from (mlp.coefs_[0].min(), mlp.coefs_[0].max())
    yield from (coef.reshape(8, 8) for coef in mlp.coefs_[0].T[:4])


def dependence(module):
    """A frame through a pipeline, by the names of its columns, in two threads."""
    data = load_diabetes(as_frame=True)
    assert isinstance(data.data, pandas.DataFrame)
    for scaler, options in (
        (StandardScaler(), {"hidden_layer_sizes": (100, 100), "tol": 1e-2, "max_iter": 500}),
        (QuantileTransformer(n_quantiles=100), {"early_stopping": True, "max_iter": 20,
                                                "learning_rate_init": 0.1}),
    ):  # fmt: skip
        model = make_pipeline(scaler, module.MLPRegressor(random_state=0, **options))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=ConvergenceWarning, module="sklearn")
            model.fit(data.data, data.target)
        yield model.score(data.data, data.target)
        for kind in ("average", "individual"):
            yield partial_dependence(
                model, data.data, ["age"], kind=kind, grid_resolution=5
            )[kind]  # fmt: skip


def one_epoch_at_a_time(module):
    """A loop of one's own over warm starts."""
    mlp = module.MLPClassifier((15,), random_state=1, max_iter=1, warm_start=True)
    for _ in range(5):
        with pytest.warns(ConvergenceWarning):
            mlp.fit([[0.0, 0.0], [1.0, 1.0]], [0, 1])
        yield from (mlp.loss_curve_, mlp.n_iter_, mlp.t_)


def search(module):
    """The usual range of penalties."""
    model = make_pipeline(StandardScaler(), module.MLPClassifier(random_state=0, max_iter=30))
    found = GridSearchCV(model, {"mlpclassifier__alpha": 10.0 ** -np.arange(1, 4)}, cv=3)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=ConvergenceWarning, module="sklearn")
        found.fit(*load_iris(return_X_y=True))
    yield from (found.best_params_["mlpclassifier__alpha"], found.cv_results_["mean_test_score"])


@pytest.mark.parametrize("script", [
    penalties, among_classifiers, learning_strategies, weights_as_pictures, dependence,
    one_epoch_at_a_time, search,
])  # fmt: skip
def test_swapping_the_import_changes_nothing(script, capsys):
    shown = []
    for module in (sklearn.neural_network, relume.sklearn):
        shown.append(list(script(module)))
        shown.append(capsys.readouterr().out)
    theirs, their_text, ours, our_text = shown
    assert our_text == their_text
    for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        scale = np.abs(b).max()
        np.testing.assert_allclose(a, b, 1e-6, 1e-6 * scale, err_msg=f"figure {i}")
