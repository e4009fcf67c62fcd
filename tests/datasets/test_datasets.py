"""The data sets: the results of the loaders, and their errors for invalid files."""

import copy
import gzip
import os
import pickle
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from relume import datasets

DEBIAN_FOLDER = "/usr/share/datasets/fashion-mnist"
TRAIN_IMAGES = "train-images-idx3-ubyte.gz"
TRAIN_LABELS = "train-labels-idx1-ubyte.gz"
TEST_IMAGES = "t10k-images-idx3-ubyte.gz"
TEST_LABELS = "t10k-labels-idx1-ubyte.gz"
FILES = [TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS]


def idx(magic, shape, values):
    """Return the bytes of an IDX file according to its specification."""
    return struct.pack(f">{1 + len(shape)}I", magic, *shape) + bytes(values)


# -- load_digits --


def test_digits_shapes_and_dtypes():
    digits = datasets.load_digits()
    assert list(digits) == [
        "data",
        "images",
        "target",
        "feature_names",
        "target_names",
        "DESCR",
    ]
    assert (digits.data.shape, digits.data.dtype) == ((1797, 64), np.float64)
    assert (digits.images.shape, digits.images.dtype) == ((1797, 8, 8), np.float64)
    assert (digits.target.shape, digits.target.dtype) == ((1797,), np.int64)
    assert digits.data.flags.c_contiguous
    assert digits.data.flags.writeable
    assert digits.target.flags.c_contiguous
    assert digits.target.flags.writeable
    np.testing.assert_array_equal(digits.target_names, range(10))
    assert len(digits.feature_names) == 64
    assert digits.feature_names[:2] == ["pixel_0_0", "pixel_0_1"]
    assert digits.feature_names[-1] == "pixel_7_7"
    assert "10.24432/C50P49" in digits.DESCR
    assert "CC BY 4.0" in digits.DESCR


