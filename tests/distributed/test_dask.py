"""Training on a Dask cluster: the bits of `net.fit(groups=)`, whoever computes, and who dies."""

import os
import signal
import subprocess
import sys

import dask
import dask.array
import numpy as np
import pandas
import pytest

from relume import nn

distributed = pytest.importorskip("distributed", reason="distributed is optional")
from relume.distributed import dask as on_dask  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*workers on .* have more threads:RuntimeWarning"),
    pytest.mark.filterwarnings("default::DeprecationWarning:distributed"),
    pytest.mark.filterwarnings("default::ResourceWarning"),
]
RNG = np.random.default_rng(0)
X = RNG.standard_normal((1000, 6))
Y = RNG.integers(0, 3, 1000)
Y[:100] = 2  # the first partition has one label only
WEIGHT = RNG.random(1000)
PARTS = (100, 0, 300, 150, 450)


@pytest.fixture(autouse=True)
def _limit():
    """No test waits longer than a minute."""

    def stop(number, frame):
        raise TimeoutError("the test took more than 60 s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def cluster_of(workers, processes=False):
    return distributed.LocalCluster(
        n_workers=workers, threads_per_worker=1, processes=processes, dashboard_address=":0"
    )


@pytest.fixture(scope="module", params=[1, 2, 3])
def client(request):
    with cluster_of(request.param) as cluster, distributed.Client(cluster) as client:
        yield client


def lazy(array, parts=PARTS):
    return dask.array.from_array(array, chunks=(parts, *((s,) for s in array.shape[1:])))


def network(kind="adam", dtype="float32"):
    layers = [nn.Dense(16, activation="relu"), nn.Dropout(0.2), nn.Dense(3)]
    optimizer = nn.Adam(0.01, clip_norm=0.5, ema_decay=0.9)
    options = {}
    if kind == "lbfgs":
        layers, optimizer = [layers[0], layers[2]], nn.LBFGS(max_iter=5)
    if kind == "mse":
        layers = [nn.Dense(8, activation="tanh", l2=0.01), nn.Dense(2)]
        options = {"loss": "mse", "schedule": nn.Cosine(4)}
    return nn.Network(layers, seed=0, optimizer=optimizer, dtype=dtype, **options)


def state_of(net):
    weights = net._built()
    arrays = weights.parameters, weights.optimizer_state, weights.average
    return [None if each is None else each.tobytes() for each in arrays]


def same(net, history, other, expected):
    assert state_of(net) == state_of(other)
    for name in expected:
        if name not in ("seconds", "skipped"):
            assert history[name] == expected[name], name


@pytest.mark.parametrize(
    ("groups", "kind", "dtype"),
    [
        (None, "adam", "float32"),
        (1, "adam", "float64"),
        (7, "adam", "float32"),
        (8, "lbfgs", "float32"),
        (12, "mse", "float64"),
        ((0, 600, 1, 399, 0), "mse", "float32"),
    ],
)
def test_bits_are_those_of_one_process(client, groups, kind, dtype):
    options = {"epochs": 2, "batch_size": 256}
    y = Y if kind != "mse" else X[:, :2] * 3
    if kind == "adam":
        options["class_weight"] = "balanced"
    validation = (X[:50], y[:50])
    net, other = network(kind, dtype), network(kind, dtype)
    history = on_dask.fit(
        net, lazy(X), lazy(y), sample_weight=lazy(WEIGHT), client=client, groups=groups,
        validation_data=validation, **options,
    )  # fmt: skip
    expected = other.fit(
        X, y, sample_weight=WEIGHT, groups=PARTS if groups is None else groups,
        validation_data=validation, **options,
    )  # fmt: skip
    same(net, history, other, expected)


@pytest.fixture(scope="module")
def pair():
    """Return a client of one worker in this process."""
    with cluster_of(1) as cluster, distributed.Client(cluster) as client:
        yield client


def test_dataframes_and_early_stopping(pair):
    frame = pandas.DataFrame(X, columns=[f"x{i}" for i in range(6)]).assign(y=Y)
    dataframe = pytest.importorskip("dask.dataframe", reason="dask[dataframe] is optional")
    table = dataframe.from_pandas(frame, npartitions=4)
    sizes = [len(part) for part in table.partitions]
    net, other = network(), network()
    options = {"epochs": 3, "batch_size": 300, "validation_data": (X[:50], Y[:50])}
    history = on_dask.fit(
        net, table.drop(columns="y"), table["y"], callbacks=[nn.EarlyStopping(patience=1)],
        **options,
    )  # fmt: skip
    expected = other.fit(X, Y, groups=sizes, callbacks=[nn.EarlyStopping(patience=1)], **options)
    same(net, history, other, expected)
    labels = on_dask.predict(net, table.drop(columns="y"))
    assert labels.dtype == np.int64
    found = labels.compute()
    np.testing.assert_array_equal(found.index, frame.index)
    np.testing.assert_array_equal(found, net.predict(X))


@pytest.mark.parametrize("kind", ["adam", "lbfgs"])
def test_shards_have_the_bits_of_one_process(pair, kind, tmp_path):
    for name, values in (("X", X), ("y", Y), ("sample_weight", WEIGHT)):
        (tmp_path / name).mkdir()
        for i, part in enumerate(np.array_split(values, 4)):
            np.save(tmp_path / name / f"{i}.npy", part)
    data, sizes = nn.Shards(tmp_path), [400, 0, 1, 599]
    net, other = network(kind), network(kind)
    options = {"epochs": 2, "batch_size": 256, "groups": sizes, "class_weight": "balanced"}
    history = on_dask.fit(net, data, client=pair, **options)
    if kind == "lbfgs":  # which does not shuffle, and takes arrays alone in one process
        expected = other.fit(X, Y, sample_weight=WEIGHT, **options)
    else:
        expected = other.fit(data, **options)
    same(net, history, other, expected)


# -- where rows are, and what comes back ----------------------------------------------------------


@pytest.mark.parametrize("placed", [False, True], ids=["anywhere", "on one worker"])
@pytest.mark.parametrize("groups", [None, 7])
def test_each_worker_has_consecutive_groups(client, placed, groups, monkeypatch):
    """Scattered groups have one sum each in every step, and a worker without rows does nothing."""
    plans, planned = [], on_dask._Source._planned

    def recorded(source):
        plans.append(planned(source))
        return plans[-1]

    monkeypatch.setattr(on_dask._Source, "_planned", recorded)
    parts = (100, 100, 0, 100, 100, 200, 100, 0, 100, 200)
    rows = [lazy(X, parts), lazy(Y, parts)]
    if placed:
        first = sorted(client.scheduler_info(n_workers=-1)["workers"])[0]
        rows = client.persist(rows, workers=[first], allow_other_workers=False)
        distributed.wait(rows)
    on_dask.fit(network(), *rows, client=client, groups=groups, epochs=2, batch_size=256)
    (plan,) = plans
    assert len(plan) == len(client.scheduler_info(n_workers=-1)["workers"])
    found = []
    for _, runs, mine in plan:
        assert len(runs) == 1
        assert list(range(*runs[0])) == mine
        found += mine
    assert sorted(found) == list(range(10 if groups is None else groups))


def test_sums_may_arrive_read_only_and_at_any_address(pair, monkeypatch):
    """Workers' answers are parts of one buffer, which begins with a text of any length."""
    results = on_dask._Cluster.results

    def shifted(array):
        if not isinstance(array, np.ndarray):
            return array
        data = b"." + array.tobytes()
        return np.frombuffer(data, array.dtype, array.size, 1).reshape(array.shape)

    monkeypatch.setattr(
        on_dask._Cluster, "results",
        lambda *args: [tuple(map(shifted, each)) if isinstance(each, tuple) else each
                       for each in results(*args)],
    )  # fmt: skip
    net, other = network(), network()
    on_dask.fit(net, lazy(X), lazy(Y), client=pair, epochs=2, batch_size=256)
    other.fit(X, Y, groups=PARTS, epochs=2, batch_size=256)
    assert state_of(net) == state_of(other)


# -- prediction -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["adam", "mse"])
def test_predictions_are_lazy_and_have_the_right_meta(kind):
    net = network(kind)
    net.build(6)
    rows = dask.array.from_array(X, chunks=(PARTS, (4, 2)))
    result = on_dask.predict(net, rows)
    expected = net.predict(X)
    assert isinstance(result, dask.array.Array)
    assert (result.shape, result.dtype) == (expected.shape, expected.dtype)
    assert (result._meta.ndim, result._meta.dtype) == (expected.ndim, expected.dtype)
    net.fit(X, Y if kind == "adam" else X[:, :2])  # the result has a copy
    np.testing.assert_array_equal(result.compute(scheduler="sync"), expected)


def test_probabilities_are_lazy():
    net = network()
    net.build(6)
    result = on_dask.predict_proba(net, lazy(X))
    assert (result.shape, result.dtype) == ((1000, 3), np.float32)
    np.testing.assert_array_equal(result.compute(scheduler="sync"), net.predict_proba(X))


def test_a_dataframe_of_predictions_has_its_index():
    dataframe = pytest.importorskip("dask.dataframe", reason="dask[dataframe] is optional")
    net = network("mse")
    net.build(6)
    frame = pandas.DataFrame(X, index=np.arange(1000)[::-1]).sort_index()
    result = on_dask.predict(net, dataframe.from_pandas(frame, npartitions=3))
    found = result.compute(scheduler="sync")
    assert list(result.columns) == list(found.columns) == [0, 1]
    np.testing.assert_array_equal(found.index, frame.index)
    np.testing.assert_array_equal(found, net.predict(frame))


def test_prediction_refuses_another_width():
    net = network()
    net.build(4)
    with pytest.raises(ValueError, match="X must have 4 features, got 6"):
        on_dask.predict(net, lazy(X))


# -- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["fit", "evaluate", "train_on_batch", "predict"])
def test_a_network_says_where_to_take_dask_arrays(method):
    net = network()
    net.build(6)
    arguments = (lazy(X),) if method == "predict" else (lazy(X), lazy(Y))
    with pytest.raises(TypeError, match=r"X must be in memory, .*relume\.distributed\.dask\.fit"):
        getattr(net, method)(*arguments)
    if method != "predict":
        with pytest.raises(TypeError, match="y must be in memory, got a Dask array"):
            getattr(net, method)(X, lazy(Y))


def test_a_cluster_without_workers_is_refused_in_time():
    with (
        cluster_of(0) as cluster,
        distributed.Client(cluster) as client,
        pytest.raises(TimeoutError, match=r"has had no workers for 0\.2 s"),
    ):
        on_dask.fit(network(), lazy(X), lazy(Y), client=client, timeout=0.2)


def test_no_client_is_refused(monkeypatch):
    def none():
        raise ValueError("No global client found and no address provided")

    monkeypatch.setattr(distributed, "get_client", none)
    with pytest.raises(ValueError, match=r"client must be a dask\.distributed\.Client"):
        on_dask.fit(network(), lazy(X), lazy(Y))


def strange(array, row, value):
    array = array.copy()
    array[row] = value
    return array


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"y": lazy(strange(Y, 950, 3))}, ValueError, "partition 4 of the data: y must"),
        ({"X": lazy(strange(X, 500, np.nan))}, ValueError, "X must be finite"),
        ({"X": X}, TypeError, "X must be a dask array or dataframe, got"),
        ({"y": lazy(Y[:900], (900,))}, ValueError, "X and y must have the same length"),
        ({"y": lazy(Y)[:, None][:, [0, 0]]}, ValueError, "partition 0 of the data: y must"),
        ({"X": lazy(X)[:0], "y": lazy(Y)[:0]}, ValueError, "at least one row in all"),
        ({"groups": [1, 2]}, ValueError, "groups must hold as many rows as X, 1000"),
        ({"sample_weight": lazy(-WEIGHT)}, ValueError, "partition 0 of the data: sample_weight"),
        ({"callbacks": [nn.Monitor()]}, ValueError, "callbacks must not observe minibatches"),
        ({"threads": 0}, ValueError, "threads must be at least 1"),
    ],
    ids=["label", "nan", "numpy", "length", "targets", "rows", "groups", "weight", "monitor",
         "threads"],
)  # fmt: skip
def test_bad_input_leaves_the_network_as_it_was(pair, change, error, message):
    net = network()
    net.build(6)
    before = state_of(net)
    arguments = {"X": lazy(X), "y": lazy(Y), "client": pair, "batch_size": 256, **change}
    with pytest.raises(error, match=message):
        on_dask.fit(net, **arguments)
    assert state_of(net)[0] == before[0]


