from collections.abc import Callable
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from typing_extensions import disjoint_base

from relume.engine.plan import Plan

STATISTICS: tuple[str, ...]
OBSERVE_VALUES: int
OBSERVE_GRADIENTS: int

@disjoint_base
class Observer:
    every: int
    @property
    def observed(self) -> NDArray[np.uint8]: ...
    @property
    def rows(self) -> int: ...
    @property
    def observations(self) -> int: ...
    def __new__(
        cls,
        plan: Plan,
        observed: NDArray[np.uint8],
        bounds: NDArray[np.float64],
        every: int = 1,
        slots: int = 16,
    ) -> Self: ...
    def clear(self) -> None: ...
    def sums(self) -> list[tuple[float, ...]]: ...
    def active(self, node: int) -> NDArray[np.float64]: ...
    def statistics(self) -> tuple[list[NDArray[np.float64]], list[NDArray[np.float64]]]: ...
    def observe(
        self,
        parameters: NDArray[Any],
        X: NDArray[Any],
        y: NDArray[Any] | None = None,
        loss: tuple[str, NDArray[Any]] | Callable[..., tuple[float, NDArray[Any]]] | None = None,
    ) -> tuple[NDArray[Any] | None, NDArray[Any]]: ...
    def record(self, parameters: NDArray[Any], X: NDArray[Any]) -> list[NDArray[Any]]: ...
    def take_loss(self, y: Any, loss: Any) -> None: ...
