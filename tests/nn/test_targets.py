"""Targets: their scale, learned and kept by the network, and the shape they were given in."""

import copy
import pickle

import numpy as np
import pytest
from sklearn.exceptions import DataConversionWarning

from relume import nn

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 4)).astype("float32")
SIGNAL = X[:, 0] + X[:, 1] * X[:, 2]
FAR = SIGNAL.astype(np.float64) * 50 + 1.7e9  # such as a Unix time, of which float32 has no digits
LOSSES = ["mse", "mae", "huber", nn.Quantile(0.3)]


def network(loss="mse", outputs=1, **options):
    options = {"optimizer": nn.Adam(0.01), "seed": 0, "scale_targets": True} | options
    return nn.Network([nn.Dense(16, "tanh"), nn.Dense(outputs)], loss=loss, **options)


def trained(y=FAR, **options):
    net = network(outputs=1 if y.ndim == 1 else y.shape[1], **options)
    net.fit(X, y, epochs=5)
    return net


# -- scale_targets --------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_scaled_targets_are_trained_on_as_targets_scaled_by_hand(loss, dtype):
    """The same bits as with (y - mean) / std as targets, and predictions in the units of y."""
    y = np.column_stack([FAR, SIGNAL * 1e-3])
    mean, std = y.mean(axis=0), y.std(axis=0)
    net, plain = (network(loss, 2, scale_targets=s, dtype=dtype) for s in (True, False))
    history = net.fit(X, y, epochs=3)
    by_hand = plain.fit(X, (y - mean) / std, epochs=3)
    np.testing.assert_allclose(history["loss"], by_hand["loss"], rtol=1e-5)
    state = net.state_dict()
    np.testing.assert_allclose(state["targets.mean"], mean, rtol=1e-13)
    np.testing.assert_allclose(state["targets.scale"], std, rtol=1e-9)
    want = plain.predict(X).astype(np.float64) * std + mean
    np.testing.assert_allclose(net.predict(X) - mean, want - mean, rtol=1e-3, atol=1e-3 * std[1])
    np.testing.assert_allclose(net.forward(X), plain.forward(X), rtol=1e-3, atol=1e-4)


def test_predictions_keep_the_digits_of_the_target():
    net = network(metrics=["r2", "mae"])
    net.fit(X, FAR, epochs=60)
    predicted = net.predict(X)
    assert predicted.dtype == np.float64
    errors = np.abs(predicted - FAR)
    assert errors.mean() < 20  # float32 has steps of 128 there
    logs = net.evaluate(X, FAR)
    assert logs["mae"] == pytest.approx(errors.mean(), rel=1e-4)
    unexplained = np.square(errors).sum() / np.square(FAR - FAR.mean()).sum()
    assert logs["r2"] == pytest.approx(1 - unexplained)
    z = net.forward(X).ravel().astype(np.float64)
    scaled = (FAR - FAR.mean()) / FAR.std()
    assert logs["loss"] == pytest.approx(np.square(z - scaled).mean(), rel=1e-4)


def test_the_scale_is_that_of_the_rows_trained_on_by_their_weights():
    weight = RNG.integers(0, 3, len(X)).astype(float)
    net = network()
    net.fit(X, FAR, sample_weight=weight, validation_split=0.25)
    y, w = FAR[:225], weight[:225]
    mean = np.average(y, weights=w)
    state = net.state_dict()
    assert state["targets.mean"] == pytest.approx(mean, rel=1e-14)
    assert state["targets.scale"] == pytest.approx(
        np.sqrt(np.average((y - mean) ** 2, weights=w)), rel=1e-9
    )


def test_validation_and_training_loss_have_the_same_units():
    net = network()
    history = net.fit(X, FAR, epochs=30, validation_data=(X, FAR))
    assert history["val_loss"][-1] == pytest.approx(history["loss"][-1], rel=0.5)
    assert history["val_loss"][-1] == pytest.approx(net.evaluate(X, FAR)["loss"])


def test_it_is_learned_once():
    net = trained()
    before = net.state_dict()["targets.mean"]
    net.fit(X, FAR + 1e6)
    net.train_on_batch(X[:8], FAR[:8] * 2)
    assert net.state_dict()["targets.mean"] == before


def test_a_first_minibatch_teaches_it_too():
    net = network()
    net.train_on_batch(X[:50], FAR[:50])
    assert net.state_dict()["targets.mean"] == pytest.approx(FAR[:50].mean(), rel=1e-14)


@pytest.mark.parametrize("value", [0.0, 7.0, 1.7e9 + 0.3, -1e300])
def test_a_constant_target_has_the_scale_1(value):
    net = trained(np.full(len(X), value))
    assert net.state_dict()["targets.scale"] == 1
    assert net.predict(X).mean() == pytest.approx(value, abs=1)


