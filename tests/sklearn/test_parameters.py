"""What the estimators take beyond scikit-learn: each parameter does something and is checked."""

import numpy as np
import pytest

import relume
from relume import nn
from relume.sklearn import MLPClassifier, MLPRegressor
from tests.support.scikit_learn import (
    LABELS,
    MATRICES,
    NOT_CONVERGED,
    TARGETS,
    WEIGHT,
    X,
    assert_same,
    fitted,
)

pytestmark = NOT_CONVERGED
TWO = TARGETS["two classes"]


def classifier(y=LABELS, X=X, sample_weight=None, **parameters):
    parameters = {"hidden_layer_sizes": (16, 8), "random_state": 0, "max_iter": 5} | parameters
    return MLPClassifier(**parameters).fit(X, y, sample_weight)


def regressor(y="values", **parameters):
    parameters = {"hidden_layer_sizes": (16, 8), "random_state": 0, "max_iter": 5} | parameters
    return MLPRegressor(**parameters).fit(X, TARGETS[y])


def assert_equal(a, b):
    for v, w in zip(a.coefs_ + a.intercepts_, b.coefs_ + b.intercepts_, strict=True):
        np.testing.assert_array_equal(v, w)


def layers(mlp):
    return [type(layer).__name__ for layer in mlp.network_.layers]


# -- layers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*nn.ACTIVATIONS, "prelu", "rrelu", "sine"])
def test_every_activation(name):
    if name == "threshold":  # its parameters have no defaults
        name = nn.Threshold(0.0, 0.0)
    mlp = classifier(activation=name)
    assert mlp.loss_curve_[-1] < mlp.loss_curve_[0]


def test_activation_of_each_layer():
    mlp = classifier(activation=["mish", nn.LeakyReLU(0.1)])
    assert layers(mlp) == ["Dense", "Mish", "Dense", "LeakyReLU", "Dense"]
    assert_equal(
        classifier(activation=["logistic", "logistic"]), classifier(activation="logistic")
    )
    assert_same(*(
        m.set_params(activation=a).fit(X, LABELS)
        for m, a in zip(fitted("classes", max_iter=2), (["tanh"] * 2, "tanh"), strict=True)
    ), 1e-7)  # fmt: skip


@pytest.mark.parametrize("rate", [0.5, [0.0, 0.5]])
def test_dropout(rate):
    mlp, without = classifier(dropout=rate), classifier()
    assert np.abs(mlp.coefs_[0] - without.coefs_[0]).max() > 1e-3
    assert "Dropout" in layers(mlp)
    assert_equal(mlp, classifier(dropout=rate))  # the same seed, the same masks
    np.testing.assert_array_equal(mlp.predict_proba(X), mlp.predict_proba(X))
    assert_equal(classifier(dropout=0.0), without)


@pytest.mark.parametrize(("name", "layer"), [("batch", "BatchNorm"), ("layer", "LayerNorm")])
def test_normalization(name, layer):
    mlp = classifier(normalization=name, max_iter=20, learning_rate_init=0.01)
    assert layers(mlp) == ["Dense", layer, "ReLU", "Dense", layer, "ReLU", "Dense"]
    assert mlp.score(X, LABELS) > 0.9


def test_batch_normalization_joins_a_last_row_to_the_minibatch_before():
    data, y = X[:65], LABELS[:65]
    mlp = classifier(y, data, normalization="batch", batch_size=32)
    assert np.isfinite(mlp.loss_)
    with pytest.raises(ValueError, match=r"batch_size must be at least 2 with nn\.BatchNorm"):
        classifier(normalization="batch", batch_size=1)
    with pytest.raises(ValueError, match="normalization must not be 'batch' with L-BFGS"):
        classifier(normalization="batch", solver="lbfgs")


def test_residual():
    mlp = classifier(hidden_layer_sizes=(16, 16, 8), residual=True, max_iter=30)
    assert layers(mlp) == ["Dense", "ReLU", "Residual", "Residual", "Dense"]
    assert [w.shape for w in mlp.coefs_] == [(64, 16), (16, 16), (16, 8), (8, 4)]
    assert mlp.n_layers_ == 5
    assert mlp.network_.state_dict()["3.projection.weight"].shape == (8, 16)
    assert mlp.loss_curve_[-1] < mlp.loss_curve_[0]


def test_sparse_input_of_all_layers():
    parameters = {
        "normalization": "batch", "dropout": 0.1, "residual": True, "activation": ["elu", "prelu"],
    }  # fmt: skip
    dense, sparse = (classifier(X=MATRICES[name](X), **parameters) for name in ("dense", "csr"))
    np.testing.assert_allclose(dense.coefs_[0], sparse.coefs_[0], atol=1e-9)
    np.testing.assert_allclose(dense.predict_proba(X), sparse.predict_proba(MATRICES["csc"](X)))


