"""What ranks send each other: numbers and texts, and errors before everything else.

Every exchange begins with a gate, one small Allgather that is the same whatever follows it. A rank
that fails, wherever it is, passes the next gate with a flag instead of what the others expect, and
then all of them raise. So no rank waits for one that has left.
"""

from __future__ import annotations

import builtins
import json
import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray


def mpi4py_or_error() -> Any:
    """The module `mpi4py.MPI`; ImportError with the remedy where there is none."""
    try:
        from mpi4py import MPI
    except ImportError as error:
        raise ImportError(
            f"relume.distributed.mpi needs mpi4py and an MPI library: {error}. On a cluster, load "
            "its MPI and pip install mpi4py; elsewhere: pip install 'relume[mpi]' mpich"
        ) from error
    except RuntimeError as error:  # no library that it can load
        raise ImportError(
            f"mpi4py found no MPI library: {error}. Load the cluster's MPI, or pip install mpich"
        ) from error
    return MPI


class RankError(RuntimeError):
    """An error of another rank, where its class is none of Python's own."""


class Channel:
    """The exchanges of one fit.

    Parameters
    ----------
    comm : mpi4py.MPI.Comm
    """

    def __init__(self, comm: Any) -> None:
        self.comm, self.rank, self.size = comm, comm.Get_rank(), comm.Get_size()
        self._wait = mpi4py_or_error().Request.Waitall
        self.told = False  # whether all ranks know that the fit has failed
        self.payload = 0

    def reserve(self, payload: int) -> None:
        """Let each gate have room for so many numbers of each rank; the same on all ranks."""
        self.payload = payload
        self._own = np.zeros(1 + payload)
        self._all = np.zeros((self.size, 1 + payload))

    def gate(self, values: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """Wait for all ranks; raise on all if one has failed.

        Returns
        -------
        values : ndarray of shape (ranks, payload)
            Those of all ranks, valid until the next gate.
        """
        own = self._own
        own[:] = 0
        if values is not None:
            own[1 : 1 + values.size] = values.ravel()
        self.comm.Allgather(own, self._all)
        if self._all[:, 0].any():
            self._raise(None)
        return self._all[:, 1:]

    def exchange(
        self,
        sent: Callable[[int], Iterable[NDArray[Any]]],
        received: Callable[[int], Iterable[NDArray[Any]]],
    ) -> None:
        """Send arrays to every other rank and receive arrays from it.

        Pairs of messages, since MPI's collective operations copy more: MPICH took 25 us for 0.5 MB
        in both directions between two ranks of a machine, 79 us as Allgatherv and 105 us as
        Alltoallv.

        Parameters
        ----------
        sent, received : callable
            Give the arrays to send to a rank, and the arrays to receive from it. No array may be
            in both. Errors are not exchanged here: call `gate` first.
        """
        comm, size, requests = self.comm, self.size, []
        for distance in range(1, size):  # not all to the same rank first
            source = (self.rank - distance) % size
            requests += [comm.Irecv(each, source) for each in received(source)]
        for distance in range(1, size):
            target = (self.rank + distance) % size
            requests += [comm.Isend(each, target) for each in sent(target)]
        self._wait(requests)

    def tell(self, error: BaseException) -> None:
        """Pass the gate that the others are at, or come to, with an error."""
        if self.told:
            return
        self._own[:] = 0
        self._own[0] = 1
        self.comm.Allgather(self._own, self._all)
        self._raise(error)

    def _raise(self, own: BaseException | None) -> None:
        """Exchange what has happened; raise it, unless this rank has an error of its own."""
        self.told = True
        text = None if own is None else [type(own).__name__, str(own)]
        errors = self.texts(json.dumps(text))
        if own is not None:
            return
        rank, (name, message) = next(
            (i, json.loads(each)) for i, each in enumerate(errors) if each != "null"
        )
        kind = getattr(builtins, name, None)
        if not (isinstance(kind, type) and issubclass(kind, Exception)) or kind in (
            UnicodeDecodeError, UnicodeEncodeError, UnicodeTranslateError
        ):  # fmt: skip
            kind, message = RankError, f"{name}: {message}"
        raise kind(f"rank {rank} of {self.size}: {message}")

    def texts(self, text: str) -> list[str]:
        """The texts of all ranks; no gate stands before it."""
        data = np.frombuffer(text.encode() or b" ", np.uint8)
        sizes = np.zeros(self.size, np.int64)
        self.comm.Allgather(np.array([data.size]), sizes)
        everything = np.empty(int(sizes.sum()), np.uint8)
        self.comm.Allgatherv(data, [everything, sizes])
        parts = np.split(everything, np.cumsum(sizes)[:-1])
        return [part.tobytes().decode().strip() for part in parts]

    def agree(self, own: dict[str, Any], error: BaseException | None) -> list[Any]:
        """The first exchange: raise on all ranks if one has failed, or differs from rank 0.

        Parameters
        ----------
        own : dict
            What JSON can hold. "same" holds pairs of a value and a remedy, by their names.
        error : BaseException or None
            This rank's.

        Returns
        -------
        descriptions : list of dict
            Those of all ranks.
        """
        failed = None if error is None else [type(error).__name__, str(error)]
        texts = self.texts(json.dumps({"failed": failed, **own}, default=str))
        found = [json.loads(each) for each in texts]
        self.told = True  # as long as all ranks see the same
        if error is not None:
            raise error
        for rank, each in enumerate(found):
            if each["failed"]:
                name, message = each["failed"]
                kind = getattr(builtins, name, None)
                if not (isinstance(kind, type) and issubclass(kind, Exception)):
                    kind = RankError
                raise kind(f"rank {rank} of {self.size}: {message}")
        for name, (value, remedy) in found[0]["same"].items():
            for rank, each in enumerate(found):
                other = each["same"][name][0]
                if other != value and not (_is_nan(other) and _is_nan(value)):
                    raise ValueError(
                        f"{name} must be the same on all ranks, got {value} on rank 0 and {other} "
                        f"on rank {rank}; {remedy}"
                    )
        self.told = False
        return found


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)