def test_a_file_that_disappears_is_named_with_its_partition(pair, tmp_path):
    from dask.delayed import delayed

    files = []
    for i in range(2):
        files.append(tmp_path / f"{i}.npy")
        np.save(files[i], X[500 * i : 500 * (i + 1)])
    parts = [dask.array.from_delayed(delayed(np.load)(f), (500, 6), X.dtype) for f in files]
    rows = dask.array.concatenate(parts)
    files[1].unlink()
    with pytest.raises(RuntimeError, match=r"partition 1 of the data cannot .*/1\.npy"):
        on_dask.fit(network(), rows, lazy(Y, (500, 500)), client=pair, batch_size=256)


def test_a_partition_that_cannot_be_computed_is_named(pair):
    def part(block, block_info=None):
        if block_info and block_info[0]["chunk-location"][0] == 2:
            raise OSError("the disk is gone")
        return block

    broken = lazy(X).map_blocks(part, dtype=X.dtype, meta=np.empty((0, 0)))
    with pytest.raises(
        RuntimeError, match=r"partition 2 of the data cannot be computed: .*is gone"
    ):
        on_dask.fit(network(), broken, lazy(Y), client=pair)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([nn.Dense(3), nn.BatchNorm()], "BatchNorm on a Dask cluster"),
        ([nn.Standardize(), nn.Dense(3)], "nn.Standardize needs the training data"),
    ],
    ids=["batch norm", "standardize"],
)
def test_layers_that_need_all_rows_at_once_are_refused(pair, layers, message):
    with pytest.raises(ValueError, match=message):
        on_dask.fit(nn.Network(layers), lazy(X), lazy(Y), client=pair)


