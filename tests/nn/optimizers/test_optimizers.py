"""Every optimizer against a plain twin written from its paper or torch's documentation."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import mpmath
import numpy as np
import pytest

import relume
from relume import nn
from relume.engine.op_spec import OpSpec
from relume.engine.plan import Plan
from relume.engine.updates import Updates
from relume.nn.optimizers.optimizers import OPTIMIZERS
from tests.support import twin as plain
from tests.support.optimizer_settings import SETTINGS, VARIANTS

TOLERANCES = {"float64": 1e-10, "float32": 1e-5}
by_dtype = pytest.mark.parametrize("dtype", TOLERANCES)


# -- The twins: one step on one array; `state` is a dict, empty at first, t counts from 1 --


def sgd(p, g, state, t, lr=0.01, momentum=0.0, nesterov=False, weight_decay=0.0, dampening=0.0):
    g = g + weight_decay * p
    state["v"] = momentum * state["v"] + (1 - dampening) * g if "v" in state else g
    return p - lr * (g + momentum * state["v"] if nesterov else state["v"])


def rmsprop(
    p, g, state, t, lr=0.01, alpha=0.99, eps=1e-8, momentum=0.0, weight_decay=0.0, centered=False
):
    g = g + weight_decay * p
    state["v"] = v = alpha * state.get("v", 0) + (1 - alpha) * g**2
    if centered:
        state["mean"] = alpha * state.get("mean", 0) + (1 - alpha) * g
        v = v - state["mean"] ** 2
    state["b"] = momentum * state.get("b", 0) + g / (v**0.5 + eps)
    return p - lr * state["b"]


def means(g, state, t, betas, amsgrad=False):
    """Return the running means of g and g^2, as they are and the second corrected."""
    state["m"] = betas[0] * state.get("m", 0) + (1 - betas[0]) * g
    state["v"] = v = betas[1] * state.get("v", 0) + (1 - betas[1]) * g**2
    if amsgrad:
        state["max"] = v = np.maximum(state.get("max", 0), v)
    return state["m"], v / (1 - betas[1] ** t)


def adam(p, g, state, t, lr=0.001, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, amsgrad=False):
    m, v = means(g + weight_decay * p, state, t, betas, amsgrad)
    return p - lr * m / (1 - betas[0] ** t) / (v**0.5 + eps)


def adamw(
    p, g, state, t, lr=0.001, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01, amsgrad=False
):
    return adam(p, g, state, t, lr, betas, eps, 0.0, amsgrad) - lr * weight_decay * p


def nadam(
    p, g, state, t, lr=0.002, betas=(0.9, 0.999), eps=1e-8, momentum_decay=0.004,
    weight_decay=0.0, decoupled_weight_decay=False,
):  # fmt: skip
    if decoupled_weight_decay:
        decayed = nadam(p, g, state, t, lr, betas, eps, momentum_decay)
        return decayed - lr * weight_decay * p
    g = g + weight_decay * p
    m, v = means(g, state, t, betas)
    momenta = [betas[0] * (1 - 0.5 * 0.96 ** (s * momentum_decay)) for s in range(1, t + 2)]
    now = (1 - momenta[t - 1]) / (1 - np.prod(momenta[:t])) * g
    then = momenta[t] / (1 - np.prod(momenta)) * m
    return p - lr * (now + then) / (v**0.5 + eps)


def lion(p, g, state, t, lr=1e-4, betas=(0.9, 0.99), weight_decay=0.0):
    m = state.get("m", 0)
    state["m"] = betas[1] * m + (1 - betas[1]) * g
    return p - lr * (np.sign(betas[0] * m + (1 - betas[0]) * g) + weight_decay * p)


TWINS = {
    "SGD": sgd,
    "RMSprop": rmsprop,
    "Adam": adam,
    "AdamW": adamw,
    "NAdam": nadam,
    "Lion": lion,
}
CASES = SETTINGS | VARIANTS
by_case = pytest.mark.parametrize(("name", "options"), CASES.values(), ids=CASES)


def stepped(optimizer, dtype, steps=50, lr=None):
    """Yield t, a network that makes steps by hand, its gradients and its parameters before."""
    rng = np.random.default_rng(0)
    layers = [nn.Dense(30, "tanh"), nn.Dense(7)]
    net = nn.Network(layers, loss="mse", optimizer=optimizer, seed=0, dtype=dtype).build(20)
    for t in range(1, steps + 1):
        if lr:
            net.optimizer.lr = lr(t)
        net.forward(rng.normal(size=(9, 20)), training=True)
        net.backward(rng.normal(size=(9, 7)))
        before, gradients = net.state_dict(), net.gradients()
        net.step()
        yield t, net, gradients, before


def assert_steps_are(step, optimizer, dtype, **options):
    """Compare with a twin that goes its own way in float64."""
    states, own = {}, None
    steps = stepped(optimizer, dtype, **options)
    for t, net, gradients, before in steps:  # noqa: B007
        own = own or {key: value.astype("float64") for key, value in before.items()}
        for key, g in gradients.items():
            state = states.setdefault(key, {})
            own[key] = step(own[key], g.astype("float64"), state, t)
    for key, value in net.state_dict().items():
        plain.assert_close(value, own[key], TOLERANCES[dtype], key)


@by_dtype
@by_case
def test_fifty_steps(name, options, dtype):
    def step(p, g, state, t):
        return TWINS[name](p, g, state, t, **options)

    assert_steps_are(step, getattr(nn, name)(**options), dtype)


# -- scikit-learn's variants --


class VelocitySGD(nn.SGD):
    lr_in_velocity = True


class UncorrectedAdam(nn.Adam):
    eps_uncorrected = True


@by_dtype
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("nesterov", [False, True])
def test_velocity_that_holds_the_learning_rate(nesterov, momentum, dtype):
    def step(p, g, state, t):
        lr = 0.1 / t
        state["v"] = momentum * state.get("v", 0) - lr * g
        return p + (momentum * state["v"] - lr * g if nesterov else state["v"])

    optimizer = VelocitySGD(0.1, momentum, nesterov and momentum > 0)
    assert_steps_are(step, optimizer, dtype, lr=lambda t: 0.1 / t)


@by_dtype
def test_adam_whose_eps_is_not_corrected(dtype):
    def step(p, g, state, t):
        m, _ = means(g, state, t, (0.9, 0.999))
        lr = 0.01 * np.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        return p - lr * m / (np.sqrt(state["v"]) + 0.1)

    assert_steps_are(step, UncorrectedAdam(0.01, eps=0.1), dtype)


# -- Properties --

KINDS = {name: (name, {}) for name in TWINS} | {
    "Adam-amsgrad": ("Adam", {"amsgrad": True}),
    "RMSprop-centered": ("RMSprop", {"centered": True}),
    "SGD-dampening": ("SGD", {"momentum": 0.9, "dampening": 0.5}),
    "NAdam-slow": ("NAdam", {"betas": (0.99, 0.999), "momentum_decay": 1.0}),
    "SGD-momentum": ("SGD", {"momentum": 0.9}),
}
by_kind = pytest.mark.parametrize(("name", "options"), KINDS.values(), ids=KINDS)


def network(name, options, width=12):
    layers = [nn.Dense(width, "relu"), nn.Dense(3)]
    return nn.Network(layers, optimizer=getattr(nn, name)(**options), seed=0)


@by_kind
def test_bits_do_not_depend_on_where_a_fit_is_split(name, options):
    X, y = plain.data(50, 6, 3)
    once, split, batches = (network(name, options) for _ in range(3))
    once.fit(X, y, epochs=100, batch_size=10, shuffle=False)
    for epochs in (1, 9, 70, 20):
        split.fit(X, y, epochs=epochs, batch_size=10, shuffle=False)
    for _ in range(100):
        for i in range(0, 50, 10):
            batches.train_on_batch(X[i : i + 10], y[i : i + 10])
    plain.assert_same_bits(once, split)
    plain.assert_same_bits(once, batches)


@by_kind
def test_bits_do_not_depend_on_threads(name, options):
    X, y = plain.data(256, 100, 3)
    nets = []
    for threads in (1, 2):
        with relume.num_threads(threads):
            nets.append(network(name, options, 200))
            nets[-1].fit(X, y, epochs=2, batch_size=128)
    plain.assert_same_bits(*nets)


def bare(optimizer, p, state=None, steps=0):
    """Updates of a plan with the parameters p, of any length, and its weights."""
    plan = Plan(len(p) - 1, [OpSpec(kind="dense", units=1, bias=True)], p.dtype)
    padded = np.zeros(plan.n_parameters, p.dtype)
    padded[: len(p)] = p
    kept = np.zeros((optimizer.n_state, plan.n_parameters), p.dtype)
    if state is not None:
        kept[:, : len(p)] = state
    weights = SimpleNamespace(
        parameters=padded, optimizer_state=kept, average=None, steps=steps, gradients=None,
        bounds=None,
    )  # fmt: skip
    return Updates(plan, weights, optimizer, 1), weights


def take(updates, weights, optimizer, g):
    """A step with the gradients g; whether it was finite."""
    padded = np.zeros_like(weights.parameters)
    padded[: len(g)] = g
    return updates.step(padded, optimizer.lr)


def update(optimizer, p, g, steps=1):
    """Parameters after some steps with the same gradient, from p of any length."""
    updates, weights = bare(optimizer, p)
    for _ in range(steps):
        take(updates, weights, optimizer, g)
    return weights.parameters[: len(p)]


@by_kind
@by_dtype
def test_each_element_for_itself(name, options, dtype):
    """The bits of an element do not depend on its place: vector body and tail are alike."""
    rng = np.random.default_rng(0)
    p, g = rng.normal(size=(2, 67)).astype(dtype)
    for decay in (0.0, 0.1):
        optimizer = getattr(nn, name)(**options, weight_decay=decay)
        whole = update(optimizer, p, g, steps=3)
        for i in (0, 15, 16, 63, 66):
            alone = update(optimizer, np.full(2, p[i]), np.full(2, g[i]), steps=3)
            assert alone[0] == whole[i], f"element {i}, weight_decay={decay}"


@by_kind
@by_dtype
def test_gradients_that_are_zero_or_not_finite(name, options, dtype):
    p = np.array([1.5, -2.0, 0.0, 3e-30], dtype)
    optimizer = getattr(nn, name)(**options | {"weight_decay": 0.0})
    np.testing.assert_array_equal(update(optimizer, p, np.zeros_like(p), steps=5), p)
    for wrong in (np.nan, np.inf, -np.inf):
        updates, weights = bare(optimizer, p)
        assert not take(updates, weights, optimizer, np.array([1.0, wrong, 0.0, 0.0], dtype))
        np.testing.assert_array_equal(weights.parameters[:4], p)
        assert not weights.optimizer_state.any()
        assert weights.steps == updates.t == 0


# -- Gradients whose squares overflow or underflow --

EXTREMES = {
    "float32": [1.2e-38, 1e-30, 1e-23, 3e-20, 1e-10, 1.0, 1e10, 1.9e19, 1e25, 1e38, 3.4e38],
    "float64": [2.3e-308, 1e-300, 1e-200, 1e-160, 1.0, 1.4e154, 1e200, 1e300, 1.7e308],
}
ADAPTIVE = {
    "Adam": ("Adam", {"lr": 0.01}),
    "AdamW": ("AdamW", {"lr": 0.01}),
    "NAdam": ("NAdam", {"lr": 0.01}),
    "RMSprop": ("RMSprop", {"lr": 0.01}),
    "Adam-betas": ("Adam", {"lr": 0.01, "betas": (0.5, 0.9)}),
    "Adam-amsgrad": ("Adam", {"lr": 0.01, "amsgrad": True}),
    "RMSprop-momentum": ("RMSprop", {"lr": 0.01, "momentum": 0.5}),
    "RMSprop-centered": ("RMSprop", {"lr": 0.01, "alpha": 0.5, "centered": True}),
}


def builds():
    """The instruction sets that run here."""
    from relume.kernels.dispatch import builds, missing_features

    return [name for name, needs in builds().items() if not missing_features(needs)]


def exact_path(name, options, gradients):
    """Where a parameter that begins at 0 goes, by the recurrence in 50 decimal digits."""
    with mpmath.workdps(50):
        exact = {
            key: tuple(map(mpmath.mpf, value)) if key == "betas" else mpmath.mpf(value)
            for key, value in options.items()
            if not isinstance(value, bool)
        }
        flags = {key: value for key, value in options.items() if isinstance(value, bool)}
        p, state, path = mpmath.mpf(0), {}, []
        for t, g in enumerate(gradients, 1):
            p = TWINS[name](p, mpmath.mpf(float(g)), state, t, **exact, **flags)
            path.append(float(p))
        return np.array(path)


def path_of(optimizer, gradients):
    """Where parameters that begin at 0 go; a row of gradients for each of them."""
    updates, weights = bare(optimizer, np.zeros(len(gradients), gradients.dtype))
    path = []
    for g in gradients.T:
        assert take(updates, weights, optimizer, g)
        assert np.isfinite(weights.optimizer_state).all()
        path.append(weights.parameters[: len(g)].copy())
    return np.array(path, "float64").T


@by_dtype
@pytest.mark.parametrize("eps", ["default", "least"])
@pytest.mark.parametrize(("name", "options"), ADAPTIVE.values(), ids=ADAPTIVE)
def test_steps_of_gradients_whose_squares_leave_the_range(name, options, eps, dtype):
    """The square of a gradient was kept, which overflows beyond 1.8e19 in float32."""
    g = np.array(EXTREMES[dtype], dtype)
    if eps == "least":
        options = options | {"eps": {"float32": 1e-36, "float64": 1e-300}[dtype]}
    else:
        options = {"eps": 1e-8} | options
    # Once; alike many times; and one that is huge (or tiny) before many ordinary ones.
    ones = np.ones((len(g), 60), dtype)
    ones[:, 0] = g
    optimizer = getattr(nn, name)(**options)
    tolerance = {"float32": 2e-5, "float64": 1e-12}[dtype]
    for gradients in (g[:, None], np.repeat(g[:, None], 20, axis=1), ones):
        exact = np.array([exact_path(name, options, row) for row in gradients])
        path = path_of(optimizer, gradients)
        # Moments below the normal numbers count as 0, so only the first step of such is exact.
        usual = (g > 100 * np.finfo(dtype).tiny) if gradients.shape[1] > 1 else slice(None)
        np.testing.assert_allclose(path[usual], exact[usual], rtol=tolerance)


@by_dtype
@pytest.mark.parametrize(("name", "options"), ADAPTIVE.values(), ids=ADAPTIVE)
def test_element_does_not_depend_on_extreme_neighbours(name, options, dtype):
    """Where one element of a vector must be scaled, all of it takes another path."""
    rng = np.random.default_rng(0)
    g = rng.normal(size=(40, 5)).astype(dtype)
    extreme = g.copy()
    extreme[7::8] *= np.finfo(dtype).max / 10
    extreme[3::16] *= np.finfo(dtype).tiny * 10
    same = np.ones(40, bool)
    same[7::8] = same[3::16] = False
    optimizer = getattr(nn, name)(**options)
    np.testing.assert_array_equal(path_of(optimizer, g)[same], path_of(optimizer, extreme)[same])


@pytest.mark.parametrize("simd", builds())
def test_extreme_gradients_on_every_instruction_set(simd):
    """The roots and quotients are those of each instruction set."""
    names = "leave_the_range or extreme_neighbours or fifty_steps or is_a_first_step"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-n0", "-p", "no:cacheprovider",
         __file__, "-k", f"({names}) and float32"],
        env=os.environ | {"RELUME_SIMD": simd}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]


# -- A first step after many --

FIRST = {
    **ADAPTIVE,
    "NAdam-slow": ("NAdam", {"betas": (0.99, 0.999), "momentum_decay": 1.0}),
    "AdamW-decay": ("AdamW", {"weight_decay": 0.1, "amsgrad": True}),
    "SGD-dampening": ("SGD", {"momentum": 0.9, "dampening": 0.5}),
    "SGD-momentum": ("SGD", {"momentum": 0.9}),
    "Lion": ("Lion", {}),
}


@by_dtype
@pytest.mark.parametrize("waits", [0, 3])
@pytest.mark.parametrize(("name", "options"), FIRST.values(), ids=FIRST)
def test_a_marked_step_is_a_first_step(name, options, waits, dtype):
    """A second moment of 0 was corrected for the many steps made: a step of 3.2 times lr."""
    optimizer = getattr(nn, name)(**options)
    p, g = np.array([5e-4, -1e-3, 2e-3], dtype), np.array([0.3, -20.0, 1e-3], dtype)
    state = np.zeros((optimizer.n_state, 3), dtype)
    state[1] = -1
    updates, weights = bare(optimizer, p, state, steps=1000)
    decay = optimizer.weight_decay
    optimizer.weight_decay = 0.0
    for _ in range(waits):  # a unit that nobody reads has gradients of 0
        again, weights = bare(optimizer, p, weights.optimizer_state[:, :3], weights.steps)
        take(again, weights, optimizer, np.zeros_like(g))
        np.testing.assert_array_equal(weights.parameters[:3], p)
    optimizer.weight_decay = decay
    updates, weights = bare(optimizer, p, weights.optimizer_state[:, :3], weights.steps)
    take(updates, weights, optimizer, g)
    first = TWINS[name](p.astype("float64"), g.astype("float64"), {}, 1, **options)
    np.testing.assert_allclose(
        weights.parameters[:3] - p.astype("float64"), first - p, rtol=2e-4 if dtype == "float32"
        else 1e-10,
    )  # fmt: skip
    assert (weights.optimizer_state[1] >= 0).all() or not (optimizer.n_state == 3 or "A" in name)


@by_dtype
def test_decoupled_decay_is_exact(dtype):
    """Subtracted with the step, since 1 - lr * decay = 0.99999 in float32 is off by 0.3 %."""
    p = np.array([1.0, -3.0], dtype)
    after = update(nn.AdamW(1e-3, weight_decay=0.01), p, np.zeros_like(p), steps=1000)
    expected = p * (1 - 1e-5) ** 1000
    lost = (p - after) / (p - expected)
    np.testing.assert_allclose(lost, 1, rtol={"float64": 1e-10, "float32": 5e-3}[dtype])


# -- What they are made of --

ARGUMENTS = {
    nn.SGD: {"lr": 0.5, "momentum": 0.9, "nesterov": False, "weight_decay": 0.1,
             "dampening": 0.2},
    nn.RMSprop: {"lr": 0.5, "alpha": 0.9, "eps": 1e-3, "momentum": 0.5, "weight_decay": 0.1,
                 "centered": True},
    nn.Adam: {"lr": 0.5, "betas": (0.5, 0.6), "eps": 1e-3, "weight_decay": 0.1, "amsgrad": True},
    nn.AdamW: {"lr": 0.5, "betas": (0.5, 0.6), "eps": 1e-3, "weight_decay": 0.1, "amsgrad": True},
    nn.NAdam: {"lr": 0.5, "betas": (0.5, 0.6), "eps": 1e-3, "momentum_decay": 0.1,
               "weight_decay": 0.1, "decoupled_weight_decay": True},
    nn.Lion: {"lr": 0.5, "betas": (0.5, 0.6), "weight_decay": 0.1},
    nn.LBFGS: {"max_iter": 5, "history_size": 3, "gtol": 1e-3, "ftol": 0.0},
}  # fmt: skip
OPTIONS = {"clip_norm": 1.0, "clip_value": 2.0, "ema_decay": 0.5}
by_class = pytest.mark.parametrize("cls", ARGUMENTS, ids=lambda cls: cls.__name__)


def test_every_optimizer_is_listed():
    assert set(OPTIMIZERS.values()) == set(ARGUMENTS)
    assert {name: cls.__name__.lower() for name, cls in OPTIMIZERS.items()} == {
        name: name for name in OPTIMIZERS
    }


@by_class
def test_config_makes_the_same_again(cls):
    arguments = ARGUMENTS[cls] | (OPTIONS if cls is not nn.LBFGS else {})
    one, plainest = cls(**arguments), cls()
    assert one.config() == arguments
    for optimizer in (one, plainest):
        again = cls(**json.loads(json.dumps(optimizer.config())))
        assert again == optimizer
        assert again.config() == optimizer.config()
        assert eval(repr(optimizer), vars(nn)) == optimizer
    assert one != plainest
    assert "None" not in repr(plainest)
    for name, value in ARGUMENTS[cls].items():
        if name != "nesterov":
            assert cls(**{name: value}) != plainest, name


def test_nesterov_needs_momentum_and_no_dampening():
    assert nn.SGD(momentum=0.9, nesterov=True) != nn.SGD(momentum=0.9)
    with pytest.raises(ValueError, match=r"nesterov=True needs a momentum .* got momentum=0.0"):
        nn.SGD(nesterov=True)
    with pytest.raises(ValueError, match=r"nesterov=True needs dampening=0.0, got .*0.5"):
        nn.SGD(momentum=0.9, nesterov=True, dampening=0.5)
    optimizer = nn.SGD(momentum=0.9, nesterov=True)
    with pytest.raises(ValueError, match=r"nesterov=True needs dampening=0.0"):
        optimizer.dampening = 0.5
    assert optimizer.dampening == 0.0


@by_class
def test_a_name_is_the_class_with_its_defaults(cls):
    net = nn.Network([nn.Dense(3)], optimizer=cls.__name__.lower())
    assert net.optimizer == cls()


def test_an_optimizer_with_other_values_is_another():
    assert nn.Adam() != nn.AdamW(weight_decay=0.0)
    assert nn.SGD() != "sgd"


NAN = float("nan")
WRONG = {
    "weight_decay": [(-0.1, ValueError), (NAN, ValueError), ("a", TypeError), (None, TypeError)],
    "lr": [(0.0, ValueError), (NAN, ValueError), (float("inf"), ValueError), (True, TypeError)],
    "eps": [(0.0, ValueError), ("a", TypeError)],
    "amsgrad": [(1, TypeError), ("yes", TypeError)],
    "centered": [(1, TypeError), (None, TypeError)],
    "dampening": [(1.0, ValueError), (-0.1, ValueError), ("a", TypeError)],
    "decoupled_weight_decay": [(0, TypeError)],
    "alpha": [(1.0, ValueError), (-0.1, ValueError)],
    "momentum": [(1.0, ValueError), ("a", TypeError)],
    "momentum_decay": [(-1.0, ValueError), ("a", TypeError)],
    "betas": [((0.9, 1.0), ValueError), ((0.9,), TypeError), (0.9, TypeError)],
    "clip_norm": [(0.0, ValueError), ("a", TypeError), (NAN, ValueError)],
    "clip_value": [(-1.0, ValueError), (False, TypeError)],
    "ema_decay": [(1.0, ValueError), (-0.1, ValueError), ("a", TypeError)],
    "max_iter": [(0, ValueError), (1.5, TypeError)],
    "history_size": [(0, ValueError), ("a", TypeError)],
    "gtol": [(-1e-9, ValueError), (NAN, ValueError)],
    "ftol": [(-1e-9, ValueError), ("a", TypeError)],
}


@by_class
def test_bad_arguments_are_named(cls):
    for name in [*ARGUMENTS[cls], *(OPTIONS if cls is not nn.LBFGS else [])]:
        for value, error in WRONG.get(name, []):
            with pytest.raises(error, match=rf"\b{name}\b.* got ") as caught:
                cls(**{name: value})
            shown = value[-1] if isinstance(value, tuple) and error is ValueError else value
            assert str(caught.value).endswith(repr(shown)), caught.value


@by_class
def test_unknown_arguments(cls):
    with pytest.raises(TypeError, match="unexpected keyword argument 'clipnorm'"):
        cls(clipnorm=1.0)
