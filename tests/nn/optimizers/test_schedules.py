"""Schedules: PyTorch's formulas written out by hand, closed forms, and fits with them."""

import copy
import json
import math
import pickle

import numpy as np
import pytest

from relume import nn
from relume.nn.optimizers.schedules import SCHEDULES
from tests.support import twin as plain

NAN, INF = float("nan"), float("inf")
MADE = [
    nn.ConstantRate(),
    nn.Step(3, 0.5),
    nn.Exponential(0.8),
    nn.Cosine(7, 0.1),
    nn.OneCycle(9, 0.4),
    nn.InverseScaling(0.3),
    nn.ReduceOnPlateau("val_accuracy", 0.5, 2),
]
by_schedule = pytest.mark.parametrize("schedule", MADE, ids=lambda s: type(s).__name__)


def network(schedule=None, optimizer=None, seed=0):
    return nn.Network(
        [nn.Dense(5, activation="tanh"), nn.Dense(3)],
        optimizer=optimizer or nn.SGD(0.1),
        seed=seed,
        schedule=schedule,
    )


# -- Formulas --


def test_every_schedule_is_made_here():
    assert {type(schedule) for schedule in MADE} == set(SCHEDULES.values())


def assert_close(schedule, formula, times):
    for time in times:
        assert schedule(time) == pytest.approx(formula(time), rel=1e-12, abs=1e-15), time


def test_constant():
    assert_close(nn.ConstantRate(), lambda t: 1, [0, 0.5, 1, 1000])


def test_step_is_torchs_step_lr():
    """StepLR multiplies by gamma whenever the epoch is a multiple of step_size."""
    lr, expected = 1.0, []
    for epoch in range(30):
        if epoch and epoch % 4 == 0:
            lr *= 0.3
        expected.append(lr)
    assert_close(nn.Step(4, 0.3), lambda t: expected[int(t)], np.arange(0, 30, 0.25))


def test_exponential_is_torchs_exponential_lr():
    """ExponentialLR multiplies by gamma every epoch."""
    lr = 1.0
    for epoch in range(20):
        assert nn.Exponential(0.7)(epoch) == pytest.approx(lr, rel=1e-12)
        lr *= 0.7
    assert nn.Exponential(0.25)(1.5) == 0.125


def test_cosine_is_torchs_cosine_annealing_lr():
    """CosineAnnealingLR by its recursion, with eta_min of 0.2 and T_max of 12."""
    lr, final, T = 1.0, 0.2, 12
    for epoch in range(T + 1):
        if epoch:
            ratio = (1 + math.cos(math.pi * epoch / T)) / (1 + math.cos(math.pi * (epoch - 1) / T))
            lr = ratio * (lr - final) + final
        assert nn.Cosine(T, final)(epoch) == pytest.approx(lr, rel=1e-12), epoch
    assert nn.Cosine(T, final)(T) == final
    assert nn.Cosine(T, final)(5 * T) == final
    assert nn.Cosine(8)(4.0) == pytest.approx(0.5)


def one_cycle_of_torch(step, steps, pct_start=0.3, div_factor=25.0, final_div_factor=1e4):
    """OneCycleLR with max_lr=1: the learning rate of a step of so many."""

    def anneal(start, end, pct):
        return end + (start - end) / 2.0 * (math.cos(math.pi * pct) + 1)

    initial = 1 / div_factor
    least = initial / final_div_factor
    top, last = pct_start * steps - 1, steps - 1
    if step <= top:
        return anneal(initial, 1.0, step / top)
    return anneal(1.0, least, (step - top) / (last - top))


@pytest.mark.parametrize("pct_start", [0.3, 0.1, 0.8])
def test_one_cycle_is_torchs_one_cycle_lr(pct_start):
    """In steps of torch, whose first and last one lie at the ends of the cycle."""
    steps = 40
    schedule = nn.OneCycle(steps - 1, (pct_start * steps - 1) / (steps - 1))
    for step in range(steps):
        expected = one_cycle_of_torch(step, steps, pct_start)
        assert schedule(step) == pytest.approx(expected, rel=1e-9), step
    assert schedule(0.0) == 1 / 25
    assert schedule(steps - 1.0) == schedule(10 * steps) == 1e-4 / 25


