"""Networks as files: what is saved comes back, and training goes on as if it had never stopped."""

import copy
import json
import pickle
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from relume import nn
from relume.nn.configurable import Configurable
from relume.nn.layers.ops import parameters
from relume.nn.optimizers.scikit_learn import OF_SCIKIT_LEARN
from relume.nn.saving import serialize
from tests.support import networks
from tests.support import twin as plain
from tests.support.networks import EXAMPLES, OPTIMIZERS, SCHEDULES, all_layers, saved

X, Y = plain.data(70, 6, 3)
VALIDATION = plain.data(30, 6, 3, seed=2)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.safetensors"


def assert_trains_on_alike(net, other, path, epochs=2, message="", data=(X, Y)):
    """Both, trained on, end as the same file; so do their averages."""
    histories = [n.fit(*data, epochs=epochs, validation_data=data) for n in (net, other)]
    for key in histories[0]:
        if key not in ("seconds", "skipped"):  # times, and what was chosen by times
            assert histories[0][key] == histories[1][key], f"{message}: {key}"
    assert saved(net, path) == saved(other, path), message
    if getattr(net.optimizer, "ema_decay", None):
        plain.assert_same_bits(net.averaged(), other.averaged(), message)


# -- Objects --


def test_every_class_has_an_example():
    assert {type(example) for example in EXAMPLES} == set(serialize.CLASSES.values())
    public = {
        name: value
        for name, value in vars(nn).items()
        if isinstance(value, type)
        and issubclass(value, Configurable | nn.Activation)
        and value not in (nn.Activation, nn.Layer, nn.Loss, nn.Optimizer, nn.Schedule)
        and value not in (nn.Initializer, nn.PythonLoss)
    }
    of_estimators = {cls.__name__: cls for cls in OF_SCIKIT_LEARN.values()}
    assert public | of_estimators == serialize.CLASSES, "a class that files do not know"


@pytest.mark.parametrize("example", EXAMPLES, ids=repr)
def test_objects_come_back_from_json(example):
    text = json.dumps(serialize.to_config(example, "it"), allow_nan=False)
    back = serialize.from_config(json.loads(text), "it")
    assert type(back) is type(example)
    assert back == example
    assert repr(back) == repr(example)


@pytest.mark.parametrize("value", [float("inf"), -float("inf"), 5e-324, 0.1, -0.0, 2**70, "ä", []])
def test_values_come_back_from_json(value):
    text = json.dumps(serialize.to_config(value, "it"), allow_nan=False)
    assert repr(serialize.from_config(json.loads(text), "it")) == repr(value)


# -- Networks --


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("when", ["unbuilt", "built", "fitted", "stepped", "loaded"])
def test_all_layers_come_back(when, dtype, path):
    net = all_layers(dtype=dtype)
    if when != "unbuilt":
        net.build(6)
    if when == "fitted":
        net.fit(X, Y, epochs=3)
    elif when == "stepped":
        net.train_on_batch(X, Y)
    elif when == "loaded":
        net.load_state_dict(all_layers(seed=1).build(6).state_dict())
    file = saved(net, path)
    assert file == saved(net, path), "saving twice gives other bytes"
    other = nn.load(path)
    assert repr(other) == repr(net)
    assert saved(other, path) == file
    assert type(other) is nn.Network
    if when != "unbuilt":
        plain.assert_same_bits(net, other)
        np.testing.assert_array_equal(net.forward(X), other.forward(X))
    assert_trains_on_alike(net, other, path)


def test_a_loaded_network_is_a_copy(path):
    net = all_layers()
    net.fit(X, Y)
    before = saved(net, path)
    nn.load(path).fit(X, Y)
    assert saved(net, path) == before


@pytest.mark.parametrize("example", [e for e in EXAMPLES if isinstance(e, nn.Loss)], ids=repr)
def test_losses_come_back(example, path):
    net = nn.Network([nn.Dense(3)], loss=example, seed=0)
    data = X, networks.targets(example, len(X))
    net.fit(*data)
    net.save(path)
    other = nn.load(path)
    assert other.loss == example
    assert other.evaluate(*data) == net.evaluate(*data)
    assert_trains_on_alike(net, other, path, data=data)


@pytest.mark.parametrize("case", plain.CASES, ids=plain.case_id)
def test_activations_come_back(case, path):
    net = nn.Network([nn.Dense(4, plain.activation(case)), nn.Dense(3)], seed=0)
    net.fit(X, Y)
    net.save(path)
    assert_trains_on_alike(net, nn.load(path), path)