def test_more_threads_than_cores_are_warned_of(pair):
    with pytest.warns(RuntimeWarning, match=r"1 workers on .* have more threads than"):
        on_dask.fit(network(), lazy(X), lazy(Y), client=pair, threads=1 + os.cpu_count())


# -- a worker that dies ---------------------------------------------------------------------------

KILL = """
import os, signal
import dask.array, distributed, numpy as np
from relume import nn
from relume.distributed import dask as on_dask
from tests.distributed.test_dask import X, Y, lazy, network, state_of

class Kill(nn.Callback):
    def __init__(self, cluster, n):
        self.cluster, self.n, self.steps = cluster, n, 0
    def on_batch_end(self, net, batch, loss):
        self.steps += 1
        if self.steps == 3:
            for worker in list(self.cluster.workers.values())[:self.n]:
                os.kill(worker.pid, signal.SIGKILL)

if __name__ == "__main__":
    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=60)
    with cluster, distributed.Client(cluster) as client:
        net, other = network(), network()
        on_dask.fit(net, lazy(X), lazy(Y), client=client, epochs=2, batch_size=256,
                    callbacks=[Kill(cluster, 1)])
        other.fit(X, Y, groups=(100, 0, 300, 150, 450), epochs=2, batch_size=256)
        print("same" if state_of(net) == state_of(other) else "other")
        lost = client.scatter([X[:500], X[500:]])
        rows = dask.array.concatenate(
            [dask.array.from_delayed(part, (500, 6), X.dtype) for part in lost])
        try:
            on_dask.fit(network(), rows, lazy(Y, (500, 500)), client=client, epochs=3,
                        batch_size=256, callbacks=[Kill(cluster, 2)])
        except RuntimeError as error:
            print(error)
"""


