"""Classes derived from the estimators, beside ones derived from scikit-learn's in the same way."""

import gc
import pickle
import weakref

import numpy as np
import pytest
import sklearn.neural_network
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score

import relume.sklearn
from relume.sklearn import MLPClassifier
from tests.support.scikit_learn import NOT_CONVERGED

pytestmark = NOT_CONVERGED
RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4))
Y = (X[:, 0] > 0).astype(int)


def of_one_width(module):
    """Fewer parameters than the base class has, and one of its own."""

    class Derived(module.MLPClassifier):
        def __init__(self, width=8, alpha=1e-3):
            super().__init__(hidden_layer_sizes=(width,), alpha=alpha, max_iter=5, random_state=0)
            self.width = width

    return Derived


def with_keywords(module):
    """Others are handed on, which scikit-learn does not see."""

    class Derived(module.MLPClassifier):
        def __init__(self, width=8, max_iter=4, random_state=0, alpha=0.1, **others):
            super().__init__(
                (width,), max_iter=max_iter, random_state=random_state, alpha=alpha, **others
            )
            self.width = width

    return Derived


def after_a_mixin(module):
    """A mixin before the estimator has a constructor that hands its keywords on."""

    class Noted:
        def __init__(self, note="none", **others):
            super().__init__(**others)
            self.note = note

    class Derived(Noted, module.MLPClassifier):
        def __init__(self, note="own", alpha=1e-3, max_iter=3):
            super().__init__(note=note, alpha=alpha, max_iter=max_iter, random_state=0)

    return Derived


def before_a_mixin(module):
    class Named:
        def name(self):
            return type(self).__name__

    class Derived(module.MLPClassifier, Named):
        def __init__(self, max_iter=3, alpha=1e-4, *, bins=2):
            super().__init__(max_iter=max_iter, alpha=alpha, random_state=0)
            self.bins = bins

    return Derived


def of_a_subclass(module):
    class Derived(of_one_width(module)):
        def __init__(self, width=3, alpha=0.1, extra=None):
            super().__init__(width, alpha)
            self.extra = extra

        def fit(self, X, y, sample_weight=None, doubled=False):
            return super().fit(2 * X if doubled else X, y, sample_weight)

    return Derived


def by_position(module):
    class Derived(module.MLPClassifier):
        def __init__(self, hidden_layer_sizes=(3,), activation="tanh", alpha=0.1):
            super().__init__(hidden_layer_sizes, activation, alpha=alpha, max_iter=3)
            self.random_state = 0

    return Derived


def with_more_names(module):
    """One that adds to the list of names that scikit-learn reads."""

    class Derived(module.MLPClassifier):
        def __init__(self, alpha=1e-4, max_iter=3, **note):
            super().__init__(alpha=alpha, max_iter=max_iter, random_state=0)
            self.note = note.get("note")

        @classmethod
        def _get_param_names(cls):
            names = super()._get_param_names()
            names.append("note")
            return names

    return Derived


def with_a_property(module):
    class Derived(module.MLPClassifier):
        def __init__(self, width=5, alpha=1e-4):
            super().__init__(alpha=alpha, max_iter=3, random_state=0)
            self.width = width

        hidden_layer_sizes = property(lambda self: (self.width,), lambda self, value: None)

    return Derived


def regressor_by_position(module):
    class Derived(module.MLPRegressor):
        def __init__(self, width=4, alpha=0.1):
            super().__init__("squared_error", (width,), alpha=alpha, max_iter=3, random_state=0)
            self.width = width

    return Derived


SUBCLASSES = [
    of_one_width, with_keywords, after_a_mixin, before_a_mixin, of_a_subclass, by_position,
    with_more_names, with_a_property, regressor_by_position,
]  # fmt: skip


def searched(mlp):
    return GridSearchCV(mlp, {"alpha": [1e-3, 0.1]}, cv=2).fit(X, Y).cv_results_["mean_test_score"]


