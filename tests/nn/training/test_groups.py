"""Fits of rows in groups: minibatches, their sums as a tree, and the same bits for any owners."""

import numpy as np
import pytest

import relume
from relume import nn
from relume.engine.group_training import TAIL, GroupTraining, add_tails
from relume.engine.tree import add_tree, roots
from relume.nn.training.group_fit import GroupBatches
from relume.nn.training.groups import Groups, even_sizes, groups_of, order, owned, seed_of
from relume.nn.training.run import new_training

UNEVEN = (100, 0, 37, 1, 0, 90, 12)  # of 240 rows


def data(n=240, dtype="float32", classes=3):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 9)).astype(dtype)
    return X, (X[:, :classes] + 0.3 * rng.normal(size=(n, classes))).argmax(axis=1)


def dense(dtype="float32", layers=None, **options):
    layers = layers or [nn.Dense(16, activation="relu"), nn.Dense(3)]
    return nn.Network(layers, **{"seed": 1, "dtype": dtype, "optimizer": nn.Adam(0.01)} | options)


def digest(net, history):
    """The bytes of all that a fit leaves, but for what depends on times."""
    weights = net._built()
    logs = {name: values for name, values in history.items() if name not in ("seconds", "skipped")}
    average = b"" if weights.average is None else weights.average.tobytes()
    return weights.parameters.tobytes(), weights.optimizer_state.tobytes(), average, str(logs)


# -- the tree -------------------------------------------------------------------------------------


def added(values, first, last):
    """The sum over a node of the tree, by its definition."""
    if last - first == 1:
        return values[first]
    half = 1 << (last - first - 1).bit_length() - 1
    return added(values, first, first + half) + added(values, first + half, last)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 12, 13, 16, 31])
@pytest.mark.parametrize("parts", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_tree_has_the_same_bits_for_any_owners(count, parts, dtype):
    values = np.random.default_rng(count).normal(size=(count, 5)).astype(dtype)
    found, nodes = [], []
    for part in range(parts):
        mine = owned(count, part, parts)
        leaves = [(g, 1) for g in mine]
        sums, left = add_tree(list(values[mine.start : mine.stop].copy()), leaves, count)
        assert left == roots(mine.start, mine.stop, count)
        assert len(left) <= max(1, 2 * np.log2(max(len(mine), 2)))
        found += sums
        nodes += left
    total, left = add_tree(found, nodes, count)
    assert len(left) == 1
    np.testing.assert_array_equal(total[0], added(values, 0, count))


@pytest.mark.parametrize(
    "nodes",
    [[(1, 2), (3, 1)], [(2, 1), (0, 1)], [(0, 3), (3, 1)], [(8, 1), (9, 1)], [(0, 0), (1, 1)]],
)
def test_nodes_that_are_none_of_a_tree_are_refused(nodes):
    with pytest.raises(ValueError, match="nodes must be aligned"):
        add_tree(list(np.zeros((2, 3))), nodes, 8)


# -- who takes which rows -------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [UNEVEN, (5,), (1,) * 9, (0, 0, 3), (64, 64, 64)])
@pytest.mark.parametrize("batch_size", [1, 7, 32, 1000])
def test_an_epoch_takes_each_row_once(sizes, batch_size):
    groups = Groups(sizes, batch_size)
    for g, n in enumerate(sizes):
        parts = [groups.slice(g, i) for i in range(groups.steps)]
        np.testing.assert_array_equal(np.concatenate([np.arange(n)[part] for part in parts]),
                                      np.arange(n))  # fmt: skip
        np.testing.assert_array_equal(np.sort(order(3, 2, g, n)), np.arange(n))
    counts = [groups.counts(i) for i in range(groups.steps)]
    assert np.array_equal(np.sum(counts, axis=0), sizes)
    assert max(map(sum, counts)) <= groups.max_rows()
    assert min(sum(each) for each in counts if sum(each)) == groups.min_rows()


def test_orders_differ_by_seed_epoch_and_group():
    orders = [order(*each, 50).tobytes() for each in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]]
    assert len(set(orders)) == 4
    assert order(0, 0, 0, 50).tobytes() == orders[0]


def test_even_sizes():
    assert even_sizes(10, 4) == (2, 3, 2, 3)
    assert groups_of(3, 10) == (3, 3, 4)
    assert groups_of([4, 0, 6], 10) == (4, 0, 6)


# -- an owner of all groups -----------------------------------------------------------------------


