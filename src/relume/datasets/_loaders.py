"""The loaders of the data sets, which are stored in gzipped IDX files, the format of MNIST.

An IDX file has a header of big-endian 32-bit integers, followed by the values in C order. The
header consists of a magic number and the size of each dimension. The third byte of the magic
number is the type of the values (8, unsigned byte, in all files here), and the fourth byte is the
number of dimensions.
"""

import gzip
import math
import os
import struct
import zlib
from pathlib import Path
from typing import Literal, overload

import numpy as np
from numpy.typing import NDArray

from relume import validation
from relume.datasets._bunch import Bunch

_DIGITS_FILE = Path(__file__).with_name("digits-idx2-ubyte.gz")
_DIGITS_DESCR = """\
Optical recognition of handwritten digits (the test set)

1797 images of 8 x 8 pixels, each a digit from 0 to 9 written by one of 13 people. A pixel
is an integer from 0 to 16: how many dots are set in one 4 x 4 block of the scanned 32 x 32
bitmap. Images per class: 178, 182, 177, 183, 181, 182, 181, 179, 174, 180.

Source: E. Alpaydin and C. Kaynak (1998), Optical Recognition of Handwritten Digits,
UCI Machine Learning Repository, https://doi.org/10.24432/C50P49
Licence: CC BY 4.0, https://creativecommons.org/licenses/by/4.0/
Changes: stored in IDX format, in the original order, with unchanged values.
"""

_FASHION_DEBIAN_FOLDER = "/usr/share/datasets/fashion-mnist"
_FASHION_FILES = [
    f"{split}-{kind}-ubyte.gz"
    for split in ("train", "t10k")
    for kind in ("images-idx3", "labels-idx1")
]
_FASHION_HOW_TO_GET = (
    "On Debian, run: apt install dataset-fashion-mnist. Elsewhere, put the four files "
    f"({', '.join(_FASHION_FILES)}) in a directory and pass it as path or set RELUME_DATA to it."
)
_FASHION_CLASSES = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
]
_FASHION_DESCR = """\
Fashion-MNIST

Grey-scale images of articles of clothing, 28 x 28 pixels each. A pixel is an integer from
0 (background) to 255. There are 60000 training images and 10000 test images, in ten classes
of equal size.

Source: H. Xiao, K. Rasul and R. Vollgraf (2017), Fashion-MNIST: a Novel Image Dataset for
Benchmarking Machine Learning Algorithms, https://arxiv.org/abs/1708.07747
Licence: MIT, copyright 2017 Zalando SE, https://github.com/zalandoresearch/fashion-mnist
"""