def test_weight_init():
    mlp = MLPClassifier((200,), weight_init="he_normal", random_state=0, max_iter=1, alpha=0,
                        learning_rate_init=1e-12).fit(X, LABELS)  # fmt: skip
    assert mlp.coefs_[0].std() == pytest.approx(np.sqrt(2 / 64), rel=0.05)
    np.testing.assert_allclose(mlp.intercepts_[0], 0, atol=1e-9)
    flat = classifier(weight_init=nn.Constant(0.5), learning_rate_init=1e-12)
    np.testing.assert_allclose(flat.coefs_[1], 0.5)


# -- training -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["adam", "adamw", "lion", "nadam", "rmsprop", "sgd"])
def test_optimizer_by_name_takes_the_learning_rate(name):
    mlp = classifier(optimizer=name, learning_rate_init=0.003, solver="lbfgs")
    assert mlp.network_.optimizer.lr == 0.003
    assert len(mlp.loss_curve_) == 5
    assert mlp.loss_curve_[-1] < mlp.loss_curve_[0]


def test_optimizer_overrides_the_solver():
    parameters = {"solver": "sgd", "learning_rate": "invscaling"}
    mlp = classifier(optimizer=nn.SGD(0.1, momentum=0.5), **parameters)
    assert mlp.network_.optimizer == nn.SGD(0.1, momentum=0.5)
    plain = classifier(
        solver="sgd", momentum=0.5, learning_rate_init=0.1, nesterovs_momentum=False
    )
    np.testing.assert_allclose(mlp.coefs_[0], plain.coefs_[0], atol=1e-12)
    for optimizer in ("lbfgs", nn.LBFGS(max_iter=7)):
        mlp = classifier(optimizer=optimizer, max_iter=7)
        assert not hasattr(mlp, "loss_curve_")
        assert not hasattr(mlp, "partial_fit")
        assert mlp.n_iter_ == 7


def test_schedule_overrides_the_learning_rate():
    times = []
    constant = classifier(schedule=lambda time: times.append(time) or 0.5, max_iter=2)
    assert_equal(constant, classifier(learning_rate_init=0.0005, max_iter=2))
    np.testing.assert_allclose(times, [0, 0.5, 1, 1.5])
    inverse = classifier(schedule=nn.ConstantRate(), solver="sgd", learning_rate="invscaling")
    assert_equal(inverse, classifier(solver="sgd"))
    falling = classifier(
        schedule=nn.ReduceOnPlateau(patience=1, threshold=10.0, threshold_mode="abs"), max_iter=6
    )
    assert falling.loss_curve_[-1] > classifier(max_iter=6).loss_curve_[-1]


def test_clip_norm():
    first = classifier(learning_rate_init=1e-12, solver="sgd")
    step = {"solver": "sgd", "momentum": 0, "learning_rate_init": 1.0, "batch_size": 300,
            "max_iter": 1}  # fmt: skip
    clipped, free = classifier(clip_norm=0.01, **step), classifier(**step)
    sizes = [
        np.sqrt(sum(((a - b) ** 2).sum() for a, b in zip(
            each.coefs_ + each.intercepts_, first.coefs_ + first.intercepts_, strict=True
        ))) for each in (clipped, free)
    ]  # fmt: skip
    assert sizes[0] == pytest.approx(0.01, rel=1e-3)
    assert sizes[1] > 0.1
    object_with_its_own = classifier(
        optimizer=nn.SGD(1.0, clip_norm=0.01), batch_size=300, max_iter=1
    )
    np.testing.assert_allclose(object_with_its_own.coefs_[0], clipped.coefs_[0], atol=1e-12)


def test_class_weight():
    count = np.bincount(TWO)
    by_hand = np.where(TWO, 300 / 2 / count[1], 300 / 2 / count[0])
    assert_equal(classifier(TWO, class_weight="balanced"), classifier(TWO, sample_weight=by_hand))
    both = classifier(TWO, class_weight={1: 3.0}, sample_weight=WEIGHT)
    assert_equal(both, classifier(TWO, sample_weight=WEIGHT * np.where(TWO, 3, 1)))
    with pytest.raises(ValueError, match="class_weight='balanced' needs all of y"):
        MLPClassifier(class_weight="balanced").partial_fit(X, TWO, classes=[0, 1])
    MLPClassifier(class_weight={0: 2, 1: 3}).partial_fit(X, TWO, classes=[0, 1])


