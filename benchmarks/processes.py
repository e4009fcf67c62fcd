"""What groups, ranks and Dask workers cost and gain: ``python benchmarks/processes.py``.

Each line is a ratio of times of the same steps, taken in turns: the median over rounds, and the
quartiles. Run it on a quiet machine with two cores or more, with mpi4py and dask installed.
PyTorch is measured if `--peers` names a Python that has it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import relume
from relume import nn

GROUPS = 8
SHARDS, SHARD_ROWS = 20, 16_000
PATHS = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
MPIEXEC = shutil.which("mpiexec", path=PATHS)


def network():
    """784-256-128-10."""
    hidden = [nn.Dense(256, activation="relu"), nn.Dense(128, activation="relu")]
    return nn.Network([*hidden, nn.Dense(10)], optimizer=nn.Adam(1e-3), seed=0)


def data(batch, steps):
    rng = np.random.default_rng(0)
    return rng.random((batch * steps, 784), dtype="float32"), rng.integers(0, 10, batch * steps)


def steps_of(batch):
    """The steps of a fit, of 100 MB of rows."""
    return max(32768 // batch, 1)


def seconds(run):
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def show(name, ratios, must):
    low, middle, high = np.quantile(ratios, [0.25, 0.5, 0.75])
    print(f"{name:64} {middle:6.3f}  ({low:.3f} to {high:.3f})  must {must}", flush=True)


def of_groups(batch, must, limit):
    """The time of a fit in groups by that of a plain one, on one thread."""
    steps = steps_of(batch)
    X, y = data(batch, steps)
    ratios, kept, end = [], [], time.perf_counter() + limit
    with relume.num_threads(1):
        while time.perf_counter() < end or len(ratios) < 4:
            # Where weights are in memory changes a step by up to 8%: each round has new ones.
            nets = [network().build(784) for _ in range(2)]
            kept += nets
            times = [[], []]
            for turn in range(4):
                for i in (0, 1) if turn % 2 else (1, 0):
                    begin = time.perf_counter()
                    nets[i].fit(X, y, batch_size=batch, groups=GROUPS if i else None)
                    times[i].append(time.perf_counter() - begin)
            plain, groups = (np.median(each[1:]) for each in times)  # the first touch new memory
            ratios.append(groups / plain)
    show(f"groups={GROUPS} by a plain fit, {batch} rows", ratios, must)


def worker(batch, limit):
    """Seconds of a step on the ranks of this job, the shortest, and of fit(groups=) on one."""
    from mpi4py import MPI

    from relume.distributed import mpi
    from relume.distributed.mpi.channel import Channel
    from relume.distributed.mpi.loops import Sums

    comm = MPI.COMM_WORLD
    steps = steps_of(batch)
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


class Counted:
    """A communicator that counts the bytes which this rank receives."""

    def __init__(self, comm):
        self.comm, self.bytes = comm, 0

    def __getattr__(self, name):
        return getattr(self.comm, name)

    def Irecv(self, array, source):
        self.bytes += array.nbytes
        return self.comm.Irecv(array, source)

    def Allgather(self, own, every):
        self.bytes += every.nbytes - own.nbytes
        self.comm.Allgather(own, every)

    def Allgatherv(self, own, every):
        self.bytes += every[0].nbytes
        self.comm.Allgatherv(own, every)


def traffic(batch):
    """The bytes that a rank receives in a step: of a fit of 6 steps, without those of one of 2."""
    from mpi4py import MPI

    from relume.distributed import mpi

    found = []
    for steps in (2, 6):
        X, y = data(batch, steps)
        comm, rows = Counted(MPI.COMM_WORLD), mpi.rows(len(X), GROUPS)
        mpi.fit(network(), X[rows], y[rows], comm=comm, groups=GROUPS, batch_size=batch)
        found.append(comm.bytes)
    if MPI.COMM_WORLD.Get_rank() == 0:
        print("RESULT", json.dumps((found[1] - found[0]) / 4))


def status(field):
    """A number of bytes that Linux knows of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def memory(folder):
    """The peak of each rank's memory while it trains on shards, beyond that of a fit to arrays."""
    from mpi4py import MPI

    from relume.distributed import mpi

    net, (X, y) = network(), data(512, 1)
    rows = mpi.rows(len(X), 2)
    mpi.fit(net, X[rows], y[rows], groups=2, batch_size=512)
    before = status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    mpi.fit(net, nn.Shards(folder), groups=2, batch_size=512)
    peaks = MPI.COMM_WORLD.gather(status("VmHWM") - before)
    if MPI.COMM_WORLD.Get_rank() == 0:
        print("RESULT", json.dumps(max(peaks)))


