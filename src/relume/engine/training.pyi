from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from typing_extensions import disjoint_base

from relume.engine.plan import Plan

STATUS: dict[str, int]

@disjoint_base
class Training:
    @property
    def batch_size(self) -> int: ...
    @property
    def t(self) -> int: ...
    def __new__(
        cls,
        plan: Plan,
        parameters: NDArray[Any],
        state: NDArray[Any],
        X: NDArray[Any],
        y: NDArray[Any],
        batch_size: int,
        loss: str,
        optimizer: str,
        hyper: Sequence[float],
        t: int,
    ) -> Self: ...
    def epoch(self, order: NDArray[np.int64]) -> tuple[int, int, float]: ...

def apply_update(
    plan: Plan,
    parameters: NDArray[Any],
    gradients: NDArray[Any],
    state: NDArray[Any],
    optimizer: str,
    hyper: Sequence[float],
    t: int,
) -> None: ...