def test_a_killed_workers_partitions_are_computed_again_or_named(tmp_path):
    script = tmp_path / "kill.py"
    script.write_text(KILL)
    result = subprocess.run(
        [sys.executable, "-W", "ignore", script], capture_output=True, text=True, timeout=55,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        check=False,
    )  # fmt: skip
    lines = result.stdout.splitlines()
    assert lines[:1] == ["same"], result.stderr[-2000:]
    assert "of the data cannot be computed again: what it is made of was lost" in lines[1]
    assert lines[1].startswith("partition ")


def test_without_dask_the_remedy_is_named():
    """It was Python's ModuleNotFoundError, which does not name the extra."""
    code = (
        "import sys; sys.modules['dask'] = sys.modules['distributed'] = None\n"
        "import numpy as np\n"
        "from relume import nn\n"
        "from relume.distributed import dask\n"
        "net, X = nn.Network([nn.Dense(2)]).build(2), np.eye(2)\n"
        "for call in (dask.fit, dask.predict):\n"
        "    try:\n        call(net, X)\n"
        "    except (ImportError, TypeError) as error:\n        print(error)\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    needs, kind = found.stdout.splitlines()
    assert "needs dask with distributed" in needs, found
    assert "pip install 'relume[dask]'" in needs
    assert kind.startswith("X must be a dask array or dataframe"), found
