"""`Network(sparse=...)`: the same bits whether zeros are skipped or not, and how many were."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import scipy.sparse

import relume
from relume import nn
from relume.engine import skip_zeros
from tests.support import twin as plain

SPARSITIES = ("never", "auto", "always")
by_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])

CASES = {
    "relu": lambda: [nn.Dense(300, "relu"), nn.Dense(70, "relu"), nn.Dense(3)],
    "no bias": lambda: [nn.Dense(300, "relu", use_bias=False), nn.Dense(3, use_bias=False)],
    "fat relu": lambda: [nn.Dense(300, nn.FATReLU(1.0)), nn.Dense(70, "tanh"), nn.Dense(3)],
    "activity": lambda: [nn.Dense(300, "relu"), nn.ActivityL1(1e-3), nn.Dense(3)],
    "residual": lambda: [nn.Residual([nn.Dense(70, "relu"), nn.Dense(65)]), nn.ReLU(),
                         nn.Dense(3)],
    "norm": lambda: [nn.Dense(70, "relu"), nn.BatchNorm(), nn.ReLU(), nn.Dropout(0.5),
                     nn.Dense(3)],
    "penalized": lambda: [nn.Dense(300, "relu", l1=1e-4, max_norm=2.0), nn.Dense(3)],
}  # fmt: skip
by_case = pytest.mark.parametrize("make", CASES.values(), ids=CASES)


def data(share, dtype="float32", rows=200):
    rng = np.random.default_rng(6)
    X = rng.normal(size=(rows, 65)).astype(dtype)
    X[rng.random(X.shape) < share] = 0
    return X, rng.integers(3, size=rows)


def assert_same_bits(results):
    first, *others = results
    for other in others:
        for a, b in zip(first, other, strict=True):
            np.testing.assert_array_equal(a, b)


@by_dtype
@by_case
@pytest.mark.parametrize("share", [0.0, 0.9, 1.0])
def test_training_and_prediction_give_the_same_bits(make, share, dtype):
    X, y = data(share, dtype)
    results = []
    for sparse in SPARSITIES:
        net = nn.Network(make(), optimizer=nn.Adam(0.01), seed=0, dtype=dtype, sparse=sparse)
        history = net.fit(X, y, epochs=2, batch_size=67)
        one = np.concatenate([net.forward(X[i : i + 1]) for i in range(5)])
        results.append([history["loss"], net.forward(X), one, *net.state_dict().values()])
    assert_same_bits(results)


@by_case
def test_loops_of_ones_own_give_the_same_bits(make):
    X, _ = data(0.9)
    results = []
    for sparse in SPARSITIES:
        net = nn.Network(make(), optimizer=nn.SGD(0.1), seed=0, sparse=sparse)
        z = net.forward(X, training=True)
        dX = net.backward(z / len(X))
        gradients = list(net.gradients().values())
        net.step()
        results.append([z, dX, *gradients, *net.state_dict().values()])
    assert_same_bits(results)


@pytest.mark.parametrize("sparse", SPARSITIES)
def test_any_number_of_threads_gives_the_same_bits_and_count(sparse):
    X, y = data(0.9, rows=700)
    results = []
    for threads in (1, 2, 3):
        with relume.num_threads(threads):
            layers = [nn.Dense(300, "relu"), nn.Dense(300, "relu"), nn.Dense(3)]
            net = nn.Network(layers, seed=0, sparse=sparse)
            history = net.fit(X, y, epochs=1, batch_size=350)
            skipped = [] if sparse == "auto" else history["skipped"]  # auto goes by measured times
            results.append([history["loss"], skipped, *net.state_dict().values()])
    assert_same_bits(results)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_the_share_of_products_skipped(share):
    """Of one layer all products are counted by hand: forward and of its weights' gradient."""
    X, y = data(share, rows=130)
    zeros_of_X = (X == 0).mean()
    for sparse, expected in (("never", 0.0), ("always", zeros_of_X)):
        net = nn.Network([nn.Dense(3)], seed=0, sparse=sparse)
        history = net.fit(X, y, epochs=3, batch_size=64)
        np.testing.assert_allclose(history["skipped"], expected, atol=1e-12)
    net = nn.Network([nn.Dense(300, "relu"), nn.Dense(3)], seed=0)
    assert len(net.fit(X, y, epochs=2)["skipped"]) == 2


def test_lbfgs_reports_it_too():
    X, y = data(0.9)
    net = nn.Network([nn.Dense(3)], optimizer=nn.LBFGS(3), seed=0, sparse="always")
    np.testing.assert_allclose(net.fit(X, y)["skipped"], (X == 0).mean())


