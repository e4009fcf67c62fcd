from collections.abc import Callable
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from typing_extensions import disjoint_base

from relume.engine.observer import Observer
from relume.engine.plan import Plan
from relume.engine.protocols import OptimizerSettings, TrainedValues

_Sparse = tuple[NDArray[Any], NDArray[np.int32], NDArray[np.int32]]

STATUS: dict[str, int]

@disjoint_base
class Training:
    @property
    def rows(self) -> int: ...
    @property
    def t(self) -> int: ...
    @property
    def threads(self) -> int: ...
    @property
    def max_threads(self) -> int: ...
    @property
    def n_out(self) -> int: ...
    @property
    def strange_label(self) -> int | None: ...
    def __new__(
        cls,
        plan: Plan,
        weights: TrainedValues,
        rows: int,
        loss: tuple[str, NDArray[Any]] | Callable[..., tuple[float, NDArray[Any]]],
        y_like: NDArray[Any],
        optimizer: OptimizerSettings,
        mean_penalty: bool = False,
        scale: float = 1,
        loss_scale: float = 1,
        loss_limit: float = 0,
    ) -> Self: ...
    def watch(self, observers: list[Observer]) -> None: ...
    def share_skipped(self) -> float: ...
    def epoch(
        self,
        X: NDArray[Any],
        y: NDArray[Any],
        weight: NDArray[Any] | None,
        order: NDArray[np.int64],
        rates: NDArray[np.float64],
        batch_size: int,
        key: int = 0,
    ) -> tuple[int, int, float]: ...
    def batch(
        self,
        X: NDArray[Any] | tuple[_Sparse, _Sparse],
        y: NDArray[Any],
        weight: NDArray[Any] | None,
        rate: float,
        key: int = 0,
        guarded: bool = False,
    ) -> tuple[int, float, float]: ...
    def gradients(
        self,
        X: NDArray[Any] | tuple[_Sparse, _Sparse],
        y: NDArray[Any],
        weight: NDArray[Any] | None,
        gradients: NDArray[Any],
        key: int = 0,
    ) -> tuple[int, float, float]: ...