def test_dtype():
    assert classifier(dtype="float32").coefs_[0].dtype == np.float32
    assert classifier(X=X.astype("float32"), dtype=np.float64).coefs_[0].dtype == np.float64
    assert_equal(classifier(dtype="float32"), classifier(X=X.astype("float32")))


def test_n_threads():
    before = relume.get_num_threads()
    seen = []
    mlp = classifier(
        n_threads=3, callbacks=[lambda net, epoch, figures: seen.append(relume.get_num_threads())]
    )
    assert set(seen) == {3}
    assert relume.get_num_threads() == before
    assert_equal(mlp, classifier(n_threads=1))


# -- losses ---------------------------------------------------------------------------------------


def test_losses_of_classes():
    assert_equal(classifier(loss="cross_entropy"), classifier())
    two = classifier(TWO, loss="cross_entropy")
    assert (two.n_outputs_, two.out_activation_) == (2, "softmax")
    assert two.predict_proba(X).shape == (300, 2)
    assert two.score(X, TWO) > 0.4
    assert_equal(classifier(TWO, loss="binary_cross_entropy"), classifier(TWO))
    smooth = classifier(loss=nn.CrossEntropy(label_smoothing=0.5), max_iter=30)
    assert smooth.predict_proba(X).max() < classifier(max_iter=30).predict_proba(X).max()
    wary = classifier(TWO, loss=nn.BinaryCrossEntropy(pos_weight=50.0), max_iter=30)
    assert wary.predict(X).mean() > 0.9


def test_losses_of_values():
    high, low = (regressor(loss=nn.Quantile(q), max_iter=100) for q in (0.9, 0.1))
    assert (high.predict(X) > low.predict(X)).mean() > 0.9
    assert_equal(regressor(loss="absolute_error"), regressor(loss=nn.MAE()))
    for name in ("mse", "mae", "huber", "quantile", "poisson"):
        mlp = regressor("counts", loss=name, max_iter=20)
        assert mlp.loss_curve_[-1] < mlp.loss_curve_[0]
    assert regressor("counts", loss=nn.Poisson()).out_activation_ == "exp"
    assert (regressor("counts", loss=nn.Poisson()).predict(X) > 0).all()


def test_a_loss_in_python():
    def halves(y, z):
        return np.mean((z - y) ** 2) / 2, (z - y) / len(y)

    ours, plain = regressor(loss=halves), regressor()
    np.testing.assert_allclose(ours.coefs_[0], plain.coefs_[0], atol=1e-9)
    np.testing.assert_allclose(ours.loss_curve_, plain.loss_curve_)
    with pytest.raises(ValueError, match=r"the gradient of .* must have the shape"):
        regressor(loss=lambda y, z: (0.0, np.zeros(3)))


# -- validation, callbacks ------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["classes", "two classes", "labels", "counts", "outputs"])
def test_validation_data(target):
    """The figures of rows that are given; without early stopping there is no score."""
    y, (ours, _) = TARGETS[target], fitted(target, max_iter=4)
    held_out, _ = fitted(target, max_iter=4, early_stopping=True)
    assert len(held_out.validation_loss_curve_) == len(held_out.validation_scores_) == 4
    given = {"X_val": X[200:], "y_val": y[200:]}
    ours.fit(X[:200], y[:200], **given)
    assert ours.validation_scores_ is None
    losses = ours.validation_loss_curve_
    assert len(losses) == 4
    ours.set_params(early_stopping=True).fit(X[:200], y[:200], **given)
    np.testing.assert_array_equal(ours.validation_loss_curve_, losses)
    assert ours.best_validation_score_ == ours.score(X[200:], y[200:])


def test_validation_loss_is_the_training_loss_of_the_same_rows():
    for target in ("classes", "two classes", "labels", "values", "outputs", "columns of counts"):
        ours, _ = fitted(target, max_iter=1, batch_size=300, alpha=0)
        ours.fit(X, TARGETS[target], X_val=X, y_val=TARGETS[target])
        after = ours.validation_loss_curve_[0]
        ours.partial_fit(X, TARGETS[target])
        assert ours.loss_ == pytest.approx(after, rel=1e-9)