def test_metrics_come_back(path):
    net = nn.Network([nn.Dense(3)], seed=0, metrics=["f1", "balanced_accuracy"])
    net.fit(X, Y)
    net.save(path)
    assert nn.load(path).evaluate(X, Y) == net.evaluate(X, Y)
    assert set(nn.load(path, metrics=["log_loss"]).evaluate(X, Y)) == {"loss", "log_loss"}


def test_what_a_file_must_hold_is_what_a_network_has():
    """Names and shapes are known without a plan; what was built has them in the same order."""
    weights = all_layers().build(6)._weights
    named = weights.named(weights.parameters)
    expected = {name: view.shape for name, view in named.items()}
    found = {name: each.shape for name, each in parameters(weights.specs, 6).items()}
    assert found == expected
    assert list(found) == list(expected)


def test_parameters_have_the_names_of_state_dict(path):
    """So that any reader of safetensors finds them."""
    net = all_layers()
    net.fit(X, Y)
    net.save(path)
    safetensors = pytest.importorskip("safetensors.numpy")  # no wheel for free-threaded Python
    tensors = safetensors.load_file(path)
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(tensors[name], value)
        assert tensors[name].dtype == value.dtype


@pytest.mark.parametrize(
    "bits", ["PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64"], ids=lambda name: name
)
def test_random_generators_come_back(bits, path):
    rng = np.random.Generator(getattr(np.random, bits)(3))
    rng.integers(2, size=3, dtype=np.uint8)  # keeps a half-used number
    net = all_layers(seed=rng)
    net.fit(X, Y)
    net.save(path)
    other = nn.load(path)
    assert type(other._rng.bit_generator).__name__ == bits
    assert_trains_on_alike(net, other, path)


def test_a_changed_learning_rate_comes_back(path):
    net = all_layers()
    net.fit(X, Y, epochs=3, callbacks=[nn.LearningRateScheduler(lambda epoch, lr: lr / 3)])
    net.optimizer.lr = np.float32(net.optimizer.lr)
    net.save(path)
    assert nn.load(path).optimizer.lr == net.optimizer.lr


# -- Going on where it was --


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_resumed_with_every_optimizer(optimizer, dtype, path):
    whole, part = (all_layers(optimizer=optimizer, dtype=dtype) for _ in range(2))
    whole.fit(X, Y, epochs=7)
    part.fit(X, Y, epochs=3)
    part.save(path)
    resumed = nn.load(path)
    resumed.fit(X, Y, epochs=4)
    assert saved(whole, path) == saved(resumed, path)
    assert_trains_on_alike(whole, resumed, path, 1)


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
def test_resumed_with_every_schedule(schedule, path):
    whole, part = (all_layers(schedule=schedule) for _ in range(2))
    whole.fit(X, Y, epochs=10, validation_data=VALIDATION)
    part.fit(X, Y, epochs=4, validation_data=VALIDATION)
    part.save(path)
    resumed = nn.load(path)
    resumed.fit(X, Y, epochs=6, validation_data=VALIDATION)
    assert saved(whole, path) == saved(resumed, path)


def test_resumed_in_another_process(path):
    def network():
        return all_layers(schedule=nn.ReduceOnPlateau("loss", 0.7, 0, 0.01, warmup=1))

    whole, part = network(), network()
    whole.fit(X, Y, epochs=10, batch_size=16)
    part.fit(X, Y, epochs=4, batch_size=16)
    part.save(path)
    resume = """
        import sys
        from relume import nn
        from tests.support import twin
        X, Y = twin.data(70, 6, 3)
        net = nn.load(sys.argv[1])
        net.fit(X, Y, epochs=6, batch_size=16)
        net.save(sys.argv[1])
        """
    subprocess.run([sys.executable, "-c", textwrap.dedent(resume), path], check=True)
    resumed = path.read_bytes()
    assert saved(whole, path) == resumed


def test_resumed_by_a_loop_of_ones_own(path):
    def steps(net, n):
        for _ in range(n):
            net.backward(net.forward(X, training=True) / len(X))
            net.step()

    whole, part = all_layers(), all_layers()
    steps(whole, 5)
    steps(part, 2)
    part.save(path)
    resumed = nn.load(path)
    steps(resumed, 3)
    assert saved(whole, path) == saved(resumed, path)


def test_checkpoints_are_what_the_network_was(tmp_path):
    net, twin_net = all_layers(), all_layers()
    net.fit(X, Y, epochs=4, callbacks=[nn.ModelCheckpoint(tmp_path / "{epoch}.safetensors")])
    for epoch in range(1, 5):
        twin_net.fit(X, Y)
        checkpoint = (tmp_path / f"{epoch}.safetensors").read_bytes()
        assert checkpoint == saved(twin_net, tmp_path / "twin"), epoch
    resumed = nn.load(tmp_path / "2.safetensors")
    resumed.fit(X, Y, epochs=2)
    assert saved(resumed, tmp_path / "resumed") == saved(net, tmp_path / "net")