def test_inverse_scaling():
    assert_close(nn.InverseScaling(), lambda t: 1 / math.sqrt(1 + t), [0, 0.5, 1, 99])
    assert_close(nn.InverseScaling(2.0), lambda t: 1 / (1 + t) ** 2, [0, 0.5, 1, 99])


class PlateauOfTorch:
    """ReduceLROnPlateau with eps=0, for lr = 1."""

    def __init__(self, mode, factor, patience, threshold, threshold_mode, min_lr):
        self.mode, self.threshold, self.threshold_mode = mode, threshold, threshold_mode
        self.factor, self.patience = factor, patience
        self.min_lr, self.lr, self.bad = min_lr, 1.0, 0
        self.best = INF if mode == "min" else -INF

    def is_better(self, value):
        if self.mode == "min" and self.threshold_mode == "rel":
            return value < self.best * (1.0 - self.threshold)
        if self.mode == "min":
            return value < self.best - self.threshold
        if self.threshold_mode == "rel":
            return value > self.best * (self.threshold + 1.0)
        return value > self.best + self.threshold

    def step(self, value):
        if self.is_better(value):
            self.best, self.bad = value, 0
        else:
            self.bad += 1
        if self.bad > self.patience:
            self.lr, self.bad = max(self.lr * self.factor, self.min_lr), 0


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("patience", [0, 1, 3])
@pytest.mark.parametrize("threshold", [0.0, 1e-4, 0.05])
@pytest.mark.parametrize("threshold_mode", ["rel", "abs"])
@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e4, -1.0])
def test_reduce_on_plateau_is_torchs(scale, threshold_mode, threshold, patience, mode):
    """A threshold that is a difference is too large for small losses, and too small for large."""
    ours = nn.ReduceOnPlateau(
        "figure", 0.5, patience, threshold, 0.01, mode=mode, threshold_mode=threshold_mode
    )
    torchs = PlateauOfTorch(mode, 0.5, patience, threshold, threshold_mode, 0.01)
    rng = np.random.default_rng(0)
    trend = np.maximum(np.linspace(1, 0, 60), 0.6) * (1 if mode == "min" else -1)
    values = scale * (trend + rng.normal(scale=0.05, size=60))
    values[[7, 20]] = NAN, INF
    for epoch, value in enumerate(values):
        assert ours(epoch) == torchs.lr, epoch
        ours.update({"figure": float(value)})
        torchs.step(value)
    assert ours(60.0) < 1


def test_reduce_on_plateau_by_default():
    """A share of 1e-4, as torch; values at the limit are not better."""
    schedule = nn.ReduceOnPlateau(factor=0.5, patience=0)
    for loss, factor in ((1000.0, 1), (999.95, 0.5), (999.9, 0.25), (999.8, 0.25), (INF, 0.125)):
        schedule.update({"loss": loss})
        assert schedule(0.0) == factor, loss


def test_reduce_on_plateau_takes_the_validation_if_there_is_one():
    schedule = nn.ReduceOnPlateau(patience=0, factor=0.5)
    schedule.update({"loss": 1.0, "val_loss": 1.0})
    schedule.update({"loss": 0.5, "val_loss": 1.0})
    assert schedule(2.0) == 0.5
    schedule.update({"loss": 0.5, "val_loss": NAN})
    assert schedule(2.0) == 0.25


def test_reduce_on_plateau_never_rises():
    schedule = nn.ReduceOnPlateau(patience=0, min_factor=3.0)
    schedule.update({"loss": 1.0})
    schedule.update({"loss": 1.0})
    assert schedule(2.0) == 1.0


def test_reduce_on_plateau_names_the_figures_there_are():
    schedule = nn.ReduceOnPlateau("val_loss")
    with pytest.raises(ValueError, match=r"monitor must be one of accuracy, loss; got 'val_loss'"):
        schedule.update({"accuracy": 0.1, "loss": 1.0})


