"""A data set in a folder of shards trains as its rows do, in bounded memory, in any format."""

import itertools
import pickle
import tracemalloc

import numpy as np
import pandas
import pytest

from relume import nn
from relume.nn.data.shards import GroupedShards

ENDS = (60, 60, 200, 410, 500)  # the second shard is empty
RNG = np.random.default_rng(3)
X = RNG.standard_normal((500, 5)).astype("float32")
Y = RNG.integers(3, size=500)
WEIGHT = RNG.random(500).astype("float32")
FORMATS = ("npy", "parquet", "zarr")


def parts():
    return enumerate(zip((0, *ENDS), ENDS, strict=False))


def write_npy(folder, **columns):
    for name, values in columns.items():
        (folder / name).mkdir(parents=True)
        for i, (first, last) in parts():
            np.save(folder / name / f"{i:03}.npy", values[first:last])
    return folder


def write_parquet(folder, **columns):
    pytest.importorskip("pyarrow")
    folder.mkdir(exist_ok=True)
    for i, (first, last) in parts():
        frame = pandas.DataFrame(columns["X"][first:last], columns=[f"x{j}" for j in range(5)])
        for name in columns.keys() - {"X"}:
            frame[name] = columns[name][first:last]
        frame.to_parquet(folder / f"{i:03}.parquet", row_group_size=17)
    return folder


def write_zarr(folder, **columns):
    zarr = pytest.importorskip("zarr", reason="zarr is optional")
    group = zarr.open_group(folder, mode="w")
    for name, values in columns.items():
        group.create_array(name, data=values, chunks=(70, *values.shape[1:]))
    return folder


WRITERS = {"npy": write_npy, "parquet": write_parquet, "zarr": write_zarr}


def network(*, first=None, outputs=3, **options):
    layers = [nn.Dense(6, activation="relu"), nn.Dense(outputs)]
    return nn.Network([first, *layers] if first else layers, seed=0, **options)


def state_of(net):
    return {name: values.tobytes() for name, values in net.state_dict().items()}


@pytest.mark.parametrize("form", FORMATS)
def test_rows_are_those_that_were_written(form, tmp_path):
    data = nn.Shards(WRITERS[form](tmp_path / "data", X=X, y=Y, sample_weight=WEIGHT))
    assert data.shape == (500, 5)
    for first, last in ((0, 500), (59, 61), (60, 200), (130, 431), (7, 7)):
        found = data.rows(first, last)
        for values, expected in zip(found, (X, Y, WEIGHT), strict=True):
            np.testing.assert_array_equal(values, expected[first:last])
            assert values.dtype == expected.dtype


@pytest.mark.parametrize("form", FORMATS)
def test_fit_in_the_order_of_shards_has_the_bits_of_arrays(form, tmp_path):
    data = nn.Shards(WRITERS[form](tmp_path / "data", X=X, y=Y, sample_weight=WEIGHT))
    nets = [network(optimizer=nn.Adam(0.01, ema_decay=0.9)) for _ in range(2)]
    options = {"epochs": 2, "batch_size": 32, "shuffle": False}
    h = nets[0].fit(data, validation_data=data, class_weight="balanced", **options)
    k = nets[1].fit(
        X, Y, sample_weight=WEIGHT, validation_data=(X, Y, WEIGHT), class_weight="balanced",
        **options,
    )  # fmt: skip
    assert state_of(nets[0]) == state_of(nets[1])
    np.testing.assert_allclose(h["loss"], k["loss"], rtol=1e-6)
    assert h["val_loss"] == k["val_loss"]
    assert nets[0].evaluate(data) == nets[1].evaluate(X, Y, WEIGHT)
    np.testing.assert_array_equal(nets[0].predict(data), nets[1].predict(X))


def test_targets_are_scaled_and_features_standardized(tmp_path):
    """Seconds since 1970 need the mean of all shards before they are rounded to float32."""
    big, y = X.astype("float64") + 1.7e9, X[:, :2] * 100.0 + 7
    data = nn.Shards(write_npy(tmp_path, X=big, y=y))
    nets = [
        network(first=nn.Standardize(), outputs=2, loss="mse", scale_targets=True)
        for _ in range(2)
    ]
    nets[0].fit(data, batch_size=50, shuffle=False, validation_data=(big[:99], y[:99]))
    nets[1].fit(big, y, batch_size=50, shuffle=False, validation_data=(big[:99], y[:99]))
    assert state_of(nets[0]) == state_of(nets[1])
    assert nets[0].history["val_loss"] == nets[1].history["val_loss"]


