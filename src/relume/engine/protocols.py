"""What the engine asks of the objects it is given; `relume.nn` has the classes."""

from typing import Any, Protocol

from numpy.typing import NDArray

from relume.runtime.read_write_lock import ReadWriteLock


class OptimizerSettings(Protocol):
    """An optimizer: its kernel, the kernel's numbers, and limits of the gradients."""

    @property
    def kernel(self) -> str:
        """Name of the kernel."""

    @property
    def clip_norm(self) -> float | None:
        """Maximum norm of all gradients together."""

    @property
    def clip_value(self) -> float | None:
        """Maximum of the absolute value of each gradient."""

    @property
    def ema_decay(self) -> float | None:
        """Share of the parameters' running average that a step keeps."""

    def hyper(self) -> list[float]:
        """The kernel's numbers, the learning rate first."""


class TrainedValues(Protocol):
    """The values that training changes in place."""

    parameters: NDArray[Any]
    optimizer_state: NDArray[Any]
    average: NDArray[Any] | None
    gradients: NDArray[Any] | None
    steps: int
    # Of |parameters| and |optimizer_state[0]|, both upper; None where nobody knows them.
    bounds: tuple[float, float] | None

    @property
    def lock(self) -> ReadWriteLock:
        """Held for writing while the parameters are written."""
