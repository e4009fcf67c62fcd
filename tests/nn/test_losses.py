"""Every loss: values and gradients against mpmath, extreme outputs, kinks."""

from functools import partial

import numpy as np
import pytest

from relume import nn
from relume.engine.op_spec import OpSpec
from relume.engine.plan import Plan
from tests.support import twin as plain
from tests.support.reference import mp

TOLERANCES = {"float64": 1e-14, "float32": 3e-6}
by_dtype = pytest.mark.parametrize("dtype", TOLERANCES)
NAN, INF = float("nan"), float("inf")

# -- References: the loss of one row and its gradient, in mpmath, or in floats where exact --


def log_softmax(z):
    total = mp.fsum(mp.exp(value) for value in z)
    return [value - mp.log(total) for value in z]


def cross_entropy(z, t, label_smoothing=0.0):
    """`t` is a label, or a row of probabilities."""
    if np.ndim(t) == 0:
        t = [float(j == t) for j in range(len(z))]
    t = [(1 - label_smoothing) * mp.mpf(value) + label_smoothing / mp.mpf(len(z)) for value in t]
    log_p = log_softmax(z)
    gradient = [mp.fsum(t) * mp.exp(p) - each for p, each in zip(log_p, t, strict=True)]
    return -mp.fsum(a * b for a, b in zip(t, log_p, strict=True)), gradient


def softplus(z):
    return mp.log1p(mp.exp(z)) if z < 0 else z + mp.log1p(mp.exp(-z))


def binary_cross_entropy(z, y, weight, label_smoothing=0.0):
    y = (1 - label_smoothing) * mp.mpf(y) + label_smoothing / mp.mpf(2)
    value = (1 - y) * softplus(z) + weight * y * softplus(-z)
    return value, (1 - y) / (1 + mp.exp(-z)) - weight * y / (1 + mp.exp(z))


def mse(z, y):
    return (z - y) ** 2, 2 * (z - y)


def mae(z, y):
    return abs(z - y), mp.sign(z - y)


def huber(z, y, delta):
    d = z - y
    if abs(d) <= delta:
        return d**2 / 2, d
    return delta * (abs(d) - delta / 2), delta * mp.sign(d)


def quantile(z, y, q):
    return max(q * (y - z), (1 - q) * (z - y)), -q if y > z else 1 - q if y < z else 0


def poisson(z, y):
    return mp.exp(z) - y * z, mp.exp(z) - y


def over_outputs(f, *parameters):
    """The mean over the outputs of a row; each parameter is one number, or one an output."""

    def row(z, y):
        given = [np.broadcast_to(each, len(z)).tolist() for each in parameters]
        pairs = [f(*each) for each in zip(z, y, *given, strict=True)]
        return mp.fsum(a for a, _ in pairs) / len(z), [b / len(z) for _, b in pairs]

    return row


# name: loss, reference of a row, targets drawn of a shape
def labels(rng, shape):
    return rng.integers(shape[1], size=shape[0])


def soft(rng, shape):
    return rng.random(shape) ** 3  # rows that do not sum to 1


def probabilities(rng, shape):
    return rng.random(shape).round(2)  # some of them 0 or 1


def zeros_and_ones(rng, shape):
    return rng.integers(2, size=shape)


def values(rng, shape):
    return rng.normal(size=shape)


def counts(rng, shape):
    return rng.poisson(3, size=shape)


CASES = {
    "labels": (nn.CrossEntropy(), cross_entropy, labels),
    "smoothed": (nn.CrossEntropy(0.25), partial(cross_entropy, label_smoothing=0.25), labels),
    "uniform": (nn.CrossEntropy(1.0), partial(cross_entropy, label_smoothing=1.0), labels),
    "soft": (nn.CrossEntropy(), cross_entropy, soft),
    "soft-smoothed": (nn.CrossEntropy(0.25), partial(cross_entropy, label_smoothing=0.25), soft),
    "binary": (
        nn.BinaryCrossEntropy(),
        over_outputs(binary_cross_entropy, 1.0),
        zeros_and_ones,
    ),
    "binary-weight": (
        nn.BinaryCrossEntropy(3.0),
        over_outputs(binary_cross_entropy, 3.0),
        zeros_and_ones,
    ),
    "binary-soft": (
        nn.BinaryCrossEntropy(3.0),
        over_outputs(binary_cross_entropy, 3.0),
        probabilities,
    ),
    "binary-smoothed": (
        nn.BinaryCrossEntropy(3.0, label_smoothing=0.25),
        over_outputs(binary_cross_entropy, 3.0, 0.25),
        zeros_and_ones,
    ),
    "binary-soft-smoothed": (
        nn.BinaryCrossEntropy(label_smoothing=0.25),
        over_outputs(binary_cross_entropy, 1.0, 0.25),
        probabilities,
    ),
    "binary-uniform": (
        nn.BinaryCrossEntropy(label_smoothing=1.0),
        over_outputs(binary_cross_entropy, 1.0, 1.0),
        zeros_and_ones,
    ),
    "mse": (nn.MSE(), over_outputs(mse), values),
    "mae": (nn.MAE(), over_outputs(mae), values),
    "huber": (nn.Huber(), over_outputs(huber, 1.0), values),
    "huber-half": (nn.Huber(0.5), over_outputs(huber, 0.5), values),
    "quantile": (nn.Quantile(), over_outputs(quantile, 0.5), values),
    "quantile-high": (nn.Quantile(0.875), over_outputs(quantile, 0.875), values),
    "poisson": (nn.Poisson(), over_outputs(poisson), counts),
}
by_case = pytest.mark.parametrize(("loss", "reference", "draw"), CASES.values(), ids=CASES)