@pytest.mark.parametrize("factor", [1e-300, 1e300])
def test_squares_of_the_target_may_be_out_of_range(factor):
    spread = float(SIGNAL.std())
    y = SIGNAL.astype(np.float64) * factor
    net = trained(y)
    assert net.state_dict()["targets.scale"] == pytest.approx(spread * factor, rel=1e-6)
    assert np.isfinite(net.predict(X)).all()


@pytest.mark.parametrize("way", ["copy", "pickle", "file", "state", "snapshot", "averaged"])
def test_it_goes_where_the_network_goes(way, tmp_path):
    net = trained(optimizer=nn.Adam(0.01, ema_decay=0.5))
    want = net.predict(X)
    if way == "copy":
        other = copy.copy(net)
    elif way == "pickle":
        other = pickle.loads(pickle.dumps(net))
    elif way == "file":
        net.save(tmp_path / "net")
        other = nn.load(tmp_path / "net")
        assert other.scale_targets
        other.fit(X, FAR)
        net.fit(X, FAR)
        want = net.predict(X)
    elif way == "state":
        other = network(seed=1)
        other.load_state_dict(net.state_dict())
    elif way == "snapshot":
        other = network(seed=1)
        other.restore(net.snapshot())
    else:
        other = net.averaged()
        np.testing.assert_allclose(other.predict(X), want, atol=3 * FAR.std())
        return
    np.testing.assert_array_equal(other.predict(X), want)


def test_going_back_to_before_the_first_fit_forgets_it():
    net = network().build(4)
    before = net.snapshot()
    net.fit(X, FAR)
    net.restore(before)
    assert net.state_dict()["targets.mean"] == 0
    net.fit(X, SIGNAL)
    assert net.state_dict()["targets.mean"] == pytest.approx(SIGNAL.astype(float).mean())


@pytest.mark.parametrize("method", ["fit", "train_on_batch"])
def test_a_fit_that_fails_leaves_nothing(method):
    net, bad = network(), X.copy()
    bad[5, 0] = np.nan
    with pytest.raises(ValueError, match="X must be finite"):
        getattr(net, method)(bad, FAR[:, None])
    net.fit(X, SIGNAL)
    assert net.state_dict()["targets.mean"] == pytest.approx(SIGNAL.astype(float).mean())
    assert net.predict(X).shape == (len(X),)


def test_lbfgs():
    net = network(optimizer=nn.LBFGS(max_iter=50), dtype="float64", metrics=["r2"])
    net.fit(X, FAR)
    assert net.evaluate(X, FAR)["r2"] > 0.9


def test_minibatches_of_an_iterable_need_a_scale():
    batches = [(X[i : i + 50], FAR[i : i + 50]) for i in range(0, 300, 50)]
    net = network()
    with pytest.raises(ValueError, match="scale_targets=True needs training targets as an array"):
        net.fit(batches)
    net.train_on_batch(X, FAR)
    other = copy.copy(net)
    net.fit(batches, epochs=2)
    other.fit(X, FAR, batch_size=50, shuffle=False, epochs=2)
    np.testing.assert_array_equal(net.predict(X), other.predict(X))


def test_a_loop_of_ones_own_works_on_scaled_targets():
    net = network()
    with pytest.raises(RuntimeError, match="call fit or train_on_batch first"):
        net.forward(X, training=True)
    net.train_on_batch(X, FAR)
    state = net.state_dict()
    scaled = (FAR - state["targets.mean"]) / state["targets.scale"]
    for _ in range(100):
        z = net.forward(X, training=True)
        net.backward(2 * (z - scaled[:, None].astype("float32")) / len(X))
        net.step()
    assert np.abs(net.predict(X) - FAR).mean() < 20


def test_compact_keeps_it():
    net = nn.Network([nn.Dense(64, "relu"), nn.Dense(1)], loss="mse", scale_targets=True, seed=0)
    net.fit(X, FAR)
    small, report = net.compact(X[:3])
    assert report.layers[0].left < 64
    np.testing.assert_allclose(small.predict(X[:3]), net.predict(X[:3]), atol=1e-3)
    small, report = net.compact(X)
    assert report.parameters == (sum(np.size(v) for k, v in net.state_dict().items()
                                     if not k.startswith("targets")),) * 2  # fmt: skip


def test_revived_units_keep_it():
    net = trained()
    net.layers[0].activation = "relu"
    state = net.state_dict()
    state["0.bias"][:4] = -100
    net.load_state_dict(state)
    net.fit(X, FAR, epochs=2, callbacks=[nn.Revive(every=1, how="leaky")])
    assert net.state_dict()["targets.mean"] == pytest.approx(FAR.mean(), rel=1e-14)