def minibatches(X, y, weight, sizes, batch_size):
    """The minibatches of an epoch without shuffling, as an iterable for a plain fit."""
    groups = Groups(sizes, batch_size)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    batches = []
    for i in range(groups.steps):
        rows = np.concatenate(
            [start + np.arange(n)[groups.slice(g, i)]
             for g, (start, n) in enumerate(zip(starts, sizes, strict=False))]
        )  # fmt: skip
        if len(rows):
            part = (X[rows], y[rows])
            batches.append(part if weight is None else (*part, weight[rows]))
    return batches


OPTIONS = {
    "plain": ({}, {}),
    "weights": ({}, {"weighted": True}),
    "clip_norm": ({"optimizer": nn.SGD(0.1, momentum=0.9, clip_norm=0.1)}, {}),
    "clip_value": ({"optimizer": nn.Adam(0.01, clip_value=0.01)}, {}),
    "average": ({"optimizer": nn.AdamW(0.01, ema_decay=0.9)}, {}),
    "schedule": ({"schedule": nn.Cosine(3)}, {}),
    "penalties": (
        {"layers": [nn.Dense(16, activation="relu", l2=0.01, max_norm=1.0), nn.Dense(3, l1=0.01)]},
        {},
    ),
    "activity": (
        {"layers": [nn.Dense(16, activation="relu"), nn.ActivityL1(0.01), nn.Dense(3)]},
        {"weighted": True},
    ),
    "batch norm": ({"layers": [nn.Dense(16), nn.BatchNorm(), nn.ReLU(), nn.Dense(3)]}, {}),
    "two batch norms": (
        {"layers": [nn.BatchNorm(), nn.Dense(16), nn.BatchNorm(), nn.Tanh(), nn.Dense(3)]},
        {"weighted": True},
    ),
    "layer norm": ({"layers": [nn.Dense(16), nn.LayerNorm(), nn.PReLU(), nn.Dense(3)]}, {}),
    "residual": (
        {"layers": [nn.Residual([nn.Dense(16, activation="relu")]), nn.Dense(3)]},
        {},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("sizes", [UNEVEN, (30,) * 8, (240,)])
def test_steps_are_those_of_the_same_minibatches(name, sizes):
    """The mean over all rows is the sum of the groups' sums over the weight of all."""
    options, extra = OPTIONS[name]
    X, y = data(dtype="float64")
    weight = np.random.default_rng(2).random(len(y)) if extra.get("weighted") else None
    net, plain = (dense("float64", **options) for _ in range(2))
    held_out = data(50, "float64")
    history = net.fit(X, y, epochs=3, batch_size=60, groups=sizes, shuffle=False,
                      sample_weight=weight, validation_data=held_out)  # fmt: skip
    expected = plain.fit(
        minibatches(X, y, weight, sizes, 60), epochs=3, steps_per_epoch=4, validation_data=held_out
    )
    for log in ("loss", "val_loss", "val_accuracy"):
        np.testing.assert_allclose(history[log], expected[log], rtol=1e-9, err_msg=log)
    for key, value in plain.state_dict().items():
        np.testing.assert_allclose(net.state_dict()[key], value, rtol=1e-7, atol=1e-9, err_msg=key)
    assert net._built().steps == plain._built().steps == 12
    if net._built().average is not None:
        np.testing.assert_allclose(net._built().average, plain._built().average, rtol=1e-7)


@pytest.mark.parametrize("groups", [1, 7, 8, 12, UNEVEN])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_threads_change_no_bit(groups, dtype):
    X, y = data(dtype=dtype)
    layers = [nn.Dense(16), nn.BatchNorm(), nn.ReLU(), nn.Dropout(0.3), nn.Dense(3)]
    found = set()
    for threads in (1, 2):
        with relume.num_threads(threads):
            net = dense(dtype, layers, optimizer=nn.Adam(0.01, clip_norm=0.5, ema_decay=0.9))
            found.add(digest(net, net.fit(X, y, epochs=2, batch_size=60, groups=groups)))
    assert len(found) == 1


def test_two_fits_are_one():
    """An order depends on (seed, epoch, group) alone, and a fit leaves the seed as it is."""
    X, y = data()
    layers = [nn.Dense(16, activation="relu"), nn.Dropout(0.3), nn.Dense(3)]
    whole, parts = dense(layers=layers), dense(layers=layers)
    history = whole.fit(X, y, epochs=3, batch_size=50, groups=4)
    for _ in range(3):
        part = parts.fit(X, y, epochs=1, batch_size=50, groups=4)
    assert digest(whole, history)[:2] == digest(parts, part)[:2]
    assert history["loss"][-1] == part["loss"][0]


@pytest.mark.parametrize("kind", ["sparse", "memory map"])
def test_rows_may_be_read_a_few_at_a_time(kind, tmp_path):
    X, y = data()
    X[X < 0.5] = 0
    if kind == "sparse":
        given = pytest.importorskip("scipy.sparse").csr_matrix(X)
    else:
        np.save(tmp_path / "X.npy", X.astype("float64"))
        given = np.load(tmp_path / "X.npy", mmap_mode="r")
    net, expected = dense(), dense()
    history = net.fit(given, y, epochs=2, batch_size=60, groups=UNEVEN)
    np.testing.assert_allclose(
        history["loss"],
        expected.fit(X, y, epochs=2, batch_size=60, groups=UNEVEN)["loss"],
        rtol=1e-6,
    )


@pytest.mark.parametrize("sizes", [UNEVEN, (80,) * 3])
def test_lbfgs(sizes):
    X, y = data(dtype="float64")
    net, plain = (dense("float64", optimizer=nn.LBFGS(max_iter=15)) for _ in range(2))
    history, expected = net.fit(X, y, groups=sizes), plain.fit(X, y)
    np.testing.assert_allclose(history["loss"], expected["loss"], rtol=1e-6)


def test_callbacks_see_what_they_see_in_a_fit():
    X, y = data()
    seen = []

    class Steps(nn.Callback):
        def on_batch_end(self, net, step, loss):
            seen.append((step, loss))

    callbacks = [Steps(), nn.Monitor(), nn.EarlyStopping(patience=1, min_delta=10.0)]
    net = dense()
    history = net.fit(
        X, y, epochs=20, batch_size=60, groups=5, validation_data=data(50), callbacks=callbacks
    )
    assert len(history["loss"]) == 2
    assert [step for step, _ in seen] == [1, 2, 3, 4] * 2
    assert np.mean([loss for _, loss in seen[:4]]) == pytest.approx(history["loss"][0])
    plain = dense()
    plain.fit(X, y, epochs=1, batch_size=60, callbacks=[nn.Monitor()])
    ours, theirs = history.layers[0], plain.history.layers[0]
    assert ours.keys() == theirs.keys()
    for layer, values in theirs.items():
        assert ours[layer].keys() == values.keys()


# -- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("groups", "match"),
    [
        (0, "at least 1"),
        ("8", "integer"),
        (2.5, "integer"),
        ([100, 100], "240"),
        ([], "at least one"),
        ([241, -1], r"groups\[1\]"),
    ],
)
def test_bad_groups(groups, match):
    with pytest.raises((TypeError, ValueError), match=match):
        dense().fit(*data(), groups=groups)


def test_minibatches_have_no_groups():
    with pytest.raises(ValueError, match="groups must be None"):
        dense().fit([data()], groups=2)


def test_a_loss_in_python_tells_no_losses_of_rows():
    net = nn.Network([nn.Dense(3)], loss=lambda y, z: (float(np.mean(z)), np.ones_like(z)))
    with pytest.raises(ValueError, match="loss must be one of relume's own"):
        net.fit(*data(), groups=2)


@pytest.mark.parametrize("layers", [None, [nn.Dense(4), nn.BatchNorm(), nn.Dense(3)]])
def test_a_row_that_is_not_finite(layers):
    X, y = data()
    X[17, 3] = np.nan
    net = dense(layers=layers)
    net.build(9)
    before = net._built().parameters.copy()
    with pytest.raises(ValueError, match="X"):
        net.fit(X, y, groups=4, batch_size=60)
    np.testing.assert_array_equal(net._built().parameters, before)


def test_a_batch_norm_needs_two_rows_a_step():
    with pytest.raises(ValueError, match="batch_size must leave at least 2 rows"):
        dense(layers=[nn.Dense(4), nn.BatchNorm(), nn.Dense(3)]).fit(
            *data(9), batch_size=2, groups=[7, 2]
        )


def test_divergence_puts_the_network_back():
    X, y = data()
    net = dense(optimizer=nn.SGD(1e30))
    with pytest.raises(FloatingPointError, match="epoch 1"):
        net.fit(X, y, groups=3, batch_size=60)


def test_weights_of_zero_make_no_step():
    X, y = data(60)
    weight = np.zeros(60)
    weight[::20] = 1
    net = dense()
    net.fit(X, y, groups=[20, 20, 20], batch_size=6, shuffle=False, sample_weight=weight)
    assert net._built().steps == 1


# -- owners of some groups ------------------------------------------------------------------------


@pytest.mark.parametrize("parts", [2, 3])
@pytest.mark.parametrize("clip_norm", [None, 0.1])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_owners_and_slices_make_the_step_of_one_owner(parts, clip_norm, dtype):
    """Each owner adds up its own groups and updates some blocks of all parameters."""
    X, y = data(dtype=dtype)
    groups = Groups(UNEVEN, 60)
    layers = [
        nn.Dense(200, activation="relu", l2=0.01),
        nn.Dropout(0.2),
        nn.Dense(3, max_norm=1.0),
    ]
    nets = [dense(dtype, layers, optimizer=nn.Adam(0.01, clip_norm=clip_norm, ema_decay=0.9))
            for _ in range(parts + 1)]  # fmt: skip
    trainings, sources, starts = [], [], np.concatenate([[0], np.cumsum(UNEVEN)])
    for part, net in enumerate(nets):
        net.build(9)
        mine = owned(7, part, parts) if part < parts else range(7)
        rows = slice(starts[mine.start], starts[mine.stop])
        source = GroupBatches(X[rows], y[rows], None, groups, True, mine.start, mine.stop)
        source.begin_epoch(5, 0)
        training = new_training(net, source.rows, y[:0], kind=GroupTraining)
        training.own(mine.start, mine.stop, 7)
        sources.append(source)
        trainings.append(training)
    n = nets[0]._built().plan.n_parameters
    blocks = nets[0]._built().plan.n_blocks
    assert blocks >= 2
    for i in range(groups.steps):
        sums, tails, nodes = [], [], []
        for training, source in zip(trainings[:-1], sources, strict=False):
            k = len(training.nodes)
            sums.append(np.zeros((k, n), dtype))
            tails.append(np.zeros((k, len(TAIL))))
            training.sums(*source.step(i), sums[-1], tails[-1], 77 + i)
            nodes += training.nodes
        (total,), _ = add_tree(list(np.concatenate(sums)), nodes, 7)
        (tail,) = add_tails(np.concatenate(tails), nodes, 7)
        cuts = [blocks * part // parts for part in range(parts + 1)]
        gradients = [total.copy() for _ in range(parts)]
        for part, training in enumerate(trainings[:-1]):
            status, weight, _ = training.begin_update(
                gradients[part], tail, cuts[part], cuts[part + 1]
            )
            assert status == 0
        whole = np.zeros((2, blocks))
        for part, training in enumerate(trainings[:-1]):
            part = slice(cuts[part], cuts[part + 1])
            whole[:, part] = training.block_sums[:, part]
        before = nets[0]._built().parameters.copy()
        for training in trainings[:-1]:
            training.block_sums[:] = whole
            training.end_update(0.01)
        merged = before.copy()
        for net in nets[:-1]:
            now = net._built().parameters
            merged[now != before] = now[now != before]
        losses = []
        for net, training in zip(nets[:-1], trainings, strict=False):
            net._built().parameters[:] = merged
            losses.append(training.finish_update())
        expected = trainings[-1].step(*sources[-1].step(i), 0.01, 77 + i)
        assert expected == (0, weight, losses[0])
        assert len(set(losses)) == 1
        for net in nets[:-1]:
            np.testing.assert_array_equal(net._built().parameters, nets[-1]._built().parameters)


def test_seed_of_leaves_the_generator_as_it_is():
    rng = np.random.default_rng(3)
    assert seed_of(rng) == seed_of(rng) == int(rng.integers(2**64, dtype=np.uint64))


@pytest.mark.parametrize("weighted", [False, True])
def test_shards_in_groups_without_shuffling_are_their_rows(weighted, tmp_path):
    X, y = data()
    columns = {"X": X, "y": y}
    if weighted:
        columns["sample_weight"] = np.random.default_rng(1).random(240).astype("float32")
    for name, values in columns.items():
        (tmp_path / name).mkdir()
        for i, part in enumerate(np.split(values, [50, 60, 200])):
            np.save(tmp_path / name / f"{i}.npy", part)
    shards, rows = dense(), dense()
    found = shards.fit(nn.Shards(tmp_path), epochs=2, batch_size=60, groups=UNEVEN, shuffle=False)
    expected = rows.fit(X, y, sample_weight=columns.get("sample_weight"), epochs=2, batch_size=60,
                        groups=UNEVEN, shuffle=False)  # fmt: skip
    assert digest(shards, found) == digest(rows, expected)