def row_losses(loss, z, y, dtype="float64"):
    """The loss of each row and its gradient by z, from the kernel."""
    z = np.ascontiguousarray(z, dtype)
    n_out = z.shape[1]
    y = loss.targets(y, "y", n_out, dtype)
    plan = Plan(1, [OpSpec(kind="dense", units=n_out, bias=True)], np.dtype(dtype))
    return plan.row_losses(loss.kernel(y), loss.numbers(n_out, dtype), z, y)


def exactly(reference, z, y):
    """The same from the reference, as floats."""
    rows = [
        reference([mp.mpf(x) for x in each], t if np.ndim(t) == 0 else [mp.mpf(x) for x in t])
        for each, t in zip(z.tolist(), np.asarray(y).tolist(), strict=True)
    ]
    return np.array([float(a) for a, _ in rows]), np.array(
        [[float(x) for x in b] for _, b in rows]
    )


def assert_is(reference, loss, z, y, dtype, message=""):
    z = np.asarray(z, dtype)
    y = np.asarray(y, dtype) if np.ndim(y) == 2 else y
    value, gradient = row_losses(loss, z, y, dtype)
    expected, expected_gradient = exactly(reference, z, y)
    assert value.dtype == gradient.dtype == dtype
    plain.assert_close(value, expected, TOLERANCES[dtype], f"{message} value")
    plain.assert_close(gradient, expected_gradient, TOLERANCES[dtype], f"{message} gradient")


# -- Values and gradients --


@by_dtype
@by_case
@pytest.mark.parametrize("shape", [(70, 1), (1, 2), (65, 3), (3, 17), (1, 1030)], ids=str)
def test_values_and_gradients(shape, loss, reference, draw, dtype):
    if draw is soft and shape[1] == 1:
        pytest.skip("one output has labels only")
    rng = np.random.default_rng(0)
    assert_is(reference, loss, 3 * rng.normal(size=shape), draw(rng, shape), dtype)


@by_dtype
@pytest.mark.parametrize("smoothing", [0.0, 0.25])
@pytest.mark.parametrize("kind", ["labels", "soft"])
@pytest.mark.parametrize("n", [2, 3, 4, 5, 8, 10, 31, 56, 57, 64])
def test_cross_entropy_of_a_row_does_not_depend_on_the_others(n, kind, smoothing, dtype):
    """Short rows are transposed in tiles, and the last few are computed one by one."""
    rng = np.random.default_rng(n)
    z = rng.normal(size=(23, n)) * rng.choice([0.1, 3, 40], size=(23, 1))  # some are dominated
    y = labels(rng, z.shape) if kind == "labels" else soft(rng, z.shape)
    loss = nn.CrossEntropy(smoothing)
    reference = partial(cross_entropy, label_smoothing=smoothing)
    value, gradient = row_losses(loss, z, y, dtype)
    scale = abs(z).max(axis=1) + 1
    z = z.astype(dtype).astype("float64")
    y = np.asarray(y).astype(dtype).astype("float64") if kind == "soft" else y
    expected, expected_gradient = exactly(reference, z, y)
    assert (abs(value - expected) <= TOLERANCES[dtype] * scale * (1 + np.sum(y, -1))).all()
    assert abs(gradient - expected_gradient).max() <= TOLERANCES[dtype] * n
    for start, stop in [(0, 1), (2, 5), (1, 17), (4, 23)]:
        part = row_losses(loss, z[start:stop], y[start:stop], dtype)
        np.testing.assert_array_equal(part[0], value[start:stop])
        np.testing.assert_array_equal(part[1], gradient[start:stop])


@pytest.mark.parametrize("gap", [20, 60, 85])
@pytest.mark.parametrize("n", [2, 10, 70])
def test_cross_entropy_of_a_confident_row_keeps_its_digits(n, gap):
    """The sum of the exponentials with the label's term of 1 would lose all others."""
    z = np.zeros((20, n))
    label = np.arange(20) % n
    z[np.arange(20), label] = gap
    for dtype, ulp in (("float32", 2.0**-24), ("float64", 2.0**-53)):
        value, _ = row_losses(nn.CrossEntropy(), z, label, dtype)
        expected = float(mp.log1p((n - 1) * mp.exp(-gap)))
        assert abs(value / expected - 1).max() <= 8 * ulp