def refusal(mlp):
    with pytest.raises(ValueError, match="Invalid parameter 'nonesuch'") as error:
        mlp.set_params(nonesuch=1)
    return str(error.value)


LOOKS = {
    "get_params": lambda cls: cls().get_params(),
    "set_params": lambda cls: cls().set_params(alpha=0.5).get_params(),
    "repr": lambda cls: (repr(cls()), repr(cls(alpha=0.5))),
    "no such parameter": lambda cls: refusal(cls()),
    "clone": lambda cls: (repr(clone(cls(alpha=0.5))), clone(cls(alpha=0.5)).max_iter),
    "diagram": lambda cls: sorted(
        name for name in cls().get_params() if name in cls()._repr_html_()
    ),
    "fit": lambda cls: [
        each.shape for each in clone(cls(alpha=0.5)).fit(X, Y).coefs_
    ],
    "predict": lambda cls: cls(alpha=0.5).fit(X, Y).predict(X).tolist(),
    "cross_val_score": lambda cls: cross_val_score(cls(), X, Y, cv=2).tolist(),
    "GridSearchCV": lambda cls: searched(cls()).tolist(),
}  # fmt: skip


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("derive", SUBCLASSES)
def test_subclasses_are_as_scikit_learns(derive, look):
    """The base's constructor took its own parameters for those of the subclass."""
    ours, theirs = (
        LOOKS[look](derive(module)) for module in (relume.sklearn, sklearn.neural_network)
    )
    if look in ("cross_val_score", "GridSearchCV", "predict"):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    else:
        assert ours == theirs


class OneLayer(MLPClassifier):
    """At the top of a module, where pickle finds it."""

    def __init__(self, width=8, alpha=1e-3):
        super().__init__(hidden_layer_sizes=(width,), alpha=alpha, max_iter=5, random_state=0)
        self.width = width


def test_pickled_subclass():
    mlp = OneLayer(6).fit(X, Y)
    twin = pickle.loads(pickle.dumps(mlp))
    assert twin.get_params() == {"alpha": 1e-3, "width": 6}
    np.testing.assert_array_equal(twin.predict_proba(X), mlp.predict_proba(X))
    np.testing.assert_array_equal(
        twin.partial_fit(X, Y).coefs_[0], mlp.partial_fit(X, Y).coefs_[0]
    )


def test_bad_value_of_a_subclass():
    with pytest.raises(ValueError, match="The 'alpha' parameter of OneLayer must be"):
        OneLayer(alpha=-1).fit(X, Y)


@pytest.mark.parametrize("base", [MLPClassifier, relume.sklearn.MLPRegressor])
def test_a_constructor_that_calls_none_has_the_defaults(base):
    """Parameters that it does not set were missing attributes."""

    class Bare(base):
        def __init__(self, max_iter=5):
            self.max_iter = max_iter

    mlp, plain = Bare(), base()
    for name in set(plain.get_params()) - {"max_iter"}:
        assert getattr(mlp, name) is getattr(plain, name), name
    assert clone(mlp).fit(X, Y).coefs_[0].shape == (4, 100)


def test_names_of_a_class_whose_constructor_is_replaced():
    """The names of parameters are kept from call to call."""

    class Changing(MLPClassifier):
        def __init__(self, alpha=1e-4):
            super().__init__(alpha=alpha)

    assert list(Changing().get_params()) == ["alpha"]

    def other(self, tol=1e-3):
        MLPClassifier.__init__(self, tol=tol)

    Changing.__init__ = other
    assert list(Changing().get_params()) == ["tol"]
    assert "alpha" in MLPClassifier().get_params()


def test_classes_made_at_run_time_are_freed():
    """A cache of names held every class for ever."""
    kept = weakref.ref(of_one_width(relume.sklearn))
    kept()().get_params()
    gc.collect()
    assert kept() is None
