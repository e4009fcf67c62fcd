from typing import Any

from numpy.typing import NDArray

KINDS: dict[str, int]
LEARNT: str
STATISTIC: str
COUNT: str
DIGITS: str
COUNT_BASE: int

def multiply(
    a: NDArray[Any],
    b: NDArray[Any],
    out: NDArray[Any],
    transposed_a: bool = False,
    transposed_b: bool = False,
    bias: NDArray[Any] | None = None,
    accumulate: bool = False,
    rectify: bool = False,
    positive: NDArray[Any] | None = None,
    scratch: int | None = None,
) -> None: ...
