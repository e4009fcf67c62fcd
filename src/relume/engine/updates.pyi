from typing import Any, Self

from numpy.typing import NDArray
from typing_extensions import disjoint_base

from relume.engine.plan import Plan
from relume.engine.protocols import OptimizerSettings, TrainedValues

@disjoint_base
class Updates:
    @property
    def t(self) -> int: ...
    @property
    def sums(self) -> NDArray[Any]: ...
    def __new__(
        cls,
        plan: Plan,
        weights: TrainedValues,
        optimizer: OptimizerSettings,
        threads: int,
        mean_penalty: bool = False,
        rows: int = 0,
    ) -> Self: ...
    def step(self, gradients: NDArray[Any], rate: float) -> bool: ...