def test_state_goes_through_json():
    one, other = (nn.ReduceOnPlateau(factor=0.5, patience=1) for _ in range(2))
    for loss in (1.0, 2.0, 2.0, 2.0):
        one.update({"loss": loss})
    other.set_state(json.loads(json.dumps(one.state())))
    assert one(4.0) == other(4.0) == 0.5
    for schedule in (one, other):
        schedule.update({"loss": 2.0})
    assert one(5.0) == other(5.0) == 0.25
    assert nn.Cosine(3).state() == {}


# -- Warm-up --


@by_schedule
def test_warmup_comes_before(schedule):
    """A line from 0 to the first factor, then the schedule, later by that much."""
    warmed = type(schedule)(**schedule.config() | {"warmup": 2.5})
    for time in (0, 0.5, 1.25, 2.5):
        assert warmed(time) == pytest.approx(schedule(0.0) * time / 2.5, rel=1e-12)
    for time in (2.5, 3.0, 7.25, 30):
        assert warmed(time) == schedule(time - 2.5)


def test_warmup_of_minibatches_begins_above_0():
    factors = nn.ConstantRate(warmup=2).factors(0, 4)
    np.testing.assert_allclose(factors, [0.125, 0.25, 0.375, 0.5], rtol=1e-15)
    np.testing.assert_allclose(nn.ConstantRate(warmup=2).factors(1, 2), [0.75, 1.0])
    np.testing.assert_allclose(nn.ConstantRate(warmup=2).factors(2, 2), [1.0, 1.0])
    # Epochs of one minibatch.
    rates = [nn.ConstantRate(warmup=4).factors(epoch, 1)[0] for epoch in range(6)]
    assert rates == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


@pytest.mark.parametrize("epochs", [1, 2, 5, 2.5])
@pytest.mark.parametrize("per_epoch", [1, 2, 7, 10, 391])
@pytest.mark.parametrize("peak", [0.3, 0.1, 0.8, 0.25])
@pytest.mark.parametrize("warmup", [0.0, 3.0])
def test_one_cycle_ends_on_the_last_minibatch(warmup, peak, per_epoch, epochs):
    """The last one had the factor of its beginning, which is not yet that of the end."""
    schedule = nn.OneCycle(epochs, peak, warmup=warmup)
    first, steps = int(warmup), epochs * per_epoch
    factors = [schedule.factors(first + i, per_epoch) for i in range(math.ceil(epochs) + 1)]
    factors = np.concatenate(factors)
    end = math.ceil(steps - 1e-9)
    for step in range(end):
        if peak * steps == 1 and step == 0:
            continue  # where torch divides by 0
        expected = one_cycle_of_torch(min(step, steps - 1), steps, peak) if steps > 1 else 4e-6
        assert factors[step] == pytest.approx(expected, rel=1e-9, abs=1e-15), step
    if steps == end:
        assert factors[end - 1] == 1e-4 / 25
    assert (factors[end:] == 1e-4 / 25).all()
    if peak * steps > 1:
        assert factors[0] == 1 / 25


@pytest.mark.parametrize("per_epoch", [1, 3, 10, 49])
def test_one_cycle_in_parts(per_epoch):
    """Fits that follow each other give the minibatches the factors of one fit."""
    X, y = plain.data(per_epoch * 2, 4, 3)
    options = {"batch_size": 2, "shuffle": False}
    nets = [network(nn.OneCycle(4)) for _ in range(2)]
    nets[0].fit(X, y, epochs=4, **options)
    for epochs in (1, 2, 1):
        nets[1].fit(X, y, epochs=epochs, **options)
    plain.assert_same_bits(*nets)
    if per_epoch > 1:
        before = network()
        before.restore(nets[0].snapshot())
        expected = network()
        expected.restore(before.snapshot())
        expected.optimizer.lr = 0.1 * 1e-4 / 25
        nets[0].fit(X, y, **options)  # after its end
        expected.fit(X, y, **options)
        plain.assert_same_bits(nets[0], expected)