@pytest.mark.parametrize("share", [0.5, 0.99])
def test_a_sparse_matrix_gives_what_a_dense_one_gives(share):
    X, y = data(share)
    results = []
    for given in (X, scipy.sparse.csr_array(X)):
        net = nn.Network([nn.Dense(300, "relu"), nn.Dense(3)], seed=0)
        history = net.fit(given, y, epochs=2, shuffle=False)
        results.append([history["loss"], net.forward(given), *net.state_dict().values()])
    assert_same_bits(results)


def test_nan_is_not_skipped():
    X, y = data(0.9)
    X[3, 4] = np.nan
    for sparse in SPARSITIES:
        net = nn.Network([nn.Dense(300, "relu"), nn.Dense(3)], sparse=sparse).build(65)
        for call in (lambda net=net: net.predict(X), lambda net=net: net.fit(X, y)):
            plain.assert_raises(ValueError, [r"\bX\b", "NaN|finite"], call)


def test_files_copies_and_compacted_networks_keep_it(tmp_path):
    X, _ = data(0.9)
    net = nn.Network([nn.Dense(30, "relu"), nn.Dense(3)], seed=0, sparse="always").build(65)
    net.save(tmp_path / "net")
    for other in (nn.load(tmp_path / "net"), net.compact(X).network):
        assert other.sparse == "always"
        assert other.fit(X, np.zeros(len(X), int))["skipped"][0] > 0.5
    plain.assert_raises(
        ValueError, ["sparse", "auto", "never", "always", "maybe"],
        lambda: nn.Network([nn.Dense(3)], sparse="maybe"),
    )  # fmt: skip


# -- the choice, at times that are given --

DENSE, COMPRESS, NONZERO = 1e-9, 1e-10, 2e-9  # seconds: skipping pays from 55 % of zeros on
CLOCK = 2e-8  # seconds that reading a clock takes


def simulate(
    shares, calls=20, dense=DENSE, compress=COMPRESS, nonzero=NONZERO, clock=CLOCK, **shape
):
    shares = np.broadcast_to(shares, calls)
    return skip_zeros.simulate(shares, dense, compress, nonzero, clock, **shape)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 0.6, 0.9, 1.0])
@pytest.mark.parametrize("shape", [(1, 64), (64, 64), (64, 1000), (16, 3)])
def test_the_faster_form_is_found_within_ten_calls(shape, share):
    rows, width = shape
    skipped, timed, min_share = simulate(share, rows=rows, width=width)
    assert min_share == pytest.approx(0.55 + 1 / width)  # a line takes as long as one element more
    assert (skipped[10:] == (share >= 0.55 + 1 / width)).all()
    assert timed[:6].all()
    assert not timed[10:].any()


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_form_that_is_always_slower_is_not_used(share):
    assert not simulate(share, compress=2 * DENSE)[0][10:].any()
    assert simulate(share, nonzero=DENSE / 10)[0][10:].all()


def test_the_choice_follows_the_zeros_at_once():
    shares = np.concatenate([np.full(40, 0.1), np.full(20, 0.9), np.full(20, 0.1), [0.9, 0.1]])
    skipped, timed, _ = simulate(shares, len(shares))
    free = ~timed
    assert free[40:].sum() > 30
    assert (skipped == (shares > 0.5))[free].all()


@pytest.mark.parametrize("before", [0.1, 10.0])
def test_other_times_change_the_choice(before):
    """Another process may take the cache, or the clock of the CPU may change."""
    dense = np.full(20_000, DENSE)
    dense[:1000] *= before
    skipped = simulate(0.5, len(dense), dense=dense)[0]
    assert skipped[900:1000].mean() == pytest.approx(float(before > 1), abs=0.1)
    assert skipped[-1000:].mean() < 0.1
    skipped = simulate(0.7, len(dense), dense=dense)[0]
    assert skipped[-1000:].mean() > 0.9


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("clock", [0.0, CLOCK, 50 * CLOCK])
def test_measuring_costs_little(share, clock):
    """The slower form takes five times as long. An emulated clock is up to 50 times slower."""
    calls, size = 100_000, 64 * 64
    dense, nonzero = (5 * DENSE, DENSE / (1 - share)) if share else (DENSE, 5 * DENSE)
    given = {"dense": dense, "compress": 0, "nonzero": nonzero, "clock": clock}
    skipped, timed, _ = simulate(share, calls, **given)
    times = np.where(skipped, nonzero * (1 - share + 1 / 64), dense) * size
    assert (times + 4 * clock * timed).sum() < 1.01 * times.min() * calls


