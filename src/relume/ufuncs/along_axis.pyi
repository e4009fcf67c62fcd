from typing import Any

import numpy as np
from numpy.typing import NDArray

FUNCTIONS: list[tuple[str, int, str, int, int, bool]]
KERNELS: dict[str, int]
LONG_ROW: int
texts: list[tuple[bytes, bytes]]

class LongRow:
    @property
    def count(self) -> int: ...
    def __init__(self, name: str, is_double: bool, n: int) -> None: ...
    def reads(self, number: int, k: int) -> bool: ...
    def run(self, number: int, start: int, n: int, spans: list[NDArray[Any]]) -> None: ...

def halves(x: Any, axis: Any) -> tuple[NDArray[Any], NDArray[Any]] | None: ...
def __getattr__(name: str) -> np.ufunc: ...  # the ufuncs of FUNCTIONS