def test_bad_validation_data():
    mlp = MLPClassifier(max_iter=2)
    with pytest.raises(ValueError, match="X_val and y_val must be given together"):
        mlp.fit(X, LABELS, X_val=X)
    with pytest.raises(ValueError, match=r"`y` has classes not in `self\.classes_`"):
        mlp.fit(X, LABELS, X_val=X, y_val=LABELS + 1)
    with pytest.raises(ValueError, match="X has 3 features, but MLPClassifier is expecting 64"):
        mlp.fit(X, LABELS, X_val=X[:, :3], y_val=LABELS)
    with pytest.raises(ValueError, match="y_val must have 1 outputs, got 2"):
        MLPRegressor().fit(X, LABELS, X_val=X, y_val=X[:, :2])


def test_callbacks():
    seen = []

    class Watch(nn.Callback):
        def on_fit_begin(self, net):
            seen.append("begin")

        def on_batch_end(self, net, batch, loss):
            seen.append(batch)

        def on_fit_end(self, net):
            seen.append("end")

    mlp = classifier(callbacks=[Watch()], batch_size=150, max_iter=2)
    assert seen == ["begin", 1, 2, 1, 2, "end"]
    plain = classifier(batch_size=150, max_iter=2)
    np.testing.assert_allclose(mlp.coefs_[0], plain.coefs_[0], atol=1e-12)
    figures = []
    classifier(callbacks=[lambda net, epoch, f: figures.append(f) or epoch == 3],
               early_stopping=True)  # fmt: skip
    assert len(figures) == 3
    assert set(figures[0]) == {"loss", "val_loss", "val_accuracy"}


def test_early_stopping_as_a_callback_restores_the_best():
    stopping = nn.EarlyStopping("val_loss", patience=2)
    mlp = MLPClassifier(random_state=0, callbacks=[stopping], learning_rate_init=0.1)
    mlp.fit(X[:50], LABELS[:50], X_val=X[50:], y_val=LABELS[50:])
    assert stopping.stopped_epoch is not None
    best = int(np.argmin(mlp.validation_loss_curve_)) + 1
    assert stopping.best_epoch == best
    again = MLPClassifier(random_state=0, learning_rate_init=0.1, max_iter=best)
    assert_equal(mlp, again.fit(X[:50], LABELS[:50]))


def test_terminate_on_nan_ends_a_fit_that_diverges():
    mlp = regressor(callbacks=[nn.TerminateOnNaN()], solver="sgd", learning_rate_init=1e30)
    assert np.isfinite(mlp.coefs_[0]).all()


@pytest.mark.parametrize(("name", "value", "text"), [
    ("activation", "rellu", "The 'activation' parameter of MLPClassifier must be a str among"),
    ("activation", ["relu"], "activation must have one entry for each of 2 hidden layers, got 1"),
    ("activation", "heaviside", "The 'activation' parameter"),
    ("activation", ["relu", "rellu"], "activation must be one of relu"),
    ("dropout", 1.0, "The 'dropout' parameter"),
    ("dropout", [0.1, 1.5], "dropout must be at least 0 and less than 1, got 1.5"),
    ("normalization", "bach", "The 'normalization' parameter"),
    ("residual", "yes", "The 'residual' parameter"),
    ("weight_init", "he", "The 'weight_init' parameter"),
    ("optimizer", "adamm", "The 'optimizer' parameter"),
    ("schedule", 0.5, "The 'schedule' parameter"),
    ("schedule", lambda time: -1, "schedule must return a number of at least 0, got -1"),
    ("class_weight", "fair", "The 'class_weight' parameter"),
    ("loss", "squared_error", "The 'loss' parameter of MLPClassifier must be"),
    ("loss", nn.MSE(), "loss must be one for classes"),
    ("loss", nn.BinaryCrossEntropy(), "needs two classes, or a multilabel y; got 4"),
    ("clip_norm", 0, "The 'clip_norm' parameter"),
    ("callbacks", 3, "The 'callbacks' parameter"),
    ("callbacks", [3], r"callbacks\[0\] must be a callback"),
    ("dtype", "float16", "The 'dtype' parameter"),
    ("n_threads", 0, "The 'n_threads' parameter"),
])  # fmt: skip
def test_bad_parameters(name, value, text):
    with pytest.raises((ValueError, TypeError), match=text):
        classifier(**{name: value})


def test_bad_losses():
    with pytest.raises(ValueError, match="one label a row, got a multilabel y"):
        classifier(TARGETS["labels"], loss="cross_entropy")
    with pytest.raises(ValueError, match="loss must be one for values"):
        regressor(loss=nn.CrossEntropy())
    with pytest.raises(ValueError, match="loss must give one value for each column of y"):
        regressor(loss=nn.Quantile([0.1, 0.9]))
    with pytest.raises(ValueError, match="go on from the network that there is"):
        classifier(warm_start=True).set_params(normalization="layer").fit(X, LABELS)
