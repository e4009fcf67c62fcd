from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from typing_extensions import disjoint_base

from relume.engine.op_spec import OpSpec

def parameters_of(
    specs: list[OpSpec], n_in: int
) -> list[tuple[int, str, tuple[int, ...], str]]: ...

@disjoint_base
class Plan:
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def n_ops(self) -> int: ...
    @property
    def n_blocks(self) -> int: ...
    @property
    def n_in(self) -> int: ...
    @property
    def n_out(self) -> int: ...
    @property
    def n_parameters(self) -> int: ...
    @property
    def itemsize(self) -> int: ...
    @property
    def random(self) -> bool: ...
    def __new__(
        cls, n_in: int, specs: list[OpSpec], dtype: np.dtype[Any], sparse: str = "auto"
    ) -> Self: ...
    def layout(self) -> list[tuple[int, str, int, tuple[int, ...], str]]: ...
    def all_finite(self, parameters: NDArray[Any]) -> bool: ...
    def choices(
        self,
    ) -> tuple[
        list[tuple[int, str, bool, float, float, float, float]],
        int,
        dict[int, float],
        float,
        float,
    ]: ...
    def shard_rows(self, rows: int, threads: int) -> int: ...
    def new_tape(self, rows: int) -> NDArray[Any]: ...
    def forward(
        self, parameters: NDArray[Any], X: NDArray[Any], tape: NDArray[Any], key: int = 0
    ) -> NDArray[Any] | None: ...
    def backward(
        self,
        parameters: NDArray[Any],
        gradients: NDArray[Any],
        X: NDArray[Any],
        tape: NDArray[Any],
        dz: NDArray[Any],
    ) -> NDArray[Any]: ...
    def row_losses(
        self, loss: str, numbers: NDArray[Any], z: NDArray[Any], y: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[Any]]: ...
