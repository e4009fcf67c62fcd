"""scikit-learn's own checks of an estimator, and scikit-learn's estimator beside ours."""

import numpy as np
import pandas as pd
import pytest
import sklearn.neural_network
from sklearn.utils.estimator_checks import (
    check_estimator,
    check_fit2d_1sample,
    estimator_checks_generator,
)

from relume import nn
from relume.sklearn import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore")

OURS = {"classifier": MLPClassifier, "regressor": MLPRegressor}
SETTINGS = {
    "default": {},
    "lbfgs": {"solver": "lbfgs"},
    "sgd": {"solver": "sgd", "batch_size": 16, "learning_rate_init": 0.05},
    "early stopping": {"early_stopping": True, "learning_rate_init": 0.01},
}
EXTRAS = {
    "layers": {"hidden_layer_sizes": (20, 20), "activation": ["mish", nn.LeakyReLU(0.1)],
               "normalization": "layer", "residual": True, "weight_init": "he_normal",
               "learning_rate_init": 0.01},
    "optimizer": {"optimizer": nn.AdamW(0.01), "schedule": nn.Cosine(40), "clip_norm": 1.0},
}  # fmt: skip
WEIGHTS = {
    "check_sample_weight_equivalence_on_dense_data",
    "check_sample_weight_equivalence_on_sparse_data",
}


# Of these scikit-learn knows that they need other settings for some checks, by their class.
class TheirClassifier(sklearn.neural_network.MLPClassifier):
    """scikit-learn's, as any other estimator."""


class TheirRegressor(sklearn.neural_network.MLPRegressor):
    """scikit-learn's, as any other estimator."""


THEIRS = {"classifier": TheirClassifier, "regressor": TheirRegressor}


def outcome(estimator):
    """The checks that failed, with their errors."""
    results = check_estimator(estimator, on_fail=None, on_skip=None)
    return {
        each["check_name"]: each["exception"] for each in results if each["status"] == "failed"
    }


def passes(estimator, name):
    """Whether there is such a check, and the estimator passes it."""
    for twin, check in estimator_checks_generator(estimator, mark=None):
        if check.func.__name__ == name:
            try:
                check(twin)
            except Exception:
                return False
            return True
    return False


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("kind", OURS)
def test_what_scikit_learn_checks(kind, settings):
    """Nothing fails but what fails of scikit-learn's estimator with the same settings."""
    parameters = {"max_iter": 40, **SETTINGS[settings]}
    failed = outcome(OURS[kind](**parameters))
    # check_class_weight_classifiers is made only of who has a class_weight.
    theirs = THEIRS[kind](**parameters)
    failed = {name: error for name, error in failed.items() if passes(theirs, name)}
    assert not failed


@pytest.mark.parametrize("settings", EXTRAS)
@pytest.mark.parametrize("kind", OURS)
def test_more_parameters(kind, settings):
    failed = outcome(OURS[kind](max_iter=60, tol=0, **EXTRAS[settings]))
    assert set(failed) <= WEIGHTS, failed  # rows of weight 0 make other minibatches


@pytest.mark.parametrize("settings", [{}, {"early_stopping": True}], ids=str)
@pytest.mark.parametrize("kind", OURS)
def test_one_row_under_batch_normalization(kind, settings):
    """The error named a batch_size that nobody had given."""
    check_fit2d_1sample(kind, OURS[kind](normalization="batch", max_iter=3, **settings))


@pytest.mark.parametrize("kind", OURS)
def test_dropout(kind):
    """Masks are drawn for a row whatever it weighs."""
    failed = outcome(OURS[kind](max_iter=40, dropout=0.2, learning_rate_init=0.01))
    assert set(failed) <= WEIGHTS, failed


FRAME = pd.DataFrame({"a": [1.0, 2.0, 3.0, 4.0], "b": ["x", "y", "x", "y"]})
Y_OF_FRAME = ["p", "q", "p", "q"]


@pytest.mark.parametrize("column", ["b", "when"])
def test_a_column_that_holds_no_numbers_is_named(column):
    """scikit-learn's text names the value that it could not convert, but not the column."""
    frame = FRAME.assign(when=pd.Timestamp("2020-01-01"))[["a", column]]
    kind = ValueError if column == "b" else TypeError
    with pytest.raises(kind, match=f"X must hold real numbers, got column '{column}'"):
        MLPClassifier().fit(frame, Y_OF_FRAME)
    fitted = MLPClassifier(max_iter=300).fit(FRAME[["a"]].assign(**{column: 1.0}), Y_OF_FRAME)
    with pytest.raises(kind, match=f"X must hold real numbers, got column '{column}'"):
        fitted.predict(frame)


@pytest.mark.parametrize(
    ("y", "kinds"), [(["p", None, "p", "q"], "NoneType, str"), ([1, "q", 1, "q"], "int, str")]
)
def test_labels_of_several_kinds(y, kinds):
    """The text was of a comparison inside NumPy, without the name of the argument."""
    with pytest.raises(TypeError, match=rf"^y must hold labels of one kind.* got {kinds}$"):
        MLPClassifier().fit(FRAME[["a"]], np.array(y, object))


def test_a_name_for_weights_of_rows():
    with pytest.raises(ValueError, match=r"sample_weight must .* did you mean class_weight\?"):
        MLPClassifier().fit(FRAME[["a"]], Y_OF_FRAME, sample_weight="balanced")