@overload
def load_digits(*, return_X_y: Literal[False] = False) -> Bunch: ...
@overload
def load_digits(*, return_X_y: Literal[True]) -> tuple[NDArray[np.float64], NDArray[np.int64]]: ...
def load_digits(
    *, return_X_y: bool = False
) -> Bunch | tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Load 1797 images of handwritten digits of 8 x 8 pixels, which are part of relume.

    Names, shapes, dtypes and values are those of ``sklearn.datasets.load_digits``.

    Parameters
    ----------
    return_X_y : bool, default=False
        Whether to return the tuple ``(data, target)`` instead of a `Bunch`.

    Returns
    -------
    Bunch or tuple
        The tuple ``(data, target)``, or a `Bunch` with these keys:

        - ``data``: (1797, 64) float64, the pixels row by row, integers from 0 to 16.
        - ``images``: (1797, 8, 8) float64, a view of ``data``.
        - ``target``: (1797,) int64, the digit.
        - ``feature_names``: list of 64 str, ``"pixel_0_0"`` (row, column) to ``"pixel_7_7"``.
        - ``target_names``: (10,) int64, 0 to 9.
        - ``DESCR``: str, the description, source and licence.

    See Also
    --------
    load_fashion_mnist : 70000 images of 28 x 28 pixels.

    Notes
    -----
    This is the test set of the source [1]_ in its original order, under the licence CC BY 4.0.

    References
    ----------
    .. [1] E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI
       Machine Learning Repository, 1998. https://doi.org/10.24432/C50P49

    Examples
    --------
    >>> from relume.datasets import load_digits
    >>> digits = load_digits()
    >>> digits.data.shape
    (1797, 64)
    >>> digits.target[:5]
    array([0, 1, 2, 3, 4])
    """
    rows = _read_idx(_DIGITS_FILE, (65,))  # 64 pixels, then the class
    data = rows[:, :64].astype(np.float64)
    target = rows[:, 64].astype(np.int64)
    if return_X_y:
        return data, target
    return Bunch(
        data=data,
        images=data.reshape(-1, 8, 8),
        target=target,
        feature_names=[f"pixel_{i}_{j}" for i in range(8) for j in range(8)],
        target_names=np.arange(10, dtype=np.int64),
        DESCR=_DIGITS_DESCR,
    )


def load_fashion_mnist(path: str | os.PathLike[str] | None = None) -> Bunch:
    """Load Fashion-MNIST, 70000 images of clothes in ten classes, from a local directory.

    The directory must contain the four published files: ``train-images-idx3-ubyte.gz``,
    ``train-labels-idx1-ubyte.gz``, ``t10k-images-idx3-ubyte.gz`` and
    ``t10k-labels-idx1-ubyte.gz``. Nothing is downloaded. On Debian,
    ``apt install dataset-fashion-mnist`` installs them in the default directory.

    Parameters
    ----------
    path : str or os.PathLike, optional
        Directory of the files. The default is the environment variable ``RELUME_DATA`` if it is
        set and not empty, else ``/usr/share/datasets/fashion-mnist``.

    Returns
    -------
    Bunch
        Data with these keys (files with fewer images give fewer rows):

        - ``X_train``: (60000, 784) uint8, the pixels row by row, from 0 to 255.
        - ``y_train``: (60000,) int64, the class, from 0 to 9.
        - ``X_test``: (10000, 784) uint8.
        - ``y_test``: (10000,) int64.
        - ``target_names``: (10,) str, the names of the classes.
        - ``DESCR``: str, the description, source and licence.

    Raises
    ------
    FileNotFoundError
        If the directory or one of its four files is missing.
    TypeError
        If `path` is neither a str nor an os.PathLike.
    ValueError
        If a file has an unexpected format (magic number, image size or length), if the numbers
        of labels and images differ, or if a label is greater than 9.

    See Also
    --------
    load_digits : 1797 images of 8 x 8 pixels, which are part of relume.

    Notes
    -----
    The data set by Xiao, Rasul and Vollgraf [1]_ is under the MIT licence.

    References
    ----------
    .. [1] H. Xiao, K. Rasul and R. Vollgraf, "Fashion-MNIST: a Novel Image Dataset for
       Benchmarking Machine Learning Algorithms", 2017. https://arxiv.org/abs/1708.07747

    Examples
    --------
    >>> from relume.datasets import load_fashion_mnist
    >>> fashion = load_fashion_mnist()  # doctest: +SKIP
    >>> fashion.X_train.shape  # doctest: +SKIP
    (60000, 784)
    """
    folder = _fashion_mnist_folder(path)
    X_train, y_train = _read_fashion_mnist(folder, "train")
    X_test, y_test = _read_fashion_mnist(folder, "t10k")
    return Bunch(
        X_train=X_train,
        y_train=y_train,
        X_test=X_test,
        y_test=y_test,
        target_names=np.array(_FASHION_CLASSES),
        DESCR=_FASHION_DESCR,
    )


def _fashion_mnist_folder(path):
    """Return the directory to read, after checking that it has all four files."""
    if path is None:
        path = os.environ.get("RELUME_DATA") or _FASHION_DEBIAN_FOLDER
    elif not isinstance(path, (str, os.PathLike)):
        raise TypeError(
            f"path must be a str, an os.PathLike or None, got {validation.shown(path)}"
        )
    folder = Path(path)
    if not folder.is_dir():
        raise FileNotFoundError(
            f"Fashion-MNIST: {folder} is not a directory. {_FASHION_HOW_TO_GET}"
        )
    missing = [name for name in _FASHION_FILES if not (folder / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"Fashion-MNIST: {folder} lacks {', '.join(missing)}. {_FASHION_HOW_TO_GET}"
        )
    return folder


def _read_fashion_mnist(folder, split):
    """Return the images, one per row, and the labels of one split."""
    images = _read_idx(folder / f"{split}-images-idx3-ubyte.gz", (28, 28))
    labels_file = folder / f"{split}-labels-idx1-ubyte.gz"
    labels = _read_idx(labels_file, ())
    if len(labels) != len(images):
        raise ValueError(
            f"{labels_file}: has {len(labels)} labels; must have {len(images)}, one per image"
        )
    if np.any(labels > 9):
        raise ValueError(f"{labels_file}: has label {labels.max()}; labels must be 0 to 9")
    return images.reshape(len(images), 28 * 28), labels.astype(np.int64)


def _read_idx(file, item_shape):
    """Return the uint8 array in a gzipped IDX file, of any length, with items of item_shape."""
    content = _gunzip(file)
    ndim = 1 + len(item_shape)
    n_header = 4 * (1 + ndim)
    if len(content) < n_header:
        raise ValueError(f"{file}: has {len(content)} bytes; the header must have {n_header}")
    magic, *shape = struct.unpack_from(f">{1 + ndim}I", content)
    if magic != 0x800 + ndim:
        raise ValueError(f"{file}: magic number is 0x{magic:08x}; must be 0x{0x800 + ndim:08x}")
    if tuple(shape[1:]) != item_shape:
        raise ValueError(f"{file}: items have shape {tuple(shape[1:])}; must be {item_shape}")
    n_values = len(content) - n_header
    if n_values != math.prod(shape):
        raise ValueError(
            f"{file}: has {n_values} values; shape {tuple(shape)} must have {math.prod(shape)}"
        )
    # The copy makes the array writable, as users expect.
    return np.frombuffer(content, np.uint8, offset=n_header).reshape(shape).copy()


def _gunzip(file):
    try:
        with gzip.open(file) as stream:
            return stream.read()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{file}: must be a complete gzip file; {error}") from error
