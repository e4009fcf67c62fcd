"""What groups and ranks cost and gain: ``python benchmarks/distributed.py``, with mpi4py.

Each line is a ratio of times of the same steps, taken in turns: the median over rounds, and the
quartiles. Run it on a quiet machine with two cores or more.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import relume
from relume import nn

GROUPS = 8
PATHS = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
MPIEXEC = shutil.which("mpiexec", path=PATHS)


def network():
    """784-256-128-10."""
    hidden = [nn.Dense(256, activation="relu"), nn.Dense(128, activation="relu")]
    return nn.Network([*hidden, nn.Dense(10)], optimizer=nn.Adam(1e-3), seed=0)


def data(batch, steps):
    rng = np.random.default_rng(0)
    return rng.random((batch * steps, 784), dtype="float32"), rng.integers(0, 10, batch * steps)


def seconds(run):
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def show(name, ratios, must):
    low, middle, high = np.quantile(ratios, [0.25, 0.5, 0.75])
    print(f"{name:64} {middle:6.3f}  ({low:.3f} to {high:.3f})  must {must}", flush=True)


def of_groups(batch, must, limit):
    """The time of a fit in groups by that of a plain one, on one thread."""
    steps = max(4096 // batch, 1) * 2
    X, y = data(batch, steps)
    nets = [network(), network()]
    ratios, end = [], time.perf_counter() + limit
    with relume.num_threads(1):
        while time.perf_counter() < end or len(ratios) < 4:
            times = []
            for net, groups in zip(nets, (GROUPS, None), strict=True):
                begin = time.perf_counter()
                net.fit(X, y, batch_size=batch, groups=groups)
                times.append(time.perf_counter() - begin)
            ratios.append(times[0] / times[1])
    show(f"groups={GROUPS} by a plain fit, {batch} rows", ratios[1:], must)


def worker(batch, limit):
    """Seconds of a step on the ranks of this job, the shortest, and of fit(groups=) on one."""
    from mpi4py import MPI

    from relume.distributed import mpi
    from relume.distributed.mpi.channel import Channel
    from relume.distributed.mpi.loops import Sums

    comm = MPI.COMM_WORLD
    steps = max(4096 // batch, 1) * 2
    X, y = data(batch, steps)
    rows = mpi.rows(len(X), GROUPS)
    net, alone = network(), network()
    found, local, ends = [], [], comm.bcast(time.time() + limit)
    while comm.bcast(time.time() < ends or len(found) < 3):
        comm.Barrier()
        run = lambda: mpi.fit(net, X[rows], y[rows], groups=GROUPS, batch_size=batch)  # noqa: E731
        found.append(seconds(run) / steps)
        if comm.Get_size() == 1:
            with relume.num_threads(1):
                run = lambda: alone.fit(X, y, groups=GROUPS, batch_size=batch)  # noqa: E731
                local.append(seconds(run) / steps)
    result = {"steps": found[1:], "local": local[1:]}
    if comm.Get_size() > 1:
        channel = Channel(comm)
        channel.reserve(64)
        sums = Sums(channel, net, GROUPS)
        sums.tails[:, 2] = 1
        out, flat = np.empty_like(sums.gradients[0]), net._built().parameters.copy()
        tree, theirs = [], []

        def ours():
            sums.add()
            sums.gather(flat)

        for _ in range(300):
            comm.Barrier()
            tree.append(seconds(ours))
            comm.Barrier()
            theirs.append(seconds(lambda: comm.Allreduce(sums.gradients[0], out)))
        result |= {"tree": tree, "allreduce": theirs}
    if comm.Get_rank() == 0:
        print("RESULT", json.dumps(result))


def job(ranks, batch, limit):
    """What `worker` finds on so many ranks."""
    command = [MPIEXEC, "-n", str(ranks), sys.executable, __file__, "--worker", str(batch),
               "--seconds", str(limit)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60 + limit)
    return json.loads(done.stdout.split("RESULT", 1)[1])


def of_dask(batch, must, rounds, steps=6):
    """The time of a step of one Dask worker by that of two, of one thread each."""
    import dask.array
    import distributed

    from relume.distributed import dask as on_dask

    X, y = data(batch, 1)
    chunks = batch // GROUPS
    lazy = [dask.array.from_array(each, chunks=(chunks, *each.shape[1:])) for each in (X, y)]

    class Times(nn.Callback):
        """The moments of a fit's steps."""

        def __init__(self):
            self.ends = []

        def on_batch_end(self, net, batch, loss):
            self.ends.append(time.perf_counter())

    clusters = [
        distributed.LocalCluster(
            n_workers=n, threads_per_worker=1, dashboard_address=":0", silence_logs=60
        )
        for n in (1, 2)
    ]
    clients = [distributed.Client(cluster) for cluster in clusters]
    ratios = []
    for _ in range(rounds):
        found = []
        for client in clients:
            times = Times()
            on_dask.fit(network(), *lazy, client=client, groups=GROUPS, epochs=steps,
                        batch_size=batch, callbacks=[times])  # fmt: skip
            found.append(np.median(np.diff(times.ends)))
        ratios.append(found[0] / found[1])
        print(f"{'':8}{found[0] * 1e3:.0f} and {found[1] * 1e3:.0f} ms", flush=True)
    for each in (*clients, *clusters):
        each.close()
    show(f"1 Dask worker by 2 workers, {batch} rows", ratios, must)


def main():
    """Print the table, or run one rank."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--worker", type=int, metavar="ROWS", help="run one rank")
    parser.add_argument("--seconds", type=float, default=5, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=["groups", "mpi"], help="one part")
    options = parser.parse_args()
    if options.worker:
        worker(options.worker, options.seconds)
        return
    if options.only != "mpi":
        of_groups(512, "<= 1.10", options.seconds)
        of_groups(4096, "<= 1.02", options.seconds)
    if options.only == "groups":
        return
    for batch, must in ((512, ">= 1.5"), (4096, ">= 1.8")):
        speed, cost, tree = [], [], []
        for _ in range(options.rounds):
            one, two = (job(ranks, batch, options.seconds / 2) for ranks in (1, 2))
            speed.append(np.median(one["steps"]) / np.median(two["steps"]))
            cost.append(np.median(np.divide(one["steps"], one["local"])))
            tree.append(np.median(two["tree"]) / np.median(two["allreduce"]))
        show(f"1 rank by fit(groups={GROUPS}), {batch} rows", cost, "<= 1.05")
        show(f"1 rank by 2 ranks, {batch} rows", speed, must)
    show("the tree by MPI_Allreduce, 2 ranks", tree, "<= 1.2")
    of_dask(16384, ">= 1.5", options.rounds)


if __name__ == "__main__":
    main()