def test_digits_class_counts():
    # As stated in the description of the UCI test set.
    counts = [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert np.bincount(datasets.load_digits().target).tolist() == counts


def test_digits_values():
    # Sum and CRC-32 of the values of scikit-learn 1.9.1's load_digits as bytes in C order.
    data, target = datasets.load_digits(return_X_y=True)
    assert (data.min(), data.max(), data.sum()) == (0, 16, 561718)
    assert np.array_equal(data, data.astype(np.uint8))
    assert zlib.crc32(data.astype(np.uint8)) == 4087501628
    assert zlib.crc32(target.astype(np.uint8)) == 4168075561


def test_digits_first_image():
    # The first row of the UCI test set: a zero.
    image = [
        [0, 0, 5, 13, 9, 1, 0, 0],
        [0, 0, 13, 15, 10, 15, 5, 0],
        [0, 3, 15, 2, 0, 11, 8, 0],
        [0, 4, 12, 0, 0, 8, 8, 0],
        [0, 5, 8, 0, 0, 9, 8, 0],
        [0, 4, 11, 0, 1, 12, 7, 0],
        [0, 2, 14, 5, 10, 12, 0, 0],
        [0, 0, 6, 13, 10, 0, 0, 0],
    ]
    digits = datasets.load_digits()
    np.testing.assert_array_equal(digits.images[0], image)
    np.testing.assert_array_equal(digits.data[0], np.ravel(image))
    assert digits.target[0] == 0


def test_digits_return_X_y():
    digits = datasets.load_digits()
    result = datasets.load_digits(return_X_y=True)
    assert type(result) is tuple
    np.testing.assert_array_equal(result[0], digits.data)
    np.testing.assert_array_equal(result[1], digits.target)


def test_digits_are_not_shared_between_calls():
    datasets.load_digits().data[:] = -1
    assert datasets.load_digits().data.min() == 0


# -- load_fashion_mnist --


@pytest.fixture
def small(tmp_path):
    """A directory with seven training images and three test images; its contents by file."""
    rng = np.random.default_rng(0)
    contents = {}
    for prefix, n in (("train", 7), ("t10k", 3)):
        images = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        labels = rng.integers(0, 10, n, dtype=np.uint8)
        contents[f"{prefix}-images-idx3-ubyte.gz"] = images
        contents[f"{prefix}-labels-idx1-ubyte.gz"] = labels
    for name, array in contents.items():
        content = idx(0x800 + array.ndim, array.shape, array.tobytes())
        (tmp_path / name).write_bytes(gzip.compress(content))
    return tmp_path, contents


def assert_is_small(fashion, contents):
    for split, images, labels in (
        ("train", TRAIN_IMAGES, TRAIN_LABELS),
        ("test", TEST_IMAGES, TEST_LABELS),
    ):
        X, y = fashion[f"X_{split}"], fashion[f"y_{split}"]
        assert (X.dtype, y.dtype) == (np.uint8, np.int64)
        assert X.flags.c_contiguous
        assert X.flags.writeable
        assert y.flags.writeable
        np.testing.assert_array_equal(X, contents[images].reshape(-1, 784), strict=True)
        np.testing.assert_array_equal(y, contents[labels])


class PathLike:
    """An os.PathLike that is not a pathlib.Path."""

    def __init__(self, path):
        self.path = path

    def __fspath__(self):
        return str(self.path)


@pytest.mark.parametrize("kind", [str, Path, PathLike])
def test_fashion_mnist_reads_back_exactly(small, kind):
    folder, contents = small
    fashion = datasets.load_fashion_mnist(kind(folder))
    assert_is_small(fashion, contents)
    assert list(fashion) == ["X_train", "y_train", "X_test", "y_test", "target_names", "DESCR"]
    assert fashion.target_names[[0, 1, 9]].tolist() == ["T-shirt/top", "Trouser", "Ankle boot"]
    assert len(fashion.target_names) == 10
    assert "1708.07747" in fashion.DESCR
    assert "MIT" in fashion.DESCR


def test_fashion_mnist_honours_RELUME_DATA(small, monkeypatch):
    folder, contents = small
    monkeypatch.setenv("RELUME_DATA", str(folder))
    assert_is_small(datasets.load_fashion_mnist(), contents)


def test_fashion_mnist_path_wins_over_RELUME_DATA(small, monkeypatch):
    folder, contents = small
    monkeypatch.setenv("RELUME_DATA", str(folder / "elsewhere"))
    assert_is_small(datasets.load_fashion_mnist(folder), contents)


@pytest.mark.parametrize("through", ["path", "RELUME_DATA"])
def test_fashion_mnist_missing_folder(tmp_path, monkeypatch, through):
    folder = tmp_path / "nowhere"
    monkeypatch.setenv("RELUME_DATA", str(folder))
    with pytest.raises(FileNotFoundError) as error:
        datasets.load_fashion_mnist(folder if through == "path" else None)
    message = str(error.value)
    for part in (
        f"{folder} is not a directory",
        "apt install dataset-fashion-mnist",
        "RELUME_DATA",
        *FILES,
    ):
        assert part in message


@pytest.mark.parametrize("name", FILES)
def test_fashion_mnist_missing_file(small, name):
    folder, _ = small
    (folder / name).unlink()
    message = re.escape(f"{folder} lacks {name}. On Debian, run: apt install dataset-fashion")
    with pytest.raises(FileNotFoundError, match=message):
        datasets.load_fashion_mnist(folder)


@pytest.mark.parametrize("path", [3, b"/tmp", ["a"], False])
def test_fashion_mnist_path_of_wrong_type(path):
    message = re.escape(f"path must be a str, an os.PathLike or None, got {path!r}")
    with pytest.raises(TypeError, match=message):
        datasets.load_fashion_mnist(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (TRAIN_IMAGES, b"", "has 0 bytes; the header must have 16"),
        (TRAIN_LABELS, idx(0x801, (), b""), "has 4 bytes; the header must have 8"),
        (
            TRAIN_IMAGES,
            idx(0x801, (7,), bytes(7 * 784)),
            "magic number is 0x00000801; must be 0x00000803",
        ),
        (
            TEST_LABELS,
            idx(0x803, (3, 28, 28), bytes(3 * 784)),
            "magic number is 0x00000803; must be 0x00000801",
        ),
        (
            TEST_IMAGES,
            idx(0xD03, (3, 28, 28), bytes(12 * 784)),  # 0xD: float32
            "magic number is 0x00000d03; must be 0x00000803",
        ),
        (
            TEST_IMAGES,
            idx(0x803, (3, 14, 56), bytes(3 * 784)),
            "items have shape (14, 56); must be (28, 28)",
        ),
        (
            TRAIN_IMAGES,
            idx(0x803, (7, 28, 28), bytes(7 * 784 - 1)),
            "has 5487 values; shape (7, 28, 28) must have 5488",
        ),
        (
            TRAIN_IMAGES,
            idx(0x803, (7, 28, 28), bytes(7 * 784 + 1)),
            "has 5489 values; shape (7, 28, 28) must have 5488",
        ),
        (TEST_LABELS, idx(0x801, (3,), [1, 2]), "has 2 values; shape (3,) must have 3"),
        (TEST_LABELS, idx(0x801, (2,), [1, 2]), "has 2 labels; must have 3, one per image"),
        (TEST_LABELS, idx(0x801, (3,), [1, 10, 2]), "has label 10; labels must be 0 to 9"),
    ],
)
def test_fashion_mnist_file_with_wrong_content(small, name, content, message):
    folder, _ = small
    (folder / name).write_bytes(gzip.compress(content))
    with pytest.raises(ValueError, match=re.escape(f"{folder / name}: {message}")):
        datasets.load_fashion_mnist(folder)


