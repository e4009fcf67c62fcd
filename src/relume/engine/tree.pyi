from typing import Any

from numpy.typing import NDArray

def roots(first: int, last: int, count: int) -> list[tuple[int, int]]: ...
def add_tree(
    values: list[NDArray[Any]], nodes: list[tuple[int, int]], count: int
) -> tuple[list[NDArray[Any]], list[tuple[int, int]]]: ...