def test_one_cycle_of_steps_whose_number_is_unknown():
    """They have the factor of the time at which the epoch begins."""
    X, y = plain.data(20, 4, 3)
    for schedule, factor in ((nn.OneCycle(10), 1 / 25), (nn.OneCycle(1), 1 / 25),
                             (nn.OneCycle(10, warmup=2), 1 / 50)):  # fmt: skip
        nets = network(schedule), network(), network(schedule)
        nets[1].optimizer.lr *= factor
        nets[0].train_on_batch(X, y)
        nets[1].train_on_batch(X, y)
        nets[2].fit(iter([(X, y)]))
        plain.assert_same_bits(nets[0], nets[1])
        plain.assert_same_bits(nets[0], nets[2])


@pytest.mark.parametrize("per_epoch", [1, 3, 10])
def test_cosine_of_minibatches_is_torchs(per_epoch):
    """CosineAnnealingLR with T_max steps: 1 on the first, `final` on the one after the last."""
    steps = 4 * per_epoch
    factors = np.concatenate([nn.Cosine(4, 0.1).factors(i, per_epoch) for i in range(5)])
    expected = 0.1 + 0.9 * (1 + np.cos(np.pi * np.arange(steps + 1) / steps)) / 2
    np.testing.assert_allclose(factors[: steps + 1], expected, rtol=1e-12)
    assert factors[0] == 1
    assert (factors[steps:] == 0.1).all()


@pytest.mark.parametrize("per_epoch", [3, 7, 10, 49, 1000])
@pytest.mark.parametrize("periods", [1, 3, 7])
def test_step_falls_with_the_minibatch_that_begins_a_period(periods, per_epoch):
    """0.3 / 0.1 is less than 3, so that the third step down came a minibatch late."""
    every = periods / per_epoch
    factors = np.concatenate([nn.Step(every, 0.9).factors(i, per_epoch) for i in range(3)])
    exponents = np.arange(3 * per_epoch) // periods
    np.testing.assert_allclose(factors, 0.9**exponents, rtol=1e-12)


@by_schedule
def test_factors_of_an_epoch_are_those_of_its_times(schedule):
    if isinstance(schedule, nn.OneCycle):
        pytest.skip("its last step is at its end: see test_one_cycle_ends_on_the_last_minibatch")
    for epoch in (0, 3, 20):
        factors = schedule.factors(epoch, 7)
        assert factors.dtype == np.float64
        np.testing.assert_array_equal(factors, [schedule(epoch + i / 7) for i in range(7)])


# -- Objects --


@by_schedule
def test_config_makes_an_equal_one(schedule):
    config = json.loads(json.dumps(schedule.config()))
    made = type(schedule)(**config)
    assert made == schedule
    assert repr(made) == repr(schedule)
    assert eval(repr(schedule), vars(nn)) == schedule
    assert type(schedule)(**config | {"warmup": 9.0}) != schedule
    assert schedule != 3
    for other in (copy.copy(schedule), copy.deepcopy(schedule)):
        assert other == schedule
        assert other(2.5) == schedule(2.5)
    assert pickle.loads(pickle.dumps(schedule))(2.5) == schedule(2.5)


