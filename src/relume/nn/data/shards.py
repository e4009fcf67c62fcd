"""A data set in a folder of shards, of which a fit holds about half a shard in memory."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relume import validation

Part = tuple[NDArray[Any], NDArray[Any], NDArray[Any] | None]  # X, y and the weights of some rows
NAMES = ("X", "y", "sample_weight")
BLOCKS = 8  # runs of rows in a window, each from another part of the data
DECODED, COLUMNS = 1024, 64  # rows and columns of a parquet file that are decoded at once


@dataclass(frozen=True)
class Shard:
    """Consecutive rows that lie together.

    Parameters
    ----------
    name : str
        What errors call it: a path.
    n : int
        Number of rows.
    form : tuple
        Of X, y and the weights, or None, the shape without rows and the dtype.
    read : callable
        Takes the numbers of the first and the last row, and returns a `Part`.
    chunk : int
        Number of rows that are decoded together.
    """

    name: str
    n: int
    form: tuple[tuple[tuple[int, ...], np.dtype[Any]] | None, ...]
    read: Callable[[int, int], Part]
    chunk: int = 1


class Shards:
    """A data set in a folder, in parts that `Network.fit` reads one after another.

    Training takes X, y and the weights of rows from the shards, so that neither memory nor
    `Network.fit` sees all rows at once. The folder holds one of

    - ``X/*.npy`` and ``y/*.npy``, with the same names in both folders, and ``sample_weight/*.npy``
      if rows have weights: each file is a shard, as ``numpy.save`` or ``dask.array.to_npy_stack``
      writes it. Pickled arrays are refused;
    - ``*.parquet``: each file is a shard, with a column ``y`` (or columns ``y0``, ``y1``, ... for
      several outputs) and perhaps ``sample_weight``; all other columns are features, in the order
      of the file. Needs pyarrow. An index that pandas or Dask stored is left out;
    - the arrays ``X``, ``y`` and perhaps ``sample_weight`` of a zarr group. Rows of X that zarr
      stores in one file are a shard. Needs zarr, which reads a missing file as zeros.

    Shards are read in the order of their names, and may have any number of rows.

    Parameters
    ----------
    path : str or path
        The folder.

    Attributes
    ----------
    path : str
    shape : tuple of int
        Number of rows and of features.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    ValueError
        If the folder holds no shards, if a shard is damaged or missing, or if shards differ in
        their columns or dtypes. The message names the file.
    ImportError
        If pyarrow or zarr is needed, and not installed.

    Notes
    -----
    An epoch's order is a function of the network's seed and the epoch: the data are cut into
    blocks of consecutive rows, which are put in a random order. Eight blocks, half a shard in all,
    make a window, whose rows are shuffled again. So a minibatch has rows of about eight parts of
    the data. With ``fit(groups=G)`` each group has windows of its own, together as large.
    A parquet file should have row groups, and a zarr shard chunks, of a few thousand rows: one
    that is as long as the shard is read anew for each block.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import numpy as np
    >>> from relume import nn
    >>> rng = np.random.default_rng(0)
    >>> with tempfile.TemporaryDirectory() as name:
    ...     folder = pathlib.Path(name)
    ...     for part in ("X", "y"):
    ...         (folder / part).mkdir()
    ...     for i in range(5):
    ...         X = rng.standard_normal((200, 3), dtype="float32")
    ...         np.save(folder / "X" / f"{i:05}.npy", X)
    ...         np.save(folder / "y" / f"{i:05}.npy", (X.sum(axis=1) > 0).astype("int64"))
    ...     data = nn.Shards(folder)
    ...     net = nn.Network([nn.Dense(8, activation="relu"), nn.Dense(2)], seed=0)
    ...     history = net.fit(data, epochs=3)
    ...     net.predict(data).shape
    (1000,)
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = validation.path(path)
        folder = Path(self.path)
        if not folder.is_dir():
            raise FileNotFoundError(f"path must be a folder of shards, got {self.path!r}")
        shards = _found(folder)
        _check_alike(shards)
        self._shards = shards
        self._ends = np.cumsum([shard.n for shard in shards])
        (width,), _ = shards[0].form[0] or ((0,), None)
        self.shape = (int(self._ends[-1]), width)
        if 0 in self.shape:
            raise ValueError(f"path must hold rows, got shape {self.shape} in {self.path!r}")

    def __repr__(self) -> str:
        n, width = self.shape
        return f"Shards({self.path!r}): {len(self._shards)} of {n} rows, {width} features"

    def __len__(self) -> int:
        return self.shape[0]

    def __reduce__(self) -> Any:
        """Pickle by the path: another process opens the folder itself."""
        return Shards, (self.path,)

    @property
    def max_rows(self) -> int:
        """Number of rows of the longest shard."""
        return max(shard.n for shard in self._shards)

    @property
    def has_weights(self) -> bool:
        """Whether rows have weights."""
        return self._shards[0].form[2] is not None

    def rows(self, first: int, last: int) -> Part:
        """X, y and weights (or None) of consecutive rows, as they are stored.

        Parameters
        ----------
        first, last : int
            The first row, and the one after the last.
        """
        out = self._empty(last - first)
        for position, part in self._parts(first, last):
            for array, values in zip(out, part, strict=True):
                if array is not None:
                    array[position : position + len(part[0])] = values
        return out

    def _empty(self, n: int) -> Any:
        return tuple(
            None if each is None else np.empty((n, *each[0]), each[1])
            for each in self._shards[0].form
        )

    def _parts(self, first, last):
        """Consecutive rows by shards: the position of each part, and the part."""
        k, begin = int(np.searchsorted(self._ends, first, side="right")), first
        while first < last:
            shard, start = self._shards[k], int(self._ends[k]) - self._shards[k].n
            end = min(last, int(self._ends[k]))
            if end > first:
                yield first - begin, _read(shard, first - start, end - start)
            first, k = end, k + 1

    def blocks(self, first: int, last: int, size: int) -> Iterator[tuple[int, int]]:
        """Consecutive rows in blocks of about some size, each of one shard.

        Parameters
        ----------
        first, last : int
            The first row, and the one after the last.
        size : int
            Blocks begin at multiples of it, or of as many whole stored chunks, in their shard.
        """
        for shard, end in zip(self._shards, self._ends.tolist(), strict=True):
            start = end - shard.n
            step = size // shard.chunk * shard.chunk or size
            for begin in range(start, end if end > first and start < last else start, step):
                block = max(begin, first), min(begin + step, end, last)
                if block[0] < block[1]:
                    yield block

    def column(self, name: str) -> Column:
        """X, y or the weights as what slices of rows are read from.

        Parameters
        ----------
        name : {"X", "y", "sample_weight"}
        """
        return Column(self, NAMES.index(name))


class Column:
    """X, y or the weights of shards: what slices of rows are read from."""

    dtype: np.dtype[Any]

    def __init__(
        self, shards: Shards, index: int, first: int = 0, last: int | None = None
    ) -> None:
        self._shards, self._index = shards, index
        self._first, last = first, len(shards) if last is None else last
        empty: tuple[tuple[int, ...], np.dtype[Any]] = ((), np.dtype("float64"))
        shape, self.dtype = shards._shards[0].form[index] or empty
        self.shape = (last - first, *shape)
        self.ndim = len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        first, last, _ = rows.indices(len(self))
        out = np.empty((max(last - first, 0), *self.shape[1:]), self.dtype)
        for position, part in self._shards._parts(self._first + first, self._first + last):
            out[position : position + len(part[0])] = part[self._index]
        return out


class GroupedShards:
    """The rows of shards by groups, each in an order of its own, read through windows.

    Parameters
    ----------
    shards : Shards
    sizes : sequence of int
        Number of rows of each group; together they have all rows, in the order of the shards.
    shuffle : bool
        Whether each epoch has an order of its own.
    """

    def __init__(self, shards: Shards, sizes: Sequence[int], shuffle: bool = True) -> None:
        self.shards, self.shuffle = shards, shuffle
        self._ends = np.cumsum(sizes)
        self._block = max(1, shards.max_rows // (2 * BLOCKS * len(sizes)))
        self._readers: dict[int, tuple[tuple[int, int], _Reader]] = {}

    def rows(self, seed: int, epoch: int, group: int, rows: slice) -> Part:
        """X, y and weights (or None) of rows of a group, as they are stored.

        Those of an epoch are read fastest one after another.

        Parameters
        ----------
        seed, epoch : int
            The order is a function of these.
        group : int
        rows : slice
            Of the group's order.
        """
        position, reader = self._readers.get(group, (None, None))
        if reader is None or position != (seed, epoch) or reader.position > rows.start:
            last = int(self._ends[group])
            first = int(self._ends[group - 1]) if group else 0
            rng = np.random.default_rng([seed, epoch, group]) if self.shuffle else None
            self._readers.pop(group, None)  # and its window
            reader = _Reader(self.shards, first, last, self._block, rng)
            self._readers[group] = (seed, epoch), reader
        reader.skip(rows.start - reader.position)
        return reader.take(rows.stop - rows.start)


class _Reader:
    """Rows in an epoch's order.

    Parameters
    ----------
    shards : Shards
    first, last : int
        The rows that are put in order.
    block : int
        Number of consecutive rows that are read together.
    rng : Generator or None
        None leaves the rows in the order of the shards.
    """

    def __init__(self, shards, first, last, block, rng):
        self._shards, self._rng, self.position = shards, rng, 0
        blocks = np.array(list(shards.blocks(first, last, block)), np.intp).reshape(-1, 2)
        self._blocks = blocks if rng is None else rng.permutation(blocks)
        self._next = 0  # block to be read
        self._chosen: Any = None  # blocks of the window
        self._window: Any = None  # their rows, once some are needed
        self._order, self._used = np.empty(0, np.intp), 0

    def skip(self, n):
        """Pass over the next n rows, reading none."""
        self.position += n
        while n:
            here = self._ready(n)
            self._used, n = self._used + here, n - here

    def take(self, n):
        """The next n rows."""
        self.position += n
        parts = []
        while n:
            here = self._ready(n)
            if self._window is None:
                self._window = self._read()
            rows = self._order[self._used : self._used + here]
            parts.append(tuple(None if each is None else each[rows] for each in self._window))
            self._used, n = self._used + here, n - here
        if len(parts) == 1:
            return parts[0]
        parts = parts or [self._shards._empty(0)]
        return tuple(
            None if each[0] is None else np.concatenate(each) for each in zip(*parts, strict=True)
        )

    def _ready(self, n):
        """How many of the next n rows the window has; a new window begins after its last one."""
        if self._used == len(self._order):
            self._window = None  # before the next one is read
            self._chosen = self._blocks[self._next : self._next + BLOCKS]
            self._next += BLOCKS
            size = int((self._chosen[:, 1] - self._chosen[:, 0]).sum())
            self._order = np.arange(size) if self._rng is None else self._rng.permutation(size)
            self._used = 0
        return min(n, len(self._order) - self._used)

    def _read(self):
        window, position = self._shards._empty(len(self._order)), 0
        for first, last in self._chosen:
            part = self._shards.rows(first, last)
            for array, values in zip(window, part, strict=True):
                if array is not None:
                    array[position : position + last - first] = values
            position += last - first
        return window


def _found(folder):
    """The shards of a folder, in the order of their names."""
    if (folder / "X").is_dir() and not _is_zarr(folder):
        return _npy_shards(folder)
    if _is_zarr(folder):
        return _zarr_shards(folder)
    files = sorted(folder.glob("*.parquet"))
    if files:
        return [_parquet_shard(file) for file in files]
    raise ValueError(
        f"path must be a folder with X/*.npy and y/*.npy, with *.parquet, or a zarr group; "
        f"got {str(folder)!r}"
    )


def _is_zarr(folder):
    return any((folder / name).is_file() for name in ("zarr.json", ".zgroup"))


def _check_alike(shards):
    first = shards[0]
    for shard in shards:
        for name, found, expected in zip(NAMES, shard.form, first.form, strict=True):
            if found is not None and found[1].kind not in "fiub":
                raise _unreadable(shard.name, f"{name} of dtype {found[1]}, not of real numbers")
            if found != expected:
                raise ValueError(
                    f"all shards must have the form of the first one: {first.name} has {name} of "
                    f"{_form(expected)}; got {_form(found)} in {shard.name}"
                )


def _form(form):
    return "no shape" if form is None else f"shape {('n', *form[0])} and dtype {form[1]}"


class _Unreadable(ValueError):
    """A ValueError that names the file."""


def _unreadable(name, found):
    return _Unreadable(f"shard {name} cannot be read: {found}")


def _read(shard, first, last):
    try:
        part = shard.read(first, last)
    except (FileNotFoundError, MemoryError, _Unreadable):
        raise
    except Exception as error:
        raise _unreadable(shard.name, error) from error
    for name, array, form in zip(NAMES, part, shard.form, strict=True):
        if form is not None and (
            array.shape != (last - first, *form[0]) or array.dtype != form[1]
        ):
            raise _unreadable(
                shard.name,
                f"{name} of shape {array.shape} and dtype {array.dtype} in rows {first} to {last};"
                f" it was changed after it was opened, when it had {_form(form)}",
            )
    return part


# -- .npy -----------------------------------------------------------------------------------------


def _npy_shards(folder):
    columns = [name for name in NAMES if (folder / name).is_dir()]
    if "y" not in columns:
        raise ValueError(f"path must have a folder y beside X, got none in {str(folder)!r}")
    names = {column: {file.name for file in (folder / column).glob("*.npy")} for column in columns}
    every = sorted(set().union(*names.values()))
    if not every:
        raise ValueError(f"path must have .npy files in X and y, got none in {str(folder)!r}")
    for name in every:
        for column in columns:
            if name not in names[column]:
                raise ValueError(
                    f"shard {folder / column / name} is missing: {', '.join(columns)} must have "
                    "files of the same names"
                )
    return [_npy_shard([folder / column / name for column in columns]) for name in every]


def _npy_shard(files):
    arrays = [_mapped(file) for file in files]
    X = arrays[0]
    for file, array, dims in zip(files, arrays, ((2,), (1, 2), (1,)), strict=False):
        if array.ndim not in dims:
            raise _unreadable(file, f"shape {array.shape} where {dims[-1]} axes are expected")
        if len(array) != len(X):
            raise _unreadable(file, f"{len(array)} rows where {files[0]} has {len(X)}")
    form = [(array.shape[1:], array.dtype) for array in arrays]
    readers = [_npy_reader(file, array) for file, array in zip(files, arrays, strict=True)]

    def read(first, last):
        part = [reader(first, last) for reader in readers]
        return (*part, *[None] * (3 - len(part)))

    return Shard(str(files[0]), len(X), (*form, *[None] * (3 - len(form))), read)


def _npy_reader(file, array):
    """A function that reads rows of a file; parsing its header each time would take longer."""
    if not array.flags.c_contiguous:
        return lambda first, last: np.array(_mapped(file)[first:last])
    dtype, shape, size = array.dtype, array.shape[1:], os.path.getsize(file)
    n = math.prod(shape)
    start = size - array.nbytes

    def read(first, last):
        try:
            with open(file, "rb", buffering=0) as opened:
                if os.fstat(opened.fileno()).st_size != size:
                    raise _unreadable(file, "it was changed after it was opened")
                opened.seek(start + first * n * dtype.itemsize)
                values = np.fromfile(opened, dtype, (last - first) * n)
        except FileNotFoundError:
            raise FileNotFoundError(f"shard {file} is missing") from None
        return values.reshape(last - first, *shape)

    return read


def _mapped(file):
    """The array of a .npy file as a memory map; nothing is unpickled."""
    try:
        return np.lib.format.open_memmap(file, mode="r")
    except FileNotFoundError:
        raise FileNotFoundError(f"shard {file} is missing") from None
    except (OSError, ValueError, SyntaxError) as error:
        raise _unreadable(file, f"no .npy file of numbers, or damaged ({error})") from error


# -- parquet --------------------------------------------------------------------------------------


def _parquet():
    try:
        import pyarrow.parquet
    except ImportError:
        raise ImportError("shards of .parquet need pyarrow: pip install pyarrow") from None
    return pyarrow.parquet


def _parquet_shard(file):
    parquet = _parquet()
    try:
        with parquet.ParquetFile(file) as opened:
            metadata, schema = opened.metadata, opened.schema_arrow
    except FileNotFoundError:
        raise
    except Exception as error:
        raise _unreadable(file, f"no parquet file, or damaged ({error})") from error
    index = (schema.pandas_metadata or {}).get("index_columns", [])
    names = [name for name in schema.names if name not in index]
    targets = (
        ["y"]
        if "y" in names
        else [name for name in names if name[:1] == "y" and name[1:].isdigit()]
    )
    if not targets:
        raise _unreadable(file, f"no column y among {validation.shown(names)}")
    X = [name for name in names if name not in (*targets, "sample_weight")]
    chosen = [X, targets, ["sample_weight"] if "sample_weight" in names else []]
    dtypes = [[_dtype_of(schema.field(name), file) for name in each] for each in chosen]
    dtypes = [np.result_type(*each) if each else np.dtype("float64") for each in dtypes]
    single = targets == ["y"]
    form = (
        ((len(X),), dtypes[0]),
        (() if single else (len(targets),), dtypes[1]),
        ((), dtypes[2]) if chosen[2] else None,
    )
    every = schema.names
    ends = np.cumsum([metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)])

    def read(first, last):
        groups = range(
            int(np.searchsorted(ends, first, side="right")), int(np.searchsorted(ends, last)) + 1
        )
        start = (int(ends[groups[0] - 1]) if groups[0] else 0) - first
        out: list[Any] = [
            None if each is None else np.empty((last - first, *each[0]), each[1]) for each in form
        ]
        with parquet.ParquetFile(file) as opened:
            if opened.schema_arrow.names != every:
                raise ValueError("its columns were changed after it was opened")
            for array, names in zip(out, chosen, strict=True):
                for i in range(0, len(names), COLUMNS):
                    part = array if array.ndim == 1 else array[:, i : i + COLUMNS]
                    position = start
                    # Without threads, whose pools of memory would hold most of a shard.
                    for batch in opened.iter_batches(
                        DECODED, list(groups), names[i : i + COLUMNS], use_threads=False
                    ):
                        _copy_overlap(batch, position, part)
                        position += len(batch)
        return tuple(out)

    chunk = metadata.row_group(0).num_rows if len(ends) else 1
    return Shard(str(file), metadata.num_rows, form, read, max(chunk, 1))


def _copy_overlap(batch, start, out):
    """Copy those rows of a batch, which begins at row `start`, that `out` has."""
    rows = slice(max(start, 0), min(start + len(batch), len(out)))
    if rows.start >= rows.stop:
        return
    batch = batch.slice(rows.start - start, rows.stop - rows.start)
    for i, column in enumerate(batch.columns):
        if column.null_count or out.dtype.kind == "b":
            values = column.to_numpy(zero_copy_only=False)
            if values.dtype.kind == "f" and out.dtype.kind in "iub":
                raise ValueError(f"column {batch.schema.names[i]!r} has missing values")
        else:
            values = np.from_dlpack(column)  # to_numpy would import pandas
        if out.ndim == 1:
            out[rows] = values
        else:
            out[rows, i] = values


def _dtype_of(field, file):
    try:
        dtype = np.dtype(field.type.to_pandas_dtype())
    except (NotImplementedError, TypeError):
        dtype = np.dtype(object)
    if dtype.kind not in "fiub":
        raise _unreadable(file, f"column {field.name!r} is of type {field.type}, not of numbers")
    return dtype


# -- zarr -----------------------------------------------------------------------------------------


def _zarr_shards(folder):
    try:
        import zarr
    except ImportError:
        raise ImportError("shards of a zarr group need zarr: pip install zarr") from None
    try:
        group = zarr.open_group(folder, mode="r")
        arrays: list[Any] = [group[name] for name in NAMES if name in group]
        names = [name for name in NAMES if name in group]
    except Exception as error:
        raise _unreadable(folder, f"no zarr group, or damaged ({error})") from error
    if names[:2] != ["X", "y"]:
        raise _unreadable(folder, f"arrays X and y are expected, got {names}")
    X = arrays[0]
    for name, array, dims in zip(names, arrays, ((2,), (1, 2), (1,)), strict=False):
        if array.ndim not in dims:
            raise _unreadable(
                folder / name, f"shape {array.shape} where {dims[-1]} axes are expected"
            )
        if array.shape[0] != X.shape[0]:
            raise _unreadable(folder / name, f"{array.shape[0]} rows where X has {X.shape[0]}")
    form = [(tuple(array.shape[1:]), np.dtype(array.dtype)) for array in arrays]
    form = (*form, *[None] * (3 - len(form)))
    step = (getattr(X, "shards", None) or X.chunks)[0]

    def shard(start):
        def read(first, last):
            part = [np.asarray(array[start + first : start + last]) for array in arrays]
            return (*part, *[None] * (3 - len(part)))

        n = min(step, X.shape[0] - start)
        return Shard(f"{folder} (rows {start} to {start + n})", n, form, read, X.chunks[0])

    return [shard(start) for start in range(0, X.shape[0], step)] or [shard(0)]
