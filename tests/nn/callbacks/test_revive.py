"""Revival: dead units get a new life, and the outputs keep their bits at that moment."""

import copy
import pickle

import numpy as np
import pytest

from relume import diagnostics, nn
from tests.support.ill_networks import DIGITS, changed, digits_net

X, Y, X_TEST, Y_TEST = DIGITS


def kill(name, value):
    if name in ("0.bias", "2.bias"):
        value[::3] = -100


def sick(**options):
    net = changed(digits_net(sizes=(64, 32), epochs=2, seed=0, **options), kill)
    net.fit(X, Y)  # so that the optimizer has a state
    return net


@pytest.mark.parametrize("how", ["reinit", "bias", "leaky"])
def test_outputs_keep_their_bits(how):
    net = sick()
    before, dead = net.forward(X), diagnostics.inspect(net, X)
    revived = diagnostics.revive(net, X, how=how)
    assert revived == {layer.name: layer.dead_units for layer in dead.layers[:2]}
    assert set(range(0, 64, 3)) <= set(revived["layer 1"])
    np.testing.assert_array_equal(net.forward(X), before)
    report = diagnostics.inspect(net, X)
    still = set(report.layers[0].dead_units) & set(revived["layer 1"])
    assert not still
    state = net.state_dict()
    outgoing = [name for name in state if name.endswith("weight") and state[name].ndim == 2][1:]
    # Units of the next layer that were revived as well have new weights, which nobody reads yet.
    for name, units, new in zip(outgoing, revived.values(), [revived["layer 2"], []], strict=True):
        assert (np.delete(state[name], new, axis=0)[:, units] == 0).all()


FIRST_STEPS = [
    nn.Adam(1e-3), nn.Adam(1e-3, amsgrad=True), nn.AdamW(1e-3), nn.NAdam(1e-3), nn.Lion(1e-3),
    nn.RMSprop(1e-3, momentum=0.5), nn.RMSprop(1e-3, centered=True),
    nn.SGD(0.1, momentum=0.9, dampening=0.5),
]  # fmt: skip