BAD = {
    "warmup -1": (lambda: nn.ConstantRate(-1), ValueError, ["warmup", "at least 0", "-1"]),
    "warmup 'a'": (lambda: nn.Cosine(3, warmup="a"), TypeError, ["warmup", "'a'"]),
    "every 0": (lambda: nn.Step(0), ValueError, ["every", "greater than 0"]),
    "every nan": (lambda: nn.Step(NAN), ValueError, ["every", "nan"]),
    "step factor": (lambda: nn.Step(1, 0), ValueError, ["factor", "greater than 0"]),
    "factor inf": (lambda: nn.Exponential(INF), ValueError, ["factor", "inf"]),
    "epochs 0": (lambda: nn.Cosine(0), ValueError, ["epochs", "greater than 0"]),
    "epochs None": (lambda: nn.Cosine(None), TypeError, ["epochs", "None"]),
    "final -1": (lambda: nn.Cosine(3, -1.0), ValueError, ["final", "at least 0"]),
    "cycle 0": (lambda: nn.OneCycle(0), ValueError, ["epochs", "greater than 0"]),
    "peak 0": (lambda: nn.OneCycle(3, 0.0), ValueError, ["peak", "less than 1", r"0\.0"]),
    "peak 1": (lambda: nn.OneCycle(3, 1.0), ValueError, ["peak", "less than 1", r"1\.0"]),
    "start": (lambda: nn.OneCycle(3, start=-1), ValueError, ["start", "at least 0"]),
    "final": (lambda: nn.OneCycle(3, final=NAN), ValueError, ["final", "nan"]),
    "power": (lambda: nn.InverseScaling(-0.5), ValueError, ["power", "at least 0"]),
    "monitor": (lambda: nn.ReduceOnPlateau(3), TypeError, ["monitor", r"\b3$"]),
    "monitor?": (lambda: nn.ReduceOnPlateau("gain"), ValueError, ["mode", "'gain'", "'max'"]),
    "mode": (lambda: nn.ReduceOnPlateau(mode="mni"), ValueError, ["mode", "min, .*", "'mni'"]),
    "patience": (lambda: nn.ReduceOnPlateau(patience=-1), ValueError, ["patience", "-1"]),
    "plateau factor": (lambda: nn.ReduceOnPlateau(factor=1.0), ValueError, ["factor", "than 1"]),
    "threshold": (lambda: nn.ReduceOnPlateau(threshold=-1), ValueError, ["threshold", "-1"]),
    "threshold nan": (lambda: nn.ReduceOnPlateau(threshold=NAN), ValueError, ["threshold", "nan"]),
    "threshold_mode": (
        lambda: nn.ReduceOnPlateau(threshold_mode="relative"),
        ValueError,
        ["threshold_mode", "rel", "abs", "'relative'"],
    ),
    "min_factor": (lambda: nn.ReduceOnPlateau(min_factor=-1), ValueError, ["min_factor", "-1"]),
    "schedule 3": (lambda: network(3), TypeError, ["schedule", "nn.Cosine", r"\b3$"]),
    "schedule name": (lambda: network("cosine"), TypeError, ["schedule", "'cosine'"]),
    "schedule class": (lambda: network(nn.Cosine), TypeError, ["schedule", "Cosine'>"]),
}


@pytest.mark.parametrize(("call", "error", "words"), BAD.values(), ids=BAD)
def test_bad_arguments(call, error, words):
    plain.assert_raises(error, words, call)


# -- In a fit --


@pytest.mark.parametrize("optimizer", [nn.SGD(0.1, 0.9), nn.Adam(0.01)], ids=["sgd", "adam"])
def test_fit_gives_each_minibatch_the_factor_of_its_time(optimizer):
    """As steps by hand, each with the learning rate of its time."""
    X, y = plain.data(100, 4, 3)
    fitted, stepped = network(nn.Cosine(3, warmup=1), optimizer), network(None, optimizer)
    fitted.fit(X, y, epochs=3, batch_size=30, shuffle=False)
    lr = optimizer.lr
    for epoch in range(3):
        for i in range(4):
            warmed = min((epoch + (i + 1) / 4) / 1, 1)
            factor = warmed * (1 + math.cos(math.pi * max(epoch + i / 4 - 1, 0) / 3)) / 2
            stepped.optimizer.lr = lr * factor
            stepped.train_on_batch(X[30 * i : 30 * i + 30], y[30 * i : 30 * i + 30])
    plain.assert_close_parameters(fitted, Parameters(stepped), 1e-5)
    assert fitted.optimizer.lr == lr


class Parameters:
    """A network's parameters where a twin's are expected."""

    def __init__(self, net):
        self.state = net.state_dict()

    def parameters(self):
        return list(self.state.values())


