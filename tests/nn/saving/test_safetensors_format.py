"""The reader and the writer of the safetensors format, beside the package that defines it."""

import json
import os
import struct

import numpy as np
import pytest
import safetensors
import safetensors.numpy

from relume import nn
from relume.nn.saving import safetensors_format

RNG = np.random.default_rng(0)
CODES = [code for code in safetensors_format.DTYPES if code != "BOOL"]


def some(code, shape):
    return RNG.integers(0, 100, shape).astype(safetensors_format.DTYPES[code])


ARRAYS = {
    "none": {},
    "empty": {"a": np.empty((0, 3), "f4"), "b": np.ones(2), "c": np.empty(0, "i1")},
    "a number": {"x": np.float32(3.0).reshape(())},
    "all dtypes": {f"{code} {i}": some(code, (2, i)) for i in range(3) for code in CODES}
    | {"BOOL": np.array([True, False])},
    "names": {name: np.ones(3, "f4") for name in ("a\"b", "\\", "ü", "日本", "\n", "\x01", "")},
    "strides": {"t": np.arange(12.0).reshape(3, 4).T, "big": np.arange(3, dtype=">f8")},
}  # fmt: skip


@pytest.mark.parametrize("metadata", [None, {"relume": '{"a":"ü\\""}'}], ids=["none", "one"])
@pytest.mark.parametrize("arrays", ARRAYS.values(), ids=ARRAYS)
def test_the_bytes_are_those_of_the_package(arrays, metadata):
    plain = {
        name: np.ascontiguousarray(each.astype(each.dtype.newbyteorder("="))).reshape(each.shape)
        for name, each in arrays.items()
    }
    data = safetensors_format.packed(arrays, metadata)
    assert bytes(data) == safetensors.numpy.save(plain, metadata)
    read, expected = safetensors_format.arrays_of(bytes(data)), safetensors.numpy.load(bytes(data))
    assert read.keys() == expected.keys() == arrays.keys()
    for name, value in expected.items():
        assert (read[name].dtype, read[name].shape) == (value.dtype, value.shape)
        assert read[name].tobytes() == value.tobytes()


@pytest.mark.parametrize("dtype", ["O", "c8", "U3", "M8[s]", "V4"])
def test_other_dtypes_are_not_written(dtype):
    with pytest.raises(TypeError, match="x must have one of the dtypes BOOL"):
        safetensors_format.packed({"x": np.zeros(2, dtype)}, None)


def file(header, n=16, size=None):
    """A file with n bytes of arrays."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if size is None else size) + text + bytes(n)


def entry(dtype="F32", shape=(4,), data_offsets=(0, 16)):
    return {"dtype": dtype, "shape": shape, "data_offsets": data_offsets}


WRONG = {
    "nothing": b"",
    "less than a length": b"\0" * 7,
    "a length alone": struct.pack("<Q", 0),
    "a header beyond the end": file({"x": entry()}, size=1000),
    "a length of 64 bits": file({"x": entry()}, size=2**64 - 1),
    "no JSON": file(b"{x"),
    "no UTF-8": file(b'{"\xff": 1}'),
    "a list": file([]),
    "nested deeply": file(b"[" * 100_000),
    "NaN": file(b'{"x": NaN}'),
    "a name twice": file(b'{"x":%s,"x":%s}' % ((json.dumps(entry()).encode(),) * 2)),
    "no entry": file({"x": 1}),
    "a key too few": file({"x": {"dtype": "F32", "shape": [4]}}),
    "an unknown dtype": file({"x": entry("F31")}),
    "a dtype that is no text": file({"x": entry(["F32"])}),
    "a shape that is no list": file({"x": entry(shape=4)}),
    "a negative size": file({"x": entry(shape=[-4])}),
    "a size that is none": file({"x": entry(shape=[4.0])}),
    "true as a size": file({"x": entry(shape=[4, True])}),
    "huge sizes": file({"x": entry(shape=[2**62, 2**62])}),
    "33 dimensions": file({"x": entry(shape=[1] * 32 + [4])}),
    "one offset": file({"x": entry(data_offsets=[16])}),
    "offsets in reverse": file({"x": entry(data_offsets=[16, 0])}),
    "negative offsets": file({"x": entry(data_offsets=[-16, 0])}),
    "too few bytes": file({"x": entry(shape=[5])}),
    "too many bytes": file({"x": entry(shape=[3])}),
    "arrays beyond the end": file({"x": entry()}, n=15),
    "bytes after the arrays": file({"x": entry()}, n=17),
    "a gap": file({"x": entry(shape=[2], data_offsets=[0, 8]),
                   "y": entry(shape=[1], data_offsets=[12, 16])}),
    "an overlap": file({"x": entry(shape=[2], data_offsets=[0, 8]),
                        "y": entry(shape=[3], data_offsets=[4, 16])}),
    "the same bytes twice": file({"x": entry(), "y": entry()}),
    "a gap before the first": file({"x": entry(shape=[3], data_offsets=[4, 16])}),
}  # fmt: skip
ONLY_HERE = {"a name twice", "33 dimensions"}  # allowed by the package, but not by the format


@pytest.mark.parametrize("name", WRONG)
def test_what_the_package_refuses_is_refused(name):
    with pytest.raises(ValueError, match=r"must|truncated|JSON"):
        safetensors_format.arrays_of(WRONG[name])
    if name not in ONLY_HERE:
        with pytest.raises(Exception):  # noqa: B017, PT011  the package raises many
            safetensors.numpy.load(WRONG[name])


def test_a_header_of_more_than_100_mb(monkeypatch):
    monkeypatch.setattr(safetensors_format, "MAX_HEADER", 20)
    with pytest.raises(ValueError, match="not a safetensors file"):
        safetensors_format.arrays_of(file({"x": entry()}))


def test_spaces_behind_the_header_and_metadata_are_read():
    header = json.dumps({"__metadata__": {"a": "b"}, "x": entry()}).encode() + b"   "
    found = safetensors_format.arrays_of(file(header))
    np.testing.assert_array_equal(found["x"], np.zeros(4, "f4"))


@pytest.mark.skipif(os.name != "posix", reason="the file would take up its space")
def test_a_file_that_is_none_is_refused_before_it_is_read(tmp_path):
    """A film or a disk image given by mistake was read as a whole."""
    path = tmp_path / "none"
    path.touch()
    os.truncate(path, 2**42)
    with pytest.raises(nn.ModelFileError, match="truncated or not a safetensors file"):
        nn.load(path)
