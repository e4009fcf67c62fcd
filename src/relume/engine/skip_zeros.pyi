from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

_Compressed = tuple[NDArray[Any], NDArray[np.int32], NDArray[np.int32]]

SPARSITIES: dict[str, int]
PRODUCTS: dict[str, int]

def simulate(
    shares: ArrayLike,
    dense: ArrayLike,
    compress: ArrayLike,
    nonzero: ArrayLike,
    clock: float,
    rows: int = 64,
    width: int = 64,
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], float]: ...
def count_zeros(x: NDArray[Any]) -> int: ...
def compress(x: NDArray[Any], columns: bool = False) -> _Compressed: ...
def times_dense(
    compressed: _Compressed,
    matrix: NDArray[Any],
    bias: NDArray[Any] | None = None,
    out: NDArray[Any] | None = None,
    accumulate: bool = False,
) -> NDArray[Any]: ...
