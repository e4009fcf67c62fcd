from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from typing_extensions import disjoint_base

from relume.engine.op_spec import OpSpec
from relume.engine.plan import Plan
from relume.runtime.read_write_lock import ReadWriteLock

_Sparse = tuple[NDArray[Any], NDArray[np.int32], NDArray[np.int32]]

@disjoint_base
class Predictor:
    @property
    def plan(self) -> Plan: ...
    @property
    def specs(self) -> list[OpSpec]: ...
    @property
    def sparse(self) -> str: ...
    @property
    def parameters(self) -> NDArray[Any]: ...
    @property
    def lock(self) -> ReadWriteLock: ...
    def __new__(
        cls,
        plan: Plan,
        specs: list[OpSpec],
        sparse: str,
        parameters: NDArray[Any],
        lock: ReadWriteLock,
    ) -> Self: ...
    def predict_array(self, X: Any, softmax: bool = False) -> NDArray[Any] | None: ...
    def predict(self, X: NDArray[Any] | _Sparse, softmax: bool = False) -> NDArray[Any] | None: ...

@disjoint_base
class Ready:
    def __new__(
        cls, predictor: Predictor | None = None, changes: int = 0, softmax: bool = False
    ) -> Self: ...
    def outputs(self, X: Any) -> NDArray[Any] | None: ...
    def probabilities(self, X: Any) -> NDArray[Any] | None: ...

def count_change_of_layers() -> None: ...
def changes_of_layers() -> int: ...
def predict(
    plan: Plan, parameters: NDArray[Any], X: NDArray[Any] | _Sparse, softmax: bool = False
) -> NDArray[Any] | None: ...