@pytest.mark.parametrize("bad", [NAN, INF])
@pytest.mark.parametrize("n", [2, 3, 10, 57])
def test_cross_entropy_of_a_row_with_nan_or_infinity_is_nan_and_no_other(n, bad):
    z = np.random.default_rng(n).normal(size=(20, n))
    label = np.arange(20) % n
    expected, expected_gradient = row_losses(nn.CrossEntropy(), z, label)
    z[7, n - 1] = bad
    value, gradient = row_losses(nn.CrossEntropy(), z, label)
    assert np.isnan(value[7])
    assert np.isnan(gradient[7]).all()
    np.testing.assert_array_equal(np.delete(value, 7), np.delete(expected, 7))
    np.testing.assert_array_equal(np.delete(gradient, 7, 0), np.delete(expected_gradient, 7, 0))


@by_dtype
def test_positive_weight_of_each_output(dtype):
    rng = np.random.default_rng(0)
    weights = [0.5, 1.0, 20.0]
    z, y = 3 * rng.normal(size=(9, 3)), rng.integers(2, size=(9, 3))
    reference = over_outputs(binary_cross_entropy, weights)
    assert_is(reference, nn.BinaryCrossEntropy(weights), z, y, dtype)
    with pytest.raises(ValueError, match=r"pos_weight must hold 1 or 2 weights.* got 3"):
        nn.Network([nn.Dense(2)], loss=nn.BinaryCrossEntropy(weights))


@by_case
def test_gradient_against_central_differences(loss, reference, draw):
    """Of the kernel's own values: what is descended is what is shown."""
    rng = np.random.default_rng(0)
    z, h = rng.normal(size=(40, 4)), 1e-5
    y = draw(rng, z.shape)
    _, gradient = row_losses(loss, z, y)
    for j in range(4):
        step = h * (np.arange(4) == j)
        above, below = row_losses(loss, z + step, y)[0], row_losses(loss, z - step, y)[0]
        plain.assert_close(gradient[:, j], (above - below) / (2 * h), 1e-6, f"output {j}")


@by_case
def test_a_step_descends_the_gradient_of_evaluate(loss, reference, draw):
    """A step of plain SGD with lr=1 moves a bias by the gradient of the mean loss."""
    rng = np.random.default_rng(0)
    X, h = rng.normal(size=(70, 4)), 1e-5
    y = draw(rng, (70, 3))
    net = nn.Network([nn.Dense(3)], loss=loss, optimizer=nn.SGD(1.0), seed=0, dtype="float64")
    before = net.build(4).state_dict()
    numeric = []
    for j in range(3):
        figures = []
        for sign in (1, -1):
            bias = before["0.bias"] + sign * h * (np.arange(3) == j)
            net.load_state_dict(before | {"0.bias": bias})
            figures.append(net.evaluate(X, y)["loss"])
        numeric.append((figures[0] - figures[1]) / (2 * h))
    net.load_state_dict(before)
    assert net.train_on_batch(X, y) == pytest.approx(net_loss(net, before, X, y), rel=1e-12)
    plain.assert_close(before["0.bias"] - net.state_dict()["0.bias"], np.array(numeric), 1e-6)


def net_loss(net, state, X, y):
    """The mean loss with other parameters, which are put back."""
    now = net.state_dict()
    net.load_state_dict(state)
    loss = net.evaluate(X, y)["loss"]
    net.load_state_dict(now)
    return loss


@by_dtype
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_one_hot_rows_are_labels(smoothing, dtype):
    rng = np.random.default_rng(0)
    z, y = rng.normal(size=(30, 5)), rng.integers(5, size=30)
    loss = nn.CrossEntropy(smoothing)
    for one, other in zip(
        row_losses(loss, z, y, dtype), row_losses(loss, z, np.eye(5)[y], dtype), strict=True
    ):
        plain.assert_close(one, other, TOLERANCES[dtype])


# -- Extreme outputs --

EXTREME = [0.0, 1e-30, 1e-3, 1.0, 17.0, 88.0, 104.0, 700.0, 746.0, 1e4]
SIGNED = np.array(EXTREME + [-z for z in EXTREME])[:, None]


