"""All that training changes in a network, copied."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from relume.nn.optimizers.schedule import Schedule
from relume.nn.parameters.weights import Weights


@dataclass(eq=False, repr=False, slots=True)
class Snapshot:
    """The values of a network at one time."""

    layers: list[Any]
    dtype: np.dtype[Any]
    n_features: int | None  # None, as the weights, where the network is not built
    weights: Any
    rng: dict[str, Any]
    epoch: int
    lr: float | None  # of the optimizer, if it has one
    schedule: dict[str, Any]  # its state

    @classmethod
    def of(cls, net):
        """Copy the values of a network."""
        weights = net._weights
        return cls(
            net.layers,
            net.dtype,
            None if weights is None else weights.plan.n_in,
            None if weights is None else weights.snapshot(),
            net._rng.bit_generator.state,
            net.epoch,
            getattr(net.optimizer, "lr", None),
            net.schedule.state() if isinstance(net.schedule, Schedule) else {},
        )

    def put_back(self, net):
        """Give a network these values."""
        if (repr(self.layers), self.dtype) != (repr(net.layers), net.dtype):
            raise ValueError(
                f"snapshot must be of a network of {net.layers} in {net.dtype}, "
                f"got one of {self.layers} in {self.dtype}"
            )
        net._rng.bit_generator.state = self.rng  # raises where the generator is of another kind
        if self.weights is None:
            net._weights = None
        else:
            if net._weights is None or net._weights.plan.n_in != self.n_features:
                net._weights = Weights(net.layers, self.n_features, net.dtype, net.sparse)
            net._weights.restore(self.weights)
            net._weights.gradients = None
        net.epoch = self.epoch
        if self.lr is not None:
            net.optimizer.lr = self.lr
        if self.schedule:
            net.schedule.set_state(self.schedule)
