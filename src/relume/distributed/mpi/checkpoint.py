"""The file from which an interrupted fit goes on."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from relume import validation
from relume.distributed.mpi.channel import Channel
from relume.nn.callbacks.callback import Callback
from relume.nn.optimizers.schedule import Schedule
from relume.nn.saving.load import load
from relume.nn.training.groups import Groups
from relume.nn.training.history import History

if TYPE_CHECKING:
    from relume.nn.network import Network


class Checkpoint(Callback):
    """Saves the network after each epoch, with the history and the states of other callbacks.

    Parameters
    ----------
    channel : Channel
        Rank 0 of it reads and writes the file.
    groups : Groups
    path : path
    """

    _saves: ClassVar[bool] = True  # after the other callbacks

    def __init__(self, channel: Channel, groups: Groups, path: Any) -> None:
        self._channel, self._groups = channel, groups
        self._path = Path(validation.path(path))
        self._before = History()  # of the interrupted fit

    def _decide(self, net: Network, epoch: int, logs: dict[str, float]) -> None:
        """Nothing: every epoch is saved."""

    def on_epoch_end(self, net: Network, epoch: int, logs: dict[str, float]) -> None:
        """Save the network; a file that was there stays if that fails."""
        self._now = net.history
        if self._channel.rank == 0:
            net.save(self._path)

    def state_dict(self) -> dict[str, Any]:
        """What a fit that goes on needs besides the network."""
        history = self.history(getattr(self, "_now", None))
        return {
            "groups": np.array(self._groups.sizes, np.int64),
            "batch_size": self._groups.batch_size,
            "epochs": np.array(history.epochs, np.int64),
            "logs": {name: np.array(values, np.float64) for name, values in history.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing: `restore` has done it."""

    def history(self, now: History | None = None) -> History:
        """The epochs of the interrupted fit, and those of the present one."""
        whole = History()
        for part in (self._before, now or History()):
            for i, epoch in enumerate(part.epochs):
                whole.add(epoch, **{name: values[i] for name, values in part.items()})
            whole.layers = whole.layers + part.layers
        return whole

    def restore(self, net: Network) -> None:
        """Give the network the state in the file, if there is one; on all ranks together."""
        data = b""
        if self._channel.rank == 0 and self._path.exists():
            data = self._path.read_bytes()
        size = int(self._channel.gate(np.array([float(len(data))]))[0, 0])
        if size == 0:
            return
        buffer = np.zeros(size, np.uint8)
        if data:
            buffer[:] = np.frombuffer(data, np.uint8)
        self._channel.comm.Bcast(buffer)
        with tempfile.TemporaryDirectory() as folder:
            copy = os.path.join(folder, self._path.name)
            Path(copy).write_bytes(buffer.tobytes())
            schedule = None if isinstance(net.schedule, Schedule) else net.schedule
            found = load(copy, schedule=schedule, metrics=net._given_metrics)
        states = [
            each["state"] for each in found._callback_states if each["class"] == "Checkpoint"
        ]
        if not states:
            raise ValueError(
                f"checkpoint must be a file that mpi.fit has written, or none yet, got another "
                f"network in {str(self._path)!r}; give it another name"
            )
        sizes, batch_size = tuple(map(int, states[0]["groups"])), states[0]["batch_size"]
        if (sizes, batch_size) != (self._groups.sizes, self._groups.batch_size):
            raise ValueError(
                f"checkpoint {str(self._path)!r} is of a fit with batch_size={batch_size} and "
                f"{len(sizes)} groups of {sum(sizes)} rows; got "
                f"batch_size={self._groups.batch_size} and {len(self._groups.sizes)} groups of "
                f"{self._groups.rows} rows. Pass the same, or remove the file to begin anew"
            )
        net.restore(found.snapshot())
        net._callback_states, net._resumes = found._callback_states, True
        for i, epoch in enumerate(states[0]["epochs"].tolist()):
            logs = states[0]["logs"].items()
            self._before.add(epoch, **{name: float(values[i]) for name, values in logs})
