from typing import Any

import numpy as np

class Centered(np.ndarray[Any, Any]): ...

def aligned_zeros(shape: int | tuple[int, ...], dtype: Any) -> np.ndarray[Any, Any]: ...
def copy_values(values: np.ndarray[Any, Any], out: np.ndarray[Any, Any]) -> None: ...
def sparse_rows(
    values: np.ndarray[Any, Any],
    index: np.ndarray[Any, Any],
    starts: np.ndarray[Any, Any],
    rows: np.ndarray[Any, Any],
) -> tuple[Any, Any, Any]: ...
def sparse_columns(
    values: np.ndarray[Any, Any],
    index: np.ndarray[Any, Any],
    starts: np.ndarray[Any, Any],
    columns: int,
) -> tuple[Any, Any, Any]: ...
