"""All digests and kills of a Dask cluster of `make distributed`; the suite has a sample of them.

Every case in both dtypes with 1, 7, 8 and 12 groups and uneven ones, with 1 to 3 workers; then a
fit on two workers, one of which is killed, at 10 random moments.
"""

import itertools
import os
import signal
import sys
import threading
import time
from pathlib import Path

import dask.array
import distributed
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from relume.distributed import dask as on_dask
from tests.distributed.cases import CASES, UNEVEN, case, digest, local

LIMIT = 60  # seconds of a fit


def lazy(array, rows=37):
    return dask.array.from_array(array, chunks=(rows, *array.shape[1:]))


def on_cluster(client, name, groups, dtype, **options):
    """The digest of a fit on the workers."""
    net, X, y, arguments = case(name, groups, dtype)
    if "sample_weight" in arguments:
        arguments["sample_weight"] = lazy(arguments["sample_weight"])
    fit = on_dask.fit(net, lazy(X), lazy(y), client=client, **arguments | options)
    return digest(net, fit)


def cluster_of(workers, processes):
    return distributed.LocalCluster(
        n_workers=workers, threads_per_worker=1, processes=processes, dashboard_address=":0",
        silence_logs=60,
    )  # fmt: skip


def digests():
    """Compare the digests of all cases; returns how many differ."""
    names = [name for name in CASES if name != "batch norm"]  # which Dask refuses
    cases = list(itertools.product(names, [1, 7, 8, 12, UNEVEN], ["float32", "float64"]))
    expected, wrong = [local(*each) for each in cases], 0
    for workers in (1, 2, 3):
        with cluster_of(workers, False) as cluster, distributed.Client(cluster) as client:
            found = [on_cluster(client, *each) for each in cases]
        bad = [each for each, a, b in zip(cases, expected, found, strict=True) if a != b]
        print(f"{workers} Dask workers: {len(cases) - len(bad)} of {len(cases)} equal", *bad,
              flush=True)  # fmt: skip
        wrong += len(bad)
    return wrong


def kills(times=10):
    """Kill one of two workers at random moments."""
    epochs = 8
    net, X, y, arguments = case("dropout", 12, "float32")
    expected = digest(net, net.fit(X, y, **arguments | {"epochs": epochs}))
    rng, wrong = np.random.default_rng(0), 0
    duration = 1.0  # of a fit, until one is measured
    for i in range(times):
        with cluster_of(2, True) as cluster, distributed.Client(cluster) as client:
            if i == 0:
                begin = time.perf_counter()
                on_cluster(client, "dropout", 12, "float32", epochs=epochs)
                duration = time.perf_counter() - begin
            victim = list(cluster.workers.values())[int(rng.integers(2))]
            moment = float(rng.uniform(0, duration))
            timer = threading.Timer(moment, os.kill, (victim.pid, signal.SIGKILL))
            signal.alarm(LIMIT)  # a hang ends the process
            timer.start()
            found = on_cluster(client, "dropout", 12, "float32", epochs=epochs)
            signal.alarm(0)
            timer.join()
            print(f"kill {i + 1} after {moment:.2f} s:",
                  "equal" if found == expected else "DIFFERENT", flush=True)  # fmt: skip
            wrong += found != expected
    return wrong


if __name__ == "__main__":
    sys.exit(bool(digests() + kills()))