def write_shards(folder, kind):
    """A data set of `SHARDS` shards."""
    if kind == "npy":
        for name in ("X", "y"):
            (folder / name).mkdir()
    if kind == "zarr":
        import zarr

        group = zarr.open_group(folder, mode="w")
        for name, shape, dtype in (("X", (784,), "float32"), ("y", (), "int64")):
            group.create_array(name, shape=(SHARDS * SHARD_ROWS, *shape), chunks=(500, *shape),
                               shards=(SHARD_ROWS, *shape), dtype=dtype)  # fmt: skip
    for i in range(SHARDS):
        X, y = data(SHARD_ROWS, 1)
        if kind == "npy":
            np.save(folder / "X" / f"{i:02}.npy", X)
            np.save(folder / "y" / f"{i:02}.npy", y)
        elif kind == "zarr":
            rows = slice(i * SHARD_ROWS, (i + 1) * SHARD_ROWS)
            group["X"][rows], group["y"][rows] = X, y
        else:
            import pyarrow
            import pyarrow.parquet

            table = pyarrow.table({**{f"x{k}": X[:, k] for k in range(784)}, "y": y})
            pyarrow.parquet.write_table(table, folder / f"{i:02}.parquet", row_group_size=2000)


def of_memory(kind):
    """The peak memory of a rank of two, in shards."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, __file__, "--write", kind, folder], check=True)
        peak = job(2, "--memory", folder) / (SHARD_ROWS * 784 * 4)
    print(f"peak memory of a rank, {SHARDS} shards of 50 MB, {kind:26} {peak:6.3f}  must <= 2",
          flush=True)  # fmt: skip


def job(ranks, *arguments):
    """What so many ranks of this program find."""
    command = [MPIEXEC, "-n", str(ranks), sys.executable, __file__, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
    return json.loads(done.stdout.split("RESULT", 1)[1])


def of_mpi(batch, must, rounds, limit):
    """Times of one rank and of two."""
    speed, cost, tree = [], [], []
    for _ in range(rounds):
        one, two = (job(n, "--worker", batch, "--seconds", limit / 2) for n in (1, 2))
        speed.append(np.median(one["steps"]) / np.median(two["steps"]))
        cost.append(np.median(np.divide(one["steps"], one["local"])))
        tree.append(np.median(two["tree"]) / np.median(two["allreduce"]))
    show(f"1 rank by fit(groups={GROUPS}), {batch} rows", cost, "<= 1.05")
    show(f"1 rank by 2 ranks, {batch} rows", speed, must)
    if batch == 512:
        show("the tree by MPI_Allreduce, 2 ranks", tree, "<= 1.2")


def of_ddp(python, rounds, limit, batch=512):
    """The time of a step of PyTorch's DDP by that of two ranks."""
    program, ratios = Path(__file__).parent / "peers" / "ddp.py", []
    for _ in range(rounds):
        command = [python, str(program), str(batch), str(limit / 2)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
        theirs = float(done.stdout.split("RESULT", 1)[1])
        ours = np.median(job(2, "--worker", batch, "--seconds", limit / 2)["steps"])
        ratios.append(theirs / ours)
        print(f"{'':8}{theirs * 1e3:.2f} and {ours * 1e3:.2f} ms", flush=True)
    show(f"DDP of PyTorch (gloo) by 2 ranks, {batch} rows", ratios, ">= 2")


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


PARTS = ("groups", "mpi", "ddp", "dask", "traffic", "memory")


def main():
    """Print the table, or run one rank."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=5, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=PARTS, action="append", help="some parts")
    parser.add_argument("--peers", metavar="PYTHON", help="a Python that has PyTorch")
    for name in ("--worker", "--traffic"):
        parser.add_argument(name, type=int, metavar="ROWS", help=argparse.SUPPRESS)
    parser.add_argument("--memory", metavar="FOLDER", help=argparse.SUPPRESS)
    parser.add_argument("--write", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        worker(options.worker, options.seconds)
    elif options.traffic:
        traffic(options.traffic)
    elif options.memory:
        memory(options.memory)
    elif options.write:
        write_shards(Path(options.write[1]), options.write[0])
    else:
        table(options.only or PARTS, options.rounds, options.seconds, options.peers)


def table(parts, rounds, limit, peers):
    """Print the rows of some parts."""
    if "groups" in parts:
        of_groups(512, "<= 1.10", limit)
        of_groups(4096, "<= 1.02", limit)
    if "mpi" in parts:
        of_mpi(512, ">= 1.5", rounds, limit)
        of_mpi(4096, ">= 1.8", rounds, limit)
    if "ddp" in parts and peers:
        of_ddp(peers, rounds, limit)
    if "dask" in parts:
        of_dask(16384, ">= 1.5", rounds)
    if "traffic" in parts:
        for batch in (64, 6400):
            received = job(2, "--traffic", batch)
            print(f"bytes that a rank of 2 receives in a step of {batch} rows: {received:.0f}")
    if "memory" in parts:
        for kind in ("npy", "zarr", "parquet"):
            of_memory(kind)


if __name__ == "__main__":
    main()
