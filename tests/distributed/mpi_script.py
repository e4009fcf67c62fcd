"""What the ranks of the tests run: fits of `cases`, whose digests rank 0 prints, or a bad one."""

import json
import os
import resource
import sys
import tempfile
import warnings

import numpy as np
from mpi4py import MPI

import relume
from relume import nn
from relume.distributed import mpi
from tests.distributed.cases import case, digest

comm = MPI.COMM_WORLD
warnings.filterwarnings("ignore", message=".*cores of this machine")


def of_rank(X, y, arguments):
    """This rank's rows, and the arguments with its weights."""
    rows = mpi.rows(len(X), arguments["groups"], comm)
    if "sample_weight" in arguments:
        arguments["sample_weight"] = arguments["sample_weight"][rows]
    return X[rows], y[rows], arguments


def digests(cases, threads=1):
    """Fit each case, and compare the ranks with each other."""
    found = []
    for name, groups, dtype in cases:
        net, X, y, arguments = case(name, groups, dtype)
        X, y, arguments = of_rank(X, y, arguments)
        history = mpi.fit(net, X, y, comm=comm, threads=threads, **arguments)
        every = comm.allgather(digest(net, history))
        assert len(set(every)) == 1, (name, groups, dtype)
        found.append(every[0])
    return found


def killed(path, at, rank):
    """A fit that writes checkpoints, of which a rank is killed at some step."""
    import os
    import signal

    class Kill(nn.Callback):
        count = 0

        def on_batch_begin(self, net, batch):
            self.count += 1
            if self.count == at and comm.Get_rank() == rank:
                os.kill(os.getpid(), signal.SIGKILL)

    net, X, y, arguments = case("dropout", 12, "float32")
    X, y, arguments = of_rank(X, y, arguments | {"epochs": 4})
    callbacks = [Kill(), nn.EarlyStopping(patience=3)]
    history = mpi.fit(net, X, y, checkpoint=path, callbacks=callbacks, **arguments)
    return digest(net, history)


def failing(kinds):
    """Fits that must raise on all ranks, one after the other; the errors of all ranks."""
    return [comm.allgather(error_of(kind)) for kind in kinds]


def error_of(kind):
    """What a fit raises here, if something is wrong on the last rank."""
    rank = comm.Get_rank()
    net, X, y, arguments = case("batch norm" if "norm" in kind else "dropout", 4, "float32")
    X, y, arguments = of_rank(X, y, arguments)
    X = X.copy()
    last = rank == comm.Get_size() - 1
    if kind.startswith("nan") and last:
        X[-1, 2] = np.nan
    elif kind == "width" and last:
        X = X[:, :5]
    elif kind == "dtype" and last:
        net.dtype = "float64"
    elif kind == "label" and last:
        y = np.full_like(y, 7)
    elif kind == "groups" and last:
        arguments["groups"] = 3
    elif kind == "seed" and last:
        net = nn.Network(net.layers, seed=8, optimizer=net.optimizer)
    elif kind == "layers" and last:
        net = nn.Network([nn.Dense(3)], seed=1, optimizer=net.optimizer)
    elif kind == "empty":
        X, y = X[:0], y[:0]
    elif kind == "rows" and last:
        X, y = X[3:], y[3:]
    elif kind == "callback":

        def fails(net, epoch, logs):
            if last:
                raise KeyError("of a callback")

        arguments["callbacks"] = [fails]
    elif kind == "step callback":

        class Fails(nn.Callback):
            def on_batch_end(self, net, batch, loss):
                if last and batch == 2:
                    raise ZeroDivisionError("of a callback")

        arguments["callbacks"] = [Fails()]
    elif kind == "disk":
        arguments["checkpoint"] = "/dev/full/model"
    elif kind == "full disk":
        return full_disk(net, X, y, arguments)
    elif kind == "version" and last:
        return with_version("0.0.1", net, X, y, arguments)
    elif kind == "diverges":
        net.optimizer = nn.SGD(1e30)
    elif kind == "stops":
        arguments["callbacks"] = [lambda net, epoch, logs: last]
        arguments["epochs"] = 5
    return ended(net, X, y, arguments)


def ended(net, X, y, arguments):
    """The epochs of a fit, or its error."""
    try:
        history = mpi.fit(net, X, y, **arguments)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return f"epochs {len(history.epochs)}"


def warned(own):
    """The warnings of rank 0 where ranks pass their `own` rows, or each of them all rows."""
    net, X, y, arguments = case("dropout", 4, "float32")
    if own:
        X, y, arguments = of_rank(X, y, arguments)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        mpi.fit(net, X, y, **arguments)
    return [str(each.message) for each in caught if "cores" not in str(each.message)]


def with_version(version, *arguments):
    """The end of a fit where this process has another version of relume."""
    own, relume.__version__ = relume.__version__, version
    try:
        return ended(*arguments)
    finally:
        relume.__version__ = own


def full_disk(net, X, y, arguments):
    """The end of a fit whose second checkpoint cannot be written, and the epoch of the file."""
    with tempfile.TemporaryDirectory() as folder:
        folder = comm.bcast(folder)
        path = f"{folder}/fit.safetensors"
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)

        def fill(net, epoch, logs):
            if epoch == 2 and comm.Get_rank() == 0:
                resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))

        arguments |= {"checkpoint": path, "callbacks": [fill], "epochs": 4}
        try:
            found = ended(net, X, y, arguments)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        epoch = nn.load(path).epoch
        files = os.listdir(folder)
        comm.Barrier()
    return f"{found}; {files} have epoch {epoch}"


if __name__ == "__main__":
    task, *arguments = json.loads(sys.argv[1])
    result = globals()[task](*arguments)
    if comm.Get_rank() == 0:
        print("RESULT", json.dumps(result), flush=True)
