"""TensorBoard: curves of a fit and histograms of its layers, in the event files of tensorboard."""

from __future__ import annotations

import itertools
import os
import socket
import struct
import tempfile
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from relume import validation
from relume.engine.ops import LEARNT
from relume.nn.callbacks.callback import Callback
from relume.nn.losses import Loss, targets_of_another
from relume.nn.units.layer_nodes import is_rectifier, network_nodes, walk
from relume.nn.units.unit_statistics import new_observer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from relume.nn.network import Network

BINS = 64
MAX_VALUES = 2**22  # of the rows that histograms look at, where sparse ones are made dense
COUNT = itertools.count()  # of the files of this process: two may begin in the same second


class TensorBoard(Callback):
    """Write curves, and histograms of the layers, to event files that TensorBoard shows.

    ``tensorboard --logdir runs`` shows the folder's runs side by side, each in a folder of its
    own. This callback needs tensorboardX, ``pip install 'relume[tensorboard]'``.

    Parameters
    ----------
    log_dir : str or path-like
        Folder of the run. It is made if it does not exist.
    histograms : bool, default=True
        Whether to write histograms as well as curves. They cost about as much as a prediction and
        a step of 256 rows.
    every : int, default=1
        Write histograms only in epochs whose number is a multiple of this. Curves have all epochs.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid.
    ImportError
        Before training, if tensorboardX is not installed.
    OSError
        Before training, if the folder cannot be made or written.

    See Also
    --------
    Monitor : Warns of dying units and vanishing gradients, without any other library.
    CSVLogger : Writes the curves to a table.

    Notes
    -----
    The step of TensorBoard is the epoch. The curves are those of the epoch's logs, such as
    ``loss`` and ``val_loss``, and ``learning_rate``, the rate of the epoch's last minibatch.

    The histograms are of at most 256 rows of the fit, evenly spaced; of minibatches that an
    iterable gives, of the first one's. There is a group for each layer, such as ``layer_1``:

    - ``layer_1/activations``, its outputs, as in prediction, and the curve
      ``layer_1/dead_fraction``, the share of its rectifiers that are 0 on all of these rows;
    - ``layer_1/weights/0.weight``, its parameters, by the names of `Network.state_dict`;
    - ``layer_1/gradients/0.weight``, the gradients of the mean loss of these rows, with the
      layers' penalties, and with noise such as that of `Dropout`.

    Values that are not finite are left out. Looking at the layers does not change the training,
    but a loss or a layer written in Python is called once more in an epoch.

    Each fit writes a new file, and each epoch closes it, so an interrupted fit loses
    nothing. Where a fit continues from an earlier epoch, as after `relume.nn.load`, TensorBoard
    shows its epochs instead of those of the same numbers in older files of the folder.

    Examples
    --------
    >>> from relume import nn
    >>> board = nn.TensorBoard("runs/first", every=10)
    """

    def __init__(
        self, log_dir: str | os.PathLike[str], histograms: bool = True, every: int = 1
    ) -> None:
        self.log_dir: str = validation.path(log_dir, "log_dir")
        self.histograms: bool = validation.flag(histograms, "histograms")
        self.every: int = validation.integer(every, "every")
        self._path: str | None = None  # of the file of this fit
        self._begun: bool = False
        self._rate: float | None = None
        self._loss: Loss | None = None  # that the targets of the rows are prepared for
        self._rows: tuple[Any, NDArray[Any]] | None = None

    def on_fit_begin(self, net: Network) -> None:
        """Check that tensorboardX is installed, and that the folder can be written."""
        _tensorboardx()
        os.makedirs(self.log_dir, exist_ok=True)
        with tempfile.TemporaryFile(dir=self.log_dir):
            pass
        name = (
            f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}"
            f".{os.getpid()}.{next(COUNT):06d}"
        )
        self._path, self._begun = os.path.join(self.log_dir, name), False
        self._rate, self._rows, self._loss = None, None, net.loss

    def watch_targets(self, X: Any, y: NDArray[Any]) -> None:
        """Keep the rows that histograms look at."""
        self._rows = X, y

    def observer_for(self, net: Network, epoch: int, rows: int, steps: int | None) -> None:
        """Note the learning rate of an epoch's last minibatch; there is nothing to observe."""
        self._rate = None
        if hasattr(net.optimizer, "lr"):
            self._rate = float(net._learning_rates(steps)[-1])

    def on_epoch_end(self, net: Network, epoch: int, logs: dict[str, float]) -> None:
        """Write the epoch's curves and histograms."""
        _, event, summary = _tensorboardx()
        scalars = dict(logs)
        if self._rate is not None:
            scalars["learning_rate"] = self._rate
        values = [summary.Value(tag=tag, simple_value=value) for tag, value in scalars.items()]
        if self.histograms and epoch % self.every == 0:
            for tag, found in self._layers(net):
                if isinstance(found, float):
                    values.append(summary.Value(tag=tag, simple_value=found))
                elif (finite := found[np.isfinite(found)]).size:
                    values.append(summary.Value(tag=tag, histo=_histogram(finite)))
        events = [event.Event(wall_time=time.time(), step=epoch, summary=summary(value=values))]
        if not self._begun:
            log = event.SessionLog(status=event.SessionLog.START)
            events[:0] = [
                event.Event(wall_time=time.time(), file_version="brain.Event:2"),
                event.Event(wall_time=time.time(), step=epoch, session_log=log),
            ]
        data = b"".join(_record(each.SerializeToString()) for each in events)
        with open(str(self._path), "ab") as file:
            file.write(data)
        self._begun = True

    def on_fit_end(self, net: Network) -> None:
        """Forget the rows that histograms looked at."""
        self._rows = None

    def _layers(self, net: Network) -> Iterator[tuple[str, Any]]:
        """Tags of the layers, each with the value of a curve or the values of a histogram."""
        weights, nodes = net._built(), network_nodes(net)
        # Layers within a Residual come after it, and their ops are theirs.
        names = {op: node.name for node in walk(nodes) for op in range(node.first, node.out)}
        if self._rows is not None:
            X = _dense(self._rows[0], weights.plan.n_in)
            recorded = new_observer(weights.plan, nodes, False).record(weights.parameters, X)
            for node in walk(nodes):
                tag, outputs = _tag(node.name), recorded[node.out]
                yield f"{tag}/activations", outputs
                if is_rectifier(node.activation):
                    yield f"{tag}/dead_fraction", float((outputs == 0).all(axis=0).mean())
        bounds = weights.bounds
        yield from _parameters(weights, weights.parameters, names, "weights")
        weights.bounds = bounds  # nothing was written
        if self._rows is None:
            return
        X, y = self._rows
        if self._loss is not None and self._loss is not net.loss:  # a callback has replaced it
            y = targets_of_another(self._loss, net.loss, y, "y", net.n_outputs, net.dtype)
            self._rows, self._loss = (X, y), net.loss
        gradients = net._gradients_of(X, y)
        if gradients is not None:
            yield from _parameters(weights, gradients, names, "gradients")
            weights.bounds = bounds

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without what belongs to a running fit."""
        running = ("_path", "_rate", "_loss", "_rows")
        return self.__dict__ | dict.fromkeys(running) | {"_begun": False}


def _tensorboardx() -> tuple[Any, Any, Any]:
    """Modules and messages of tensorboardX; ImportError says how to install it."""
    try:
        from tensorboardX import record_writer
        from tensorboardX.proto import event_pb2
        from tensorboardX.proto.summary_pb2 import Summary
    except ImportError as error:
        raise ImportError(
            "nn.TensorBoard needs tensorboardX, which is not installed: "
            "pip install 'relume[tensorboard]'"
        ) from error
    return record_writer, event_pb2, Summary


def _record(data: bytes) -> bytes:
    """A record of an event file: its length and its data, each with a checksum."""
    checksum = _tensorboardx()[0].masked_crc32c
    length = struct.pack("<Q", len(data))
    return b"".join(
        (length, struct.pack("<I", checksum(length)), data, struct.pack("<I", checksum(data)))
    )


def _histogram(values: NDArray[Any]) -> Any:
    """The message of a histogram. Its buckets have upper limits only: the first one is empty."""
    from tensorboardX.proto.summary_pb2 import HistogramProto

    # Where an edge falls among sorted values tells how many are below it.
    values = np.sort(values, axis=None).astype(np.float64)
    share = np.linspace(0, 1, BINS + 1)
    edges = np.unique(values[0] * (1 - share) + values[-1] * share)
    if len(edges) == 1:
        edges = np.append(edges, np.nextafter(edges[0], np.inf))
    below = [*np.searchsorted(values, edges[:-1]), values.size]
    with np.errstate(over="ignore"):
        total, squares = values.sum(), np.square(values).sum()  # a product would start threads
    return HistogramProto(
        min=values[0], max=values[-1], num=values.size, sum=total, sum_squares=squares,
        bucket_limit=edges.tolist(), bucket=[0.0, *np.diff(below).tolist()],
    )  # fmt: skip


def _dense(X: Any, width: int) -> Any:
    """Rows as the engine records them; sparse ones become dense, fewer where they are wide."""
    if not isinstance(X, tuple):
        return X
    import scipy.sparse

    data, index, starts = X[0]
    rows = scipy.sparse.csr_array((data, index, starts), shape=(len(starts) - 1, width))
    return rows[: max(1, MAX_VALUES // width)].toarray()


def _parameters(
    weights: Any, flat: NDArray[Any], names: dict[int, str], kind: str
) -> Iterator[tuple[str, NDArray[Any]]]:
    """Tags and values of the learnt parameters, or of their gradients."""
    found = [
        (f"{_tag(names[view.op])}/{kind}/{weights.specs[view.op].name}.{view.name}", view.values)
        for view in weights.views(flat)
        if view.role == LEARNT
    ]
    yield from found  # a view is asked for before the caller puts back what asking has changed


def _tag(name: str) -> str:
    return name.replace(" ", "_")
