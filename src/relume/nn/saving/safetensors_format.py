"""The safetensors format: arrays by name, in a file that holds no code.

A file is the length of the header in 8 bytes, the header, which is JSON, and the arrays,
little-endian, one behind the other. The header gives each array's dtype, its shape, and where it
begins and ends.

The package ``safetensors`` does the same, in Rust. No release of it has a wheel for free-threaded
CPython, and building it needs a Rust compiler, so relume would not install there. The format is
simple enough that one reader and one writer for all systems cost less than a dependency. The tests
compare both with the package, byte by byte.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

DTYPES = {
    "BOOL": "|b1", "U8": "|u1", "I8": "|i1", "I16": "<i2", "U16": "<u2", "F16": "<f2",
    "I32": "<i4", "U32": "<u4", "F32": "<f4", "F64": "<f8", "I64": "<i8", "U64": "<u8",
}  # fmt: skip
NAMES = {np.dtype(code): name for name, code in DTYPES.items()}
ORDER = list(DTYPES)  # the last ones come first, so that all arrays are aligned
MAX_HEADER = 100_000_000  # bytes, as in the package
METADATA = "__metadata__"
NONE = "it is truncated or not a safetensors file"


def packed(arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, str] | None) -> bytearray:
    """The bytes of a file.

    Parameters
    ----------
    arrays : dict of str to ndarray
    metadata : dict of str to str, or None
        What else the header holds.

    Returns
    -------
    data : bytearray

    Raises
    ------
    TypeError
        If an array has a dtype that the format does not know.
    """
    known: dict[str, tuple[str, NDArray[Any]]] = {}
    for name, array in arrays.items():
        code = NAMES.get(array.dtype.newbyteorder("<"))
        if code is None:
            raise TypeError(f"{name} must have one of the dtypes {', '.join(DTYPES)}, "
                            f"got {array.dtype}")  # fmt: skip
        known[name] = code, array
    names = sorted(known, key=lambda name: (-ORDER.index(known[name][0]), name))
    header: dict[str, Any] = {} if metadata is None else {METADATA: dict(metadata)}
    end = 0
    for name in names:
        code, array = known[name]
        begin, end = end, end + array.nbytes
        header[name] = {"dtype": code, "shape": array.shape, "data_offsets": (begin, end)}
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    start = 8 + len(text)
    data = bytearray(start + end)
    data[:8], data[8:start] = len(text).to_bytes(8, "little"), text
    for name in names:
        code, array = known[name]
        begin, _ = header[name]["data_offsets"]
        space = np.frombuffer(data, DTYPES[code], array.size, start + begin)
        space.reshape(array.shape)[...] = array
    return data


def header_size(start: bytes) -> int:
    """The length of the header in the first bytes of a file; ValueError if these have none."""
    size = int.from_bytes(start[:8], "little")
    if len(start) < 8 or not 2 <= size <= MAX_HEADER:
        raise ValueError(NONE)
    return size


def header_of(data: bytes) -> tuple[bytes, dict[str, Any]]:
    """The bytes of the header, and what it says; ValueError if it is none."""
    size = header_size(data)
    if size > len(data) - 8:
        raise ValueError(NONE)
    header = data[8 : 8 + size]
    entries = parsed(header, "its header")
    if not isinstance(entries, dict):
        raise ValueError(f"its header must be an object, got {type(entries).__name__}")
    return header, entries


def arrays_of(data: bytes) -> dict[str, NDArray[Any]]:
    """The arrays of a file, as read-only views; ValueError says what is wrong with its header.

    The arrays must cover all that follows the header, without gaps and without overlaps.
    """
    header, entries = header_of(data)
    start, found = 8 + len(header), {}
    for name, entry in entries.items():
        if name != METADATA:
            found[name] = _checked(name, entry)
    end = 0
    for name, (_, _, begin, stop) in sorted(found.items(), key=lambda item: item[1][2:]):
        if begin != end:
            raise ValueError(f"{name} must begin at byte {end} of the arrays, got {begin}")
        end = stop
    if end != len(data) - start:
        raise ValueError(f"its arrays must end at byte {len(data) - start}, got {end}")
    return {
        name: np.frombuffer(data, dtype, math.prod(shape), start + begin).reshape(shape)
        if begin != stop
        else np.empty(shape, dtype)
        for name, (dtype, shape, begin, stop) in found.items()
    }


def _checked(name: str, entry: Any) -> tuple[np.dtype[Any], tuple[int, ...], int, int]:
    """The dtype of an array, its shape, and where it begins and ends."""
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"{name} must have a dtype, a shape and data_offsets")
    code, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(code, str) or code not in DTYPES:
        raise ValueError(f"the dtype of {name} must be one of {', '.join(DTYPES)}")
    if not _are_sizes(shape) or len(shape) > 32:
        raise ValueError(f"the shape of {name} must be a list of at most 32 sizes")
    if not _are_sizes(offsets) or len(offsets) != 2:
        raise ValueError(f"the data_offsets of {name} must be two sizes")
    dtype, (begin, end) = np.dtype(DTYPES[code]), offsets
    if end - begin != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"the data_offsets of {name} must be as far apart as {code} of its shape "
                         f"need, got {end - begin} bytes")  # fmt: skip
    return dtype, tuple(shape), begin, end


def _are_sizes(values: Any) -> bool:
    return isinstance(values, list) and all(type(n) is int and 0 <= n < 2**63 for n in values)


def parsed(text: str | bytes, name: str) -> Any:
    """The value of JSON text, in which no name stands twice."""
    try:
        text = text.decode("utf-8") if isinstance(text, bytes) else text
        return json.loads(text, parse_constant=_no_constant, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name} is not JSON: {error}") from None


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a valid number")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found
