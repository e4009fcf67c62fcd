"""What the engine's plan takes for an op, as the layers of relume.nn say it."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class OpSpec:
    """One op of a plan: its kind, which is a block of engine/ops.pyx, and its settings."""

    kind: str
    layer: Any = None  # the layer that it comes from, for error messages
    name: str = ""  # of the module in a state_dict that holds its parameters
    units: int | None = None  # outputs; None: as many as inputs
    numbers: tuple[float, ...] = ()  # as its kernels read them, in the plan's dtype
    integers: tuple[int, ...] = ()
    activation: int | None = None  # a row of the kernels' table
    from_output: bool = False  # whether the activation's backward reads its output
    bias: bool = False
    l1: float = 0.0
    l2: float = 0.0
    max_norm: float = 0.0  # of the weights into a unit; 0: no limit
    trainable: bool = True
    lr_scale: float = 1.0

    def __str__(self) -> str:
        return f"the op {self.kind!r}" + ("" if self.layer is None else f" of {self.layer!r}")