def test_interrupted_calls_hardly_change_the_choice():
    """One call in twenty takes fifty times as long: another process had the CPU."""
    rng, calls = np.random.default_rng(0), 20_000
    slow = lambda: np.where(rng.random(calls) < 0.05, 50.0, 1.0)  # noqa: E731
    for share in (0.45, 0.7):
        times = {"dense": DENSE * slow(), "compress": COMPRESS * slow(),
                 "nonzero": NONZERO * slow()}  # fmt: skip
        skipped = simulate(share, calls, **times)[0]
        assert (skipped[100:] == (share > 0.55)).mean() > 0.95


def test_python_threads_may_choose_at_the_same_time():
    """They share a plan and its estimates; no result depends on what they choose."""
    X, _ = data(0.7)
    net = nn.Network([nn.Dense(300, "relu"), nn.Dense(3)], seed=0).build(65)
    never = nn.Network([nn.Dense(300, "relu"), nn.Dense(3)], seed=0, sparse="never").build(65)
    expected = never.forward(X), [never.forward(X[i : i + 1]) for i in range(20)]

    def predict(_):
        for i in range(200):
            np.testing.assert_array_equal(net.forward(X), expected[0])
            np.testing.assert_array_equal(net.forward(X[i % 20 :][:1]), expected[1][i % 20])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(predict, range(8)))


# -- ActivityL1 --


@by_dtype
@pytest.mark.parametrize("place", ["behind", "before the relu", "in a residual"])
def test_activity_penalty_beside_differences(place, dtype):
    """The loss of a fit is that without the penalty and the penalty; gradients are of the sum."""
    X, y = data(0.2, dtype, rows=150)
    weight = np.random.default_rng(0).random(150)
    l1 = 0.03
    make = {
        "behind": lambda l1: [nn.Dense(9, "relu"), nn.ActivityL1(l1), nn.Dense(3)],
        "before the relu": lambda l1: [nn.Dense(9), nn.ActivityL1(l1), nn.ReLU(), nn.Dense(3)],
        "in a residual": lambda l1: [
            nn.Dense(5), nn.Residual([nn.Dense(9, "tanh"), nn.ActivityL1(l1), nn.Dense(5)]),
            nn.Dense(3),
        ],
    }[place]  # fmt: skip
    plainly = nn.Network(make(0.0), optimizer=nn.SGD(0.1), seed=0, dtype=dtype)
    without = plainly.train_on_batch(X, y, weight)
    net = nn.Network(make(l1), optimizer=nn.SGD(0.1), seed=0, dtype=dtype).build(65)
    before = net.state_dict()

    def penalty(state):
        weights = [state[f"{2 * i}.weight"].astype(float) for i in range(1)]
        if place == "in a residual":
            hidden = X @ state["0.weight"].T.astype(float) + state["0.bias"]
            hidden = np.tanh(
                hidden @ state["1.layers.0.weight"].T.astype(float) + state["1.layers.0.bias"]
            )
        else:
            hidden = X @ weights[0].T + state["0.bias"]
            hidden = hidden if place == "before the relu" else np.maximum(hidden, 0)
        return l1 * np.abs(hidden).sum() / len(X)

    loss = net.train_on_batch(X, y, weight)
    tolerance = 1e-6 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(loss - without, penalty(before), rtol=tolerance * 100)
    after, other = net.state_dict(), plainly.state_dict()
    step = 1e-5
    for name in ("0.weight", "0.bias"):
        gradient = (other[name] - after[name]).astype(float) / 0.1  # of the penalty alone
        for i in range(0, gradient.size, 7):
            ends = []
            for sign in (step, -step):
                moved = {k: v.astype(float) for k, v in before.items()}
                moved[name].flat[i] += sign
                ends.append(penalty(moved))
            expected = (ends[0] - ends[1]) / (2 * step)
            np.testing.assert_allclose(gradient.flat[i], expected, atol=3e-4 * l1 + tolerance)


def test_activity_penalty_makes_zeros():
    X, y = data(0.0, rows=500)
    shares = []
    for l1 in (0.0, 0.1):
        net = nn.Network([nn.Dense(64, "relu"), nn.ActivityL1(l1), nn.Dense(3)], seed=0)
        net.fit(X, y, epochs=30)
        hidden = nn.Network([nn.Dense(64, "relu")], loss="mse").build(65)
        hidden.load_state_dict({k: v for k, v in net.state_dict().items() if k[0] == "0"})
        shares.append((hidden.forward(X) == 0).mean())
    assert shares[1] > shares[0] + 0.1


def test_activity_penalty_arguments():
    plain.assert_raises(ValueError, ["l1", "-1"], lambda: nn.ActivityL1(-1))
    plain.assert_raises(TypeError, ["l1"], lambda: nn.ActivityL1("a lot"))
    call = lambda: nn.Network([nn.ActivityL1(), nn.Dense(3)])  # noqa: E731
    plain.assert_raises(ValueError, ["ActivityL1", "first"], call)