def cut(whole):
    return whole[:-20]


def flip_last_checksum_byte(whole):
    return whole[:-5] + bytes([whole[-5] ^ 0xFF]) + whole[-4:]


def corrupt_deflate_stream(whole):
    return whole[:10] + b"\xff" * 20 + whole[30:]


@pytest.mark.parametrize(
    "damage", [cut, flip_last_checksum_byte, corrupt_deflate_stream, gzip.decompress]
)
def test_fashion_mnist_damaged_gzip(small, damage):
    file = small[0] / TRAIN_IMAGES
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(ValueError, match=re.escape(f"{file}: must be a complete gzip file")):
        datasets.load_fashion_mnist(small[0])


@pytest.mark.skipif(
    not os.path.isdir(DEBIAN_FOLDER), reason="Debian's dataset-fashion-mnist is not installed"
)
def test_fashion_mnist_of_debian(monkeypatch):
    monkeypatch.setenv("RELUME_DATA", "")
    fashion = datasets.load_fashion_mnist()
    assert fashion.X_train.shape == (60000, 784)
    assert fashion.X_test.shape == (10000, 784)
    assert np.bincount(fashion.y_train).tolist() == [6000] * 10
    assert np.bincount(fashion.y_test).tolist() == [1000] * 10
    # The mean and standard deviation that are commonly used to standardize this data set.
    assert fashion.X_train.mean() / 255 == pytest.approx(0.2860, abs=5e-5)
    assert fashion.X_train.std() / 255 == pytest.approx(0.3530, abs=5e-5)


# -- Bunch --


def test_bunch_keys_are_attributes():
    bunch = datasets.Bunch(a=1)
    bunch.b = 2
    bunch["c"] = 3
    assert (bunch["a"], bunch["b"], bunch.c) == (1, 2, 3)
    assert isinstance(bunch, dict)
    assert {"a", "b", "c", "items"} <= set(dir(bunch))


@pytest.mark.parametrize(("keys", "listed"), [({"a": 1, "b": 2}, "a, b"), ({}, "none")])
def test_bunch_attribute_error_names_the_keys(keys, listed):
    with pytest.raises(AttributeError, match=f"no attribute 'd'; its keys are {listed}$"):
        _ = datasets.Bunch(keys).d


def test_bunch_repr_has_no_array_values():
    lines = repr(datasets.load_digits()).splitlines()
    assert lines[0] == "Bunch("
    assert lines[-1] == ")"
    assert lines[1:4] == [
        "    data=<float64 (1797, 64)>,",
        "    images=<float64 (1797, 8, 8)>,",
        "    target=<int64 (1797,)>,",
    ]
    assert len(lines) == 8
    assert max(map(len, lines)) < 100
    assert repr([datasets.Bunch(parts=[np.zeros(3)])]) == (
        "[Bunch(\n    parts=[<float64 (3,)>],\n)]"
    )


@pytest.mark.parametrize("duplicate", [copy.copy, lambda b: pickle.loads(pickle.dumps(b))])
def test_bunch_copies_and_pickles(duplicate):
    bunch = datasets.Bunch(a=1, b="x")
    other = duplicate(bunch)
    assert type(other) is datasets.Bunch
    assert other == bunch
    other.a = 2
    assert bunch.a == 1