def test_onnx(tmp_path):
    ort = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    y = np.column_stack([FAR, SIGNAL])
    net = trained(y)
    net.to_onnx(tmp_path / "net.onnx")
    (found,) = ort.InferenceSession(tmp_path / "net.onnx").run(None, {"X": X})
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, net.predict(X), rtol=0, atol=1e-3)
    net.to_onnx(tmp_path / "raw.onnx", output="raw")
    (raw,) = ort.InferenceSession(tmp_path / "raw.onnx").run(None, {"X": X})
    np.testing.assert_allclose(raw, net.forward(X), rtol=1e-5, atol=1e-5)


def test_to_sklearn():
    net = trained(SIGNAL * 40 + 300, dtype="float64")
    mlp = net.to_sklearn()
    np.testing.assert_allclose(mlp.predict(X.astype(float)), net.predict(X), rtol=1e-10)


@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy", "poisson",
                                  lambda y, z: (0.0, 0 * z)])  # fmt: skip
def test_losses_whose_targets_have_a_meaning_refuse(loss):
    with pytest.raises(ValueError, match=r"scale_targets must be False .* 'mse'"):
        network(loss)
    net = network("mse")
    with pytest.raises(ValueError, match="scale_targets must be False"):
        net.loss = loss
    assert net.loss == nn.MSE()


def test_it_cannot_change_once_the_network_is_built():
    net = nn.Network([nn.Dense(1)], loss="mse")
    net.scale_targets = True
    net.build(4)
    net.scale_targets = True
    with pytest.raises(ValueError, match="scale_targets must stay True once"):
        net.scale_targets = False
    with pytest.raises(TypeError, match="scale_targets must be True or False"):
        network(scale_targets="yes")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"targets.mean": None}, "state lacks 'targets.mean'"),
        ({"targets.mean": [0.0, 0.0]}, r"targets.mean must have shape \(1,\)"),
        ({"targets.scale": [0.0]}, "targets.scale must hold positive values"),
        ({"targets.scale": [np.nan]}, "targets.scale must be finite"),
    ],
)
def test_bad_states_change_nothing(change, message):
    net = trained()
    want, state = net.predict(X), net.state_dict() | change
    state = {name: value for name, value in state.items() if value is not None}
    with pytest.raises(ValueError, match=message):
        net.load_state_dict(state)
    np.testing.assert_array_equal(net.predict(X), want)


def test_a_state_with_a_scale_needs_a_network_that_scales():
    with pytest.raises(ValueError, match="load it into such a network"):
        network(scale_targets=False).load_state_dict(trained().state_dict())


def test_a_callback_cannot_change_the_scale_within_a_fit():
    net, state = trained(), trained(SIGNAL).state_dict()
    with pytest.raises(RuntimeError, match="must stay as they are within a fit"):
        net.fit(X, FAR, epochs=3, callbacks=[lambda net, epoch, logs: net.load_state_dict(state)])


def test_a_callback_may_restore_the_same_scale():
    net = trained()
    saved = pickle.loads(pickle.dumps(net.snapshot()))
    net.fit(X, FAR, epochs=3, callbacks=[lambda net, epoch, logs: net.restore(saved)])
    assert net.predict(X).mean() == pytest.approx(FAR.mean(), rel=1e-6)


# -- the shape of y -------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [*LOSSES, "poisson", "binary_cross_entropy"], ids=str)
@pytest.mark.parametrize("how", ["fit", "train_on_batch", "iterable", "lbfgs"])
def test_predictions_have_the_shape_of_y(loss, how, tmp_path):
    y = (SIGNAL > 0).astype(np.float32)
    optimizer = nn.LBFGS(max_iter=2) if how == "lbfgs" else None
    net = network(loss, scale_targets=False, optimizer=optimizer)
    for given in (y[:, None], y, y[:, None].tolist()):
        if how == "train_on_batch":
            net.train_on_batch(X, given)
        elif how == "iterable":
            net.fit([(X, given)])
        else:
            net.fit(X, given)
        shape = np.shape(given)
        assert net.predict(X).shape == shape
        assert np.isfinite(net.evaluate(X, given)["loss"])
        net.save(tmp_path / "net")
        for other in (nn.load(tmp_path / "net"), copy.copy(net)):
            assert other.predict(X[:7]).shape == (7, *shape[1:])


def test_a_column_is_kept_by_onnx(tmp_path):
    ort = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    net = trained(SIGNAL[:, None], scale_targets=False)
    net.to_onnx(tmp_path / "net.onnx")
    (found,) = ort.InferenceSession(tmp_path / "net.onnx").run(None, {"X": X})
    np.testing.assert_allclose(found, net.predict(X), rtol=1e-5, atol=1e-5)


def test_estimators_predict_as_those_of_scikit_learn():
    from relume.sklearn import MLPRegressor

    mlp = MLPRegressor(hidden_layer_sizes=[4], max_iter=50, tol=10, random_state=0)
    with pytest.warns(DataConversionWarning):
        mlp.fit(X, SIGNAL[:, None])
    assert mlp.predict(X).shape == (len(X),)