def test_the_best_checkpoint_is_the_best_epoch(path):
    net = all_layers(optimizer=nn.Adam(0.05))
    checkpoint = nn.ModelCheckpoint(path, save_best_only=True)
    history = net.fit(X, Y, epochs=15, validation_data=VALIDATION, callbacks=[checkpoint])
    best = nn.load(path)
    assert best.epoch == int(np.argmin(history["val_loss"])) + 1
    assert best.evaluate(*VALIDATION)["loss"] == min(history["val_loss"]) == checkpoint.best


# -- What is written in Python --


def absolute(y, z):
    d = z - y[:, None]
    return float(np.abs(d).mean()), np.sign(d) / d.size


def largest_error(y, predicted):
    return np.abs(y - predicted).max()


class Halving(nn.Schedule):
    """Halves the rate at each epoch's logs; its state has a number that JSON cannot hold."""

    def __init__(self):
        self.seen, self.worst = [], {"loss": float("-inf")}

    def __call__(self, epoch):
        return 0.5 ** len(self.seen)

    def factors(self, epoch, steps):
        return np.full(steps, self(epoch))

    def update(self, logs):
        self.seen.append(logs["loss"])

    def state(self):
        return {"seen": self.seen, "worst": self.worst}

    def set_state(self, state):
        self.seen, self.worst = state["seen"], state["worst"]


def test_functions_are_asked_for(path):
    def network():
        layers = [nn.Dense(4, "tanh"), nn.Dense(1)]
        return nn.Network(
            layers, loss=absolute, metrics=["mae", largest_error], schedule=Halving(), seed=0
        )

    net, whole = network(), network()
    values = X.sum(axis=1)
    net.fit(X, values, epochs=2)
    whole.fit(X, values, epochs=4)
    net.save(path)
    given = {"loss": absolute, "metrics": ["mae", largest_error], "schedule": Halving()}
    names = {"loss": "'absolute'", "metrics": "'largest_error'", "schedule": "'Halving'"}
    for name in given:
        others = {key: value for key, value in given.items() if key != name}
        words = [str(path), f"{name} must be given", rf"nn\.load\(path, {name}=", names[name]]
        plain.assert_raises(nn.ModelFileError, words, lambda o=others: nn.load(path, **o))
    resumed = nn.load(path, **given)
    assert resumed.schedule.worst == {"loss": float("-inf")}
    resumed.fit(X, values, epochs=2)
    assert saved(resumed, path) == saved(whole, path)
    assert resumed.evaluate(X, values) == whole.evaluate(X, values)


def test_what_is_given_replaces_what_the_file_says(path):
    net = nn.Network([nn.Dense(3)], seed=0, schedule=nn.ReduceOnPlateau("loss", patience=0))
    net.fit(X, Y, epochs=3)
    net.save(path)
    other = nn.load(path, "mse", metrics=[], schedule=nn.Cosine(3))
    assert (other.loss, other.metrics, other.schedule) == (nn.MSE(), (), nn.Cosine(3))


# -- Copies --


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "copied",
    [copy.copy, copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))],
    ids=["copy", "deepcopy", "pickle"],
)
def test_copies_of_all_layers_keep_the_bits(copied, dtype, path):
    net = all_layers(dtype=dtype, schedule=nn.ReduceOnPlateau("loss", 0.7, 0))
    net.fit(X, Y, epochs=3)
    file = saved(net, path)
    other = copied(net)
    assert saved(other, path) == file
    net.fit(X, Y)
    assert saved(other, path) == file, "training the original moved the copy"
    net = nn.load(path)
    assert_trains_on_alike(net, other, path)


# -- Summary --


def test_summary_counts_what_state_dict_holds():
    net = all_layers()
    assert net.summary().splitlines()[1].split()[-2:] == ["-", "-"]
    state = net.build(6).state_dict()
    statistics = ("running_mean", "running_var", "num_batches_tracked", "mean", "scale")
    learned = {k: v.size for k, v in state.items() if k.rpartition(".")[2] not in statistics}
    lines = net.summary().splitlines()
    assert lines[-2].split() == ["total", str(sum(learned.values()))]
    frozen = [size for key, size in learned.items() if key.startswith("8.")]
    assert len(frozen) == 2
    assert lines[-1].split() == ["trainable", str(sum(learned.values()) - sum(frozen))]
    counts = [int(line.split()[-1]) for line in lines[1:-2]]
    assert sum(counts) == sum(learned.values())
    assert len({len(line) for line in lines}) == 1
    assert "  Residual" in net.summary()