@by_dtype
@pytest.mark.parametrize("label", [0, 1])
def test_binary_cross_entropy_of_extreme_logits(label, dtype):
    """Each by itself, to its own size: the tails are not lost beside 1."""
    loss, reference = nn.BinaryCrossEntropy(3.0), over_outputs(binary_cross_entropy, 3.0)
    z = SIGNED.astype(dtype)
    y = np.full(z.shape, label)
    value, gradient = row_losses(loss, z, y, dtype)
    expected, expected_gradient = exactly(reference, z, y)
    tiny = np.finfo(dtype).tiny
    for mine, exact in ((value, expected), (gradient, expected_gradient)):
        np.testing.assert_allclose(mine, exact, rtol=4 * np.finfo(dtype).eps, atol=tiny)


@by_dtype
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_of_extreme_logits(smoothing, dtype):
    """To the rounding of the largest probability, 1."""
    reference = partial(cross_entropy, label_smoothing=smoothing)
    z = np.stack([np.broadcast_to(each, 3) * [1, -0.5, 0] for each in SIGNED]).astype(dtype)
    for label in range(3):
        labels = np.full(len(z), label)
        expected = exactly(reference, z, labels)
        for y in (labels, np.eye(3)[labels]):
            mine = row_losses(nn.CrossEntropy(smoothing), z, y, dtype)
            for one, other in zip(mine, expected, strict=True):
                eps = np.finfo(dtype).eps
                np.testing.assert_allclose(one, other, rtol=4 * eps, atol=2 * eps)


@by_dtype
@pytest.mark.parametrize("n", [2, 3, 10, 40])
def test_cross_entropy_of_a_well_classified_row(n, dtype):
    """The loss is log(1 + the others), which a sum with 1 would round away."""
    gaps = [5, 20, 60] if dtype == "float32" else [5, 40, 90, 600]
    rng = np.random.default_rng(n)
    for label in {0, n // 2, n - 1}:
        z = rng.uniform(-1, 0, (len(gaps), n)).astype(dtype)
        z[:, label] = gaps
        labels = np.full(len(gaps), label)
        with mp.workdps(300):
            expected, _ = exactly(cross_entropy, z, labels)
        for y in (labels, np.eye(n)[labels]):
            value, _ = row_losses(nn.CrossEntropy(), z, y, dtype)
            np.testing.assert_allclose(value, expected, rtol=4 * np.finfo(dtype).eps)


@by_dtype
def test_offset_of_logits_does_not_matter(dtype):
    z = np.array([[1e4, 1e4 + 1, 1e4 - 1]])
    for y in ([1], [[0.0, 0.5, 0.25]]):
        for smoothing in (0.0, 0.1):
            one = row_losses(nn.CrossEntropy(smoothing), z, y, dtype)
            other = row_losses(nn.CrossEntropy(smoothing), z - 1e4, y, dtype)
            for a, b in zip(one, other, strict=True):
                plain.assert_close(a, b, TOLERANCES[dtype])


@by_dtype
def test_kinks(dtype):
    def slope(loss, z):
        return row_losses(loss, [[z]], [0.0], dtype)[1][0, 0]

    assert [slope(nn.MAE(), z) for z in (-1e-40, -0.0, 0.0, 1e-40)] == [-1, 0, 0, 1]
    assert [slope(nn.Quantile(0.75), z) for z in (-1.0, 0.0, 1.0)] == [-0.75, 0, 0.25]
    delta = np.dtype(dtype).type(0.5)
    above = np.nextafter(delta, delta + 1)
    for sign in (-1, 1):
        at = [row_losses(nn.Huber(0.5), [[sign * z]], [0.0], dtype) for z in (delta, above)]
        assert [value[0] for value, _ in at] == pytest.approx([0.125, 0.125], rel=1e-6)
        assert [dz[0, 0] for _, dz in at] == [sign * 0.5, sign * 0.5]
    huge = 1e30
    assert row_losses(nn.Huber(0.5), [[huge]], [0.0], dtype)[0][0] == pytest.approx(huge / 2)


@by_dtype
def test_poisson_overflow_is_a_loss_that_is_not_finite(dtype):
    z = [[1e4], [710.0], [-1e4], [1e30]]
    value, dz = row_losses(nn.Poisson(), z, [0, 3, 0, 5], dtype)
    assert value.tolist() == [INF, INF, 0, INF]
    assert dz.ravel().tolist() == [INF, INF, 0, INF]
    net = nn.Network([nn.Dense(1)], loss="poisson", seed=0, dtype=dtype).build(1)
    net.load_state_dict({"0.weight": [[800.0]], "0.bias": [0.0]})
    with pytest.raises(FloatingPointError, match="not finite"):
        net.train_on_batch([[1.0]], [2])
    assert net.state_dict()["0.weight"] == 800
    assert net.predict([[1.0], [-1.0]]).tolist() == [INF, 0]


@by_case
def test_nan_is_a_loss_that_is_not_finite(loss, reference, draw):
    y = draw(np.random.default_rng(0), (1, 3))
    value, _ = row_losses(loss, [[0.0, NAN, 1.0]], y)
    assert np.isnan(value).all()