def test_any_function_is_a_schedule():
    X, y = plain.data(100, 4, 3)
    times = []
    net, same = network(lambda t: times.append(t) or 0.5), network(None, nn.SGD(0.05))
    for n in (net, same):
        n.fit(X, y, epochs=2, batch_size=50)
    assert times == [0.0, 0.5, 1.0, 1.5]
    plain.assert_same_bits(net, same)
    net.fit(X, y, batch_size=200)
    assert times[4:] == [2.0]


def test_factor_1_changes_no_bit():
    X, y = plain.data(100, 4, 3)
    nets = [network(s) for s in (None, nn.ConstantRate(), lambda t: 1)]
    for net in nets:
        net.fit(X, y, epochs=2)
        net.train_on_batch(X, y)
        net.backward(net.forward(X, training=True))
        net.step()
    plain.assert_same_bits(nets[0], nets[1])
    plain.assert_same_bits(nets[0], nets[2])


def test_factor_0_changes_nothing():
    X, y = plain.data(100, 4, 3)
    net = network(lambda t: float(t >= 1)).build(4)
    before = plain.bits(net)
    net.fit(X, y)
    assert plain.bits(net) == before
    net.fit(X, y)
    assert plain.bits(net) != before


def test_schedule_goes_on_in_the_next_fit_and_in_steps_of_ones_own():
    X, y = plain.data(100, 4, 3)
    once, twice = network(nn.Exponential(0.5)), network(nn.Exponential(0.5))
    once.fit(X, y, epochs=4)
    twice.fit(X, y, epochs=3)
    twice.fit(X, y)
    plain.assert_same_bits(once, twice)
    plainly = copy.deepcopy(once)
    plainly.schedule, plainly.optimizer.lr = None, 0.1 * 0.5**4
    for net in (once, plainly):
        net.train_on_batch(X, y)
        net.backward(net.forward(X, training=True))
        net.step()
    plain.assert_same_bits(once, plainly)


@pytest.mark.parametrize("answer", [None, NAN, INF, -0.1, "a", np.ones(2), 1j], ids=repr)
def test_bad_factor(answer):
    X, y = plain.data(100, 4, 3)
    net = network(lambda t: 1.0 if t < 1.5 else answer)
    with pytest.raises(ValueError, match=r"schedule must return .* at 1\.5"):
        net.fit(X, y, epochs=3, batch_size=50)
    other = network(lambda t: 1.0)
    other.fit(X, y, batch_size=50)
    plain.assert_same_bits(net, other, "as after the first epoch")
    assert net.epoch == 1


def test_networks_share_no_plateau():
    X, y = plain.data(100, 4, 3)
    schedule = nn.ReduceOnPlateau(factor=0.5, patience=0, threshold=10.0, threshold_mode="abs")
    one, two = network(schedule), network(schedule)
    one.fit(X, y, epochs=3)
    assert one.schedule(3.0) == 0.25
    assert two.schedule(0.0) == schedule(0.0) == 1.0
    for copied in (copy.copy(one), copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
        copied.fit(X, y)
        assert copied.schedule(4.0) == 0.125
        assert one.schedule(3.0) == 0.25
    assert "schedule=ReduceOnPlateau(" in repr(one)


def test_plateau_of_the_validation_in_a_fit():
    X, y = plain.data(100, 4, 3)
    net = network(nn.ReduceOnPlateau(factor=0.5, patience=1, mode="max"))
    history = net.fit(X, y, epochs=6, validation_data=(X, y))
    # The loss falls, which mode="max" takes for getting worse.
    assert history["val_loss"] == sorted(history["val_loss"], reverse=True)
    assert net.schedule(6.0) == 0.25


def test_plateau_of_an_unknown_metric_is_refused_before_training():
    X, y = plain.data(100, 4, 3)
    net = network(nn.ReduceOnPlateau("val_loss"))
    with pytest.raises(ValueError, match="monitor must be one of loss; got 'val_loss'"):
        net.fit(X, y, epochs=3)
    assert net.epoch == 0