@pytest.mark.parametrize("saved", [False, True])
@pytest.mark.parametrize("how", ["reinit", "leaky"])
@pytest.mark.parametrize("optimizer", FIRST_STEPS, ids=repr)
def test_first_step_of_revived_units_is_that_of_a_new_optimizer(optimizer, how, saved, tmp_path):
    """Their moments were 0, and corrected for the steps that the optimizer had made before."""
    net = sick(optimizer=optimizer)
    units = diagnostics.revive(net, X, layers=["layer 1"], how=how)["layer 1"]
    if saved:
        net.save(tmp_path / "net.safetensors")
        net = nn.load(tmp_path / "net.safetensors")
    # The weights out of a unit are 0 at first, so what is before it has gradients from the second
    # step on.
    picks = [{"2.weight": np.s_[:, units]}, {"0.weight": np.s_[units], "0.bias": np.s_[units]}]
    if how == "leaky":
        picks = [{}, {"1.weight": np.s_[units]}]
    for step in picks:
        new = copy.copy(net)
        new.optimizer = copy.copy(optimizer)  # without the state of the other
        before = net.state_dict()
        for each in (net, new):
            each.train_on_batch(X[:200], Y[:200])
        after, first = net.state_dict(), new.state_dict()
        for name, pick in step.items():
            moved, expected = (state[name][pick] - before[name][pick] for state in (after, first))
            assert np.abs(expected).max() > 0
            tolerance = 1e-3 * np.abs(expected).max()
            np.testing.assert_allclose(moved, expected, rtol=0, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("how", ["reinit", "bias"])
@pytest.mark.parametrize("seed", range(6))
def test_each_revived_unit_is_active_on_some_row(how, seed):
    """Drawn weights can be those of a unit that is dead on the same rows again."""
    net = nn.Network(
        [nn.Dense(96, "relu"), nn.Dense(48, "relu", bias_init=-0.5), nn.Dense(10)], seed=seed
    ).build(64)
    changed(net, kill)
    before = net.forward(X)
    revived = diagnostics.revive(net, X, how=how, seed=seed)
    np.testing.assert_array_equal(net.forward(X), before)
    state = net.state_dict()
    hidden = np.maximum(X @ state["0.weight"].T + state["0.bias"], 0)
    assert (hidden[:, revived["layer 1"]] > 0).any(axis=0).all()
    hidden = np.maximum(hidden @ state["2.weight"].T + state["2.bias"], 0)
    assert len(revived["layer 2"]) >= 16
    assert (hidden[:, revived["layer 2"]] > 0).any(axis=0).all()


def test_a_unit_whose_inputs_are_zero_is_woken_by_its_bias():
    net = nn.Network([nn.Dense(4, "relu"), nn.Dense(2)], seed=0).build(3)
    zeros = np.zeros((5, 3))
    assert diagnostics.revive(net, zeros) == {"layer 1": [0, 1, 2, 3]}
    assert (net.state_dict()["0.bias"] > 0).all()


def test_a_unit_that_cannot_be_woken_is_not_named():
    net = nn.Network([nn.Dense(4, "relu", use_bias=False), nn.Dense(2)], seed=0).build(3)
    assert diagnostics.revive(net, np.zeros((5, 3))) == {}


@pytest.mark.parametrize("bias", [0.0, -3.0])
def test_units_revived_without_rows_have_a_positive_mean(bias):
    """Without X the callback knows the mean inputs of the epoch: new weights go by them."""
    net = nn.Network(
        [nn.Dense(64, "relu", bias_init=bias), nn.Dense(10)], optimizer=nn.SGD(1e-9), seed=1
    ).build(64)
    changed(net, lambda name, value: value.fill(-100) if name == "0.bias" else None)
    revive = nn.Revive()
    net.fit(X, Y, epochs=1, callbacks=[revive])
    assert revive.revived[0]["layer 1"] == list(range(64))
    state = net.state_dict()
    assert ((X @ state["0.weight"].T + state["0.bias"]).mean(axis=0) > 0).all()


@pytest.mark.parametrize("how", ["reinit", "bias"])
def test_optimizer_state_of_revived_units_is_cleared(how):
    net = sick(optimizer=nn.Adam(1e-3, ema_decay=0.9))
    weights = net._weights
    revived = diagnostics.revive(net, X, how=how)
    units = revived["layer 1"]
    # A root of the second moment below 0 marks weights whose next step is a first one.
    for state, cleared in zip(weights.optimizer_state, [0, -1], strict=True):
        named = weights.named(state)
        assert (named["0.weight"][units] == cleared).all()
        assert (named["0.bias"][units] == cleared).all()
        assert (named["2.weight"][:, units] == cleared).all()
        assert named["0.weight"].any()
        assert named["4.bias"].any()
    mean, now = weights.named(weights.average), weights.named(weights.parameters)
    np.testing.assert_array_equal(mean["0.weight"][units], now["0.weight"][units])
    assert not np.array_equal(mean["4.weight"], now["4.weight"])


def test_revived_units_learn_again():
    net = sick()
    units = diagnostics.revive(net, X)["layer 1"]
    net.fit(X, Y, epochs=5)
    report = diagnostics.inspect(net, X)
    assert len(set(units) & set(report.layers[0].dead_units)) < 0.2 * len(units)
    assert np.abs(net.state_dict()["2.weight"][:, units]).max() > 0


def test_leaky_network_is_saved_copied_and_pickled(tmp_path):
    net = sick()
    diagnostics.revive(net, X, how="leaky")
    assert isinstance(net.layers[0].activation, nn.PReLU)
    slopes = net.state_dict()["1.weight"]
    assert set(np.unique(slopes).round(3)) == {0, np.float32(0.01)}
    net.save(tmp_path / "m.safetensors")
    loaded = nn.load(tmp_path / "m.safetensors")
    for other in (loaded, copy.copy(net), pickle.loads(pickle.dumps(net))):
        np.testing.assert_array_equal(other.forward(X), net.forward(X))
        other.fit(X, Y)
    net.fit(X, Y)
    np.testing.assert_array_equal(loaded.forward(X), net.forward(X))


@pytest.mark.parametrize("how", ["reinit", "leaky"])
def test_callback_with_the_advised_rate_cures_without_a_restart(how):
    """The mean of four seeds, since one of them scatters by 0.01."""
    before, after = [], []
    for seed in range(4):
        net = digits_net(sizes=(256, 128), epochs=5, optimizer=nn.Adam(0.1), seed=seed)
        before.append(net.evaluate(X_TEST, Y_TEST)["accuracy"])
        revive = nn.Revive(every=3, how=how, lr="advised")
        net.fit(X, Y, epochs=20, callbacks=[revive])
        assert revive.revived[0]["epoch"] == 6
        assert len(revive.revived[0]["layer 1"]) > 100
        assert net.optimizer.lr == 0.01
        after.append(net.evaluate(X_TEST, Y_TEST)["accuracy"])
    assert max(before) < 0.9
    assert np.mean(after) > 0.95


def test_callback_goes_by_rows_that_are_given():
    net = sick()
    revive = nn.Revive(every=1, how="bias", X=X)
    net.fit(X, Y, epochs=2, callbacks=[revive])
    assert set(range(0, 64, 3)) <= set(revive.revived[0]["layer 1"])


def test_threshold_takes_dormant_units():
    net = digits_net(seed=0)
    values = np.maximum(X @ net.state_dict()["0.weight"].T + net.state_dict()["0.bias"], 0)
    score = values.mean(axis=0) / values.mean()
    revived = diagnostics.revive(net, X, threshold=0.3, layers=["layer 1"])
    assert revived["layer 1"] == np.flatnonzero(score <= 0.3).tolist()


@pytest.mark.parametrize(
    ("layers", "text"),
    [
        ([nn.Dense(8, "relu"), nn.BatchNorm(), nn.Dense(10)], r"normalized by BatchNorm"),
        ([nn.Dense(8, "relu"), nn.Dropout(0.1), nn.LayerNorm(), nn.Dense(10)], "by LayerNorm"),
        ([nn.Dense(8, "relu"), nn.Scale(), nn.GroupNorm(2), nn.Dense(10)], "by GroupNorm"),
        ([nn.Dense(8), nn.LayerNorm(), nn.ReLU(), nn.Dense(10)], "come from LayerNorm"),
        ([nn.Dense(8), nn.Residual([nn.Dense(8, "relu")]), nn.Dense(10)], "added to a shortcut"),
        ([nn.Dense(8, "relu"), nn.Residual([nn.Dense(8)]), nn.Dense(10)], "added to a shortcut"),
    ],
)
def test_a_layer_whose_structure_forbids_it_is_refused_by_name(layers, text):
    net = nn.Network(layers, seed=0).build(64)
    with pytest.raises(ValueError, match=rf"^layer \d.*cannot be revived.*{text}"):
        diagnostics.revive(net, X)
    with pytest.raises(ValueError, match=r"cannot be revived"):
        net.fit(X, Y, callbacks=[nn.Revive()])


def test_layers_that_allow_it_may_be_named():
    net = nn.Network(
        [nn.Dense(32, "relu"), nn.Dense(8, "relu"), nn.BatchNorm(), nn.Dense(10)], seed=0
    ).build(64)
    changed(net, kill)
    before = net.forward(X)
    assert set(diagnostics.revive(net, X, layers=["layer 1"])) == {"layer 1"}
    np.testing.assert_array_equal(net.forward(X), before)


@pytest.mark.parametrize(
    "between", [nn.Scale(), nn.ActivityL1(), nn.Dropout(0.1), nn.Tanh()], ids=repr
)
def test_layers_between_that_take_each_unit_for_itself(between):
    """Where no unit meets another before the next Dense, its weights can be 0."""
    net = nn.Network([nn.Dense(32, "relu"), between, nn.Dense(10)], seed=0).build(64)
    changed(net, kill)
    before = net.forward(X)
    assert diagnostics.revive(net, X)["layer 1"]
    np.testing.assert_array_equal(net.forward(X), before)


def test_bad_arguments_are_named():
    net = digits_net(seed=0)
    cases = [
        (ValueError, "every must be", lambda: nn.Revive(every=0)),
        (ValueError, "threshold must be", lambda: nn.Revive(threshold=-1)),
        (ValueError, "how must be", lambda: nn.Revive(how="kiss")),
        (ValueError, "X must be given", lambda: nn.Revive(how="bias")),
        (ValueError, "lr must be", lambda: nn.Revive(lr=-1.0)),
        (TypeError, "net must be", lambda: diagnostics.revive(object(), X)),
        (ValueError, "a name in layers", lambda: diagnostics.revive(net, X, layers=["layer 9"])),
        (ValueError, "X must have 64", lambda: diagnostics.revive(net, X[:, :3])),
        (ValueError, "not be empty", lambda: diagnostics.revive(net, X[:0])),
    ]
    for error, text, call in cases:
        with pytest.raises(error, match=text):
            call()
