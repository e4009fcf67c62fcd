from typing import Any

import numpy as np
from numpy.typing import NDArray

_Compressed = tuple[NDArray[Any], NDArray[np.int32], NDArray[np.int32]]

WIDTHS: tuple[int, ...]
SPARSITIES: dict[str, int]
PRODUCTS: dict[str, int]
MIN_SHARES: dict[str, dict[str, tuple[float, ...]]]

def pays(product: str, n: int, zeros: float) -> bool: ...
def count_zeros(x: NDArray[Any]) -> int: ...
def compress(x: NDArray[Any], columns: bool = False) -> _Compressed: ...
def times_dense(
    compressed: _Compressed,
    matrix: NDArray[Any],
    bias: NDArray[Any] | None = None,
    out: NDArray[Any] | None = None,
    accumulate: bool = False,
) -> NDArray[Any]: ...