def test_epochs_have_orders_of_their_own_which_the_seed_repeats(tmp_path):
    data = nn.Shards(write_npy(tmp_path, X=X, y=Y))
    seen = []
    for _ in range(2):
        net = network()
        for _ in range(2):
            net.fit(data, batch_size=64)
            seen.append(state_of(net))
    assert seen[:2] == seen[2:]
    net = network()
    net.fit(data, batch_size=64, epochs=2)
    assert state_of(net) == seen[1]


def test_every_row_is_taken_once_in_an_epoch_and_groups_ignore_how_they_are_read(tmp_path):
    data = nn.Shards(write_npy(tmp_path, X=X, y=np.arange(500)))
    sizes = (130, 0, 1, 289, 80)
    read = GroupedShards(data, sizes)
    orders = {}
    for epoch in range(2):
        for group, n in enumerate(sizes):
            cuts = [n * i // 7 for i in range(8)]
            steps = [
                read.rows(5, epoch, group, slice(*cut))[1] for cut in itertools.pairwise(cuts)
            ]
            orders[epoch, group] = np.concatenate(steps)
            first = sum(sizes[:group])
            assert sorted(orders[epoch, group]) == list(range(first, first + n))
    assert (orders[0, 0] != orders[1, 0]).any()
    again = pickle.loads(pickle.dumps(data))
    for (epoch, group), order in reversed(orders.items()):
        middle = slice(sizes[group] // 3, sizes[group])  # what was passed over is not read
        _, y, _ = GroupedShards(again, sizes).rows(5, epoch, group, middle)
        np.testing.assert_array_equal(y, order[middle])


def test_a_minibatch_has_rows_of_several_shards(tmp_path):
    for name in ("X", "y"):
        (tmp_path / name).mkdir()
    for i in range(10):
        np.save(tmp_path / "X" / f"{i}.npy", np.zeros((160, 2), "float32"))
        np.save(tmp_path / "y" / f"{i}.npy", np.full(160, i))
    data = GroupedShards(nn.Shards(tmp_path), [1600])
    kinds = [len(np.unique(data.rows(0, epoch, 0, slice(0, 64))[1])) for epoch in range(5)]
    assert min(kinds) >= 3


@pytest.mark.parametrize(("groups", "count"), [(1, 20), (8, 6)])
def test_memory_is_below_two_shards(groups, count, tmp_path):
    rows, width = 1600, 256
    for name in ("X", "y"):
        (tmp_path / name).mkdir()
    for i in range(count):
        np.save(tmp_path / "X" / f"{i:02}.npy", np.full((rows, width), i, "float32"))
        np.save(tmp_path / "y" / f"{i:02}.npy", np.arange(rows) % 3)
    net = network()
    net.build(width)
    tracemalloc.start()  # NumPy reports its arrays to it
    try:
        data = nn.Shards(tmp_path)
        if groups == 1:
            net.fit(data, batch_size=100)
        else:
            sizes = [len(data) // groups] * groups
            read = GroupedShards(data, sizes)
            for step in range(sizes[0] // 100):
                for group in range(groups):
                    read.rows(0, 0, group, slice(100 * step, 100 * step + 100))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 * rows * width * 4


# -- what is refused ------------------------------------------------------------------------------


def refused(folder, message, error=ValueError):
    with pytest.raises(error, match=message):
        nn.Shards(folder)


def test_a_missing_folder_is_named(tmp_path):
    refused(tmp_path / "none", "path must be a folder of shards, got '.*none'", FileNotFoundError)


def test_a_folder_without_shards_is_refused(tmp_path):
    refused(tmp_path, "X/\\*.npy and y/\\*.npy, with \\*.parquet, or a zarr group")


@pytest.mark.parametrize("name", ["X", "y", "sample_weight"])
def test_a_missing_shard_is_named(name, tmp_path):
    folder = write_npy(tmp_path, X=X, y=Y, sample_weight=WEIGHT)
    (folder / name / "003.npy").unlink()
    refused(folder, f"{name}/003.npy is missing")


def test_a_folder_without_targets_is_refused(tmp_path):
    refused(write_npy(tmp_path, X=X), "a folder y beside X")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((210, 4), "float32"), "shape \\('n', 5\\) and dtype float32; got .*4.*003.npy"),
        (np.zeros((210, 5)), "dtype float32; got shape .* dtype float64 in .*003.npy"),
        (np.zeros((9, 5), "float32"), "y/003.npy cannot be read: 210 rows where .* has 9"),
        (np.zeros(210, "float32"), "X/003.npy cannot be read: shape \\(210,\\)"),
        (np.full((210, 5), "a"), "003.npy"),
        (np.full((210, 5), None), "X/003.npy cannot be read: no .npy file of numbers"),
    ],
    ids=["width", "dtype", "rows", "axes", "text", "objects"],
)
def test_a_shard_of_another_form_is_named(values, message, tmp_path):
    folder = write_npy(tmp_path, X=X, y=Y)
    np.save(folder / "X" / "003.npy", values, allow_pickle=True)
    refused(folder, message)


class Planted:
    """A pickle that leaves a file where it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def test_nothing_is_unpickled(tmp_path):
    folder = write_npy(tmp_path / "data", X=X, y=Y)
    (folder / "X" / "003.npy").write_bytes(pickle.dumps(Planted(str(tmp_path / "planted"))))
    refused(folder, "X/003.npy cannot be read")
    assert not (tmp_path / "planted").exists()


@pytest.mark.parametrize("length", [0, 5, 100, 1000])
def test_a_damaged_file_is_named(length, tmp_path):
    folder = write_npy(tmp_path, X=X, y=Y)
    file = folder / "X" / "002.npy"
    file.write_bytes(file.read_bytes()[:length])
    refused(folder, "X/002.npy cannot be read: no .npy file of numbers, or damaged")


def test_a_damaged_parquet_file_is_named(tmp_path):
    folder = write_parquet(tmp_path, X=X, y=Y)
    file = folder / "002.parquet"
    file.write_bytes(file.read_bytes()[:-50])
    refused(folder, "002.parquet cannot be read: no parquet file, or damaged")


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("y", None, "no column y among"),
        ("x1", "text", "column 'x1' is of type .*, not of numbers"),
    ],
)
def test_a_parquet_file_with_other_columns_is_named(column, values, message, tmp_path):
    folder = write_parquet(tmp_path, X=X, y=Y)
    frame = pandas.read_parquet(folder / "002.parquet")
    frame = frame.drop(columns=column) if values is None else frame.assign(**{column: values})
    frame.to_parquet(folder / "002.parquet")
    refused(folder, f"002.parquet cannot be read: {message}")


def test_missing_values_are_refused_before_anything_is_changed(tmp_path):
    holes = X.copy()
    holes[300, 2] = np.nan
    net = network()
    net.build(5)
    before = state_of(net)
    with pytest.raises(ValueError, match="X must be finite in float32"):
        net.fit(nn.Shards(write_npy(tmp_path, X=holes, y=Y)), batch_size=20)
    assert state_of(net) == before


def test_a_label_of_no_class_is_refused_before_anything_is_changed(tmp_path):
    net = network()
    net.build(5)
    before = state_of(net)
    with pytest.raises(ValueError, match="y must"):
        net.fit(nn.Shards(write_npy(tmp_path, X=X, y=np.where(np.arange(500) == 400, 3, Y))))
    assert state_of(net) == before


def test_a_file_that_goes_or_changes_after_it_was_opened_is_named(tmp_path):
    data = nn.Shards(write_npy(tmp_path, X=X, y=Y))
    np.save(tmp_path / "X" / "002.npy", np.zeros((20, 5), "float32"))
    with pytest.raises(ValueError, match=r"X/002\.npy cannot be read: .*changed after"):
        data.rows(100, 200)
    (tmp_path / "X" / "002.npy").unlink()
    with pytest.raises(FileNotFoundError, match=r"X/002\.npy is missing"):
        network().fit(data)


@pytest.mark.parametrize(
    "options",
    [
        {"sample_weight": WEIGHT},
        {"validation_split": 0.1},
        {"steps_per_epoch": 3},
        {"y": Y},
    ],
    ids=lambda options: next(iter(options)),
)
def test_what_the_shards_hold_is_refused_as_an_argument(options, tmp_path):
    with pytest.raises(ValueError, match=r"nn\.Shards"):
        network().fit(nn.Shards(write_npy(tmp_path, X=X, y=Y)), **options)


def test_lbfgs_refuses_shards(tmp_path):
    data = nn.Shards(write_npy(tmp_path, X=X, y=Y))
    with pytest.raises(ValueError, match="LBFGS"):
        network(optimizer=nn.LBFGS()).fit(data)


def test_the_wrong_width_is_refused(tmp_path):
    net = network()
    net.build(4)
    with pytest.raises(ValueError, match="X must have 4 features, got 5"):
        net.fit(nn.Shards(write_npy(tmp_path, X=X, y=Y)))
