from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import disjoint_base

from relume.engine.training import Training

_Nodes = list[tuple[int, int]]

TAIL: dict[str, int]

@disjoint_base
class GroupTraining(Training):
    @property
    def first(self) -> int: ...
    @property
    def last(self) -> int: ...
    @property
    def groups(self) -> int: ...
    @property
    def nodes(self) -> _Nodes: ...
    @property
    def block_sums(self) -> NDArray[np.float64]: ...
    def own(
        self,
        first: int,
        last: int,
        groups: int,
        exchange: Callable[[NDArray[Any]], tuple[NDArray[Any], _Nodes]] | None = None,
    ) -> None: ...
    def step(
        self,
        X: Any,
        y: NDArray[Any],
        weight: NDArray[Any] | None,
        order: NDArray[np.int64] | None,
        counts: list[int],
        rate: float,
        key: int = 0,
    ) -> tuple[int, float, float]: ...
    def sums(
        self,
        X: Any,
        y: NDArray[Any],
        weight: NDArray[Any] | None,
        order: NDArray[np.int64] | None,
        counts: list[int],
        gradients: NDArray[Any],
        tails: NDArray[np.float64],
        key: int = 0,
    ) -> None: ...
    def begin_update(
        self,
        gradients: NDArray[Any],
        tail: NDArray[np.float64],
        first_block: int = 0,
        last_block: int | None = None,
        start: int = 0,
    ) -> tuple[int, float, float]: ...
    def scale_squares(self) -> bool: ...
    def end_update(self, rate: float) -> None: ...
    def finish_update(self) -> float: ...
    def penalties(self) -> float: ...

def add_tails(tails: NDArray[np.float64], nodes: _Nodes, groups: int) -> NDArray[np.float64]: ...
