"""All that training changes in a network, copied."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from relume.nn.data.target_form import TargetForm
from relume.nn.layers.activations import Activation
from relume.nn.layers.layer import Layer
from relume.nn.optimizers.lbfgs import LBFGS
from relume.nn.optimizers.optimizers import Optimizer
from relume.nn.optimizers.schedule import Schedule
from relume.nn.parameters.weights import Weights

if TYPE_CHECKING:
    from relume.nn.network import Network


@dataclass(eq=False, repr=False, slots=True)
class Snapshot:
    """The values of a network at one time."""

    layers: list[Layer | Activation]
    dtype: np.dtype[Any]
    n_features: int | None  # None, as the weights, where the network is not built
    weights: Any  # as Weights.snapshot returns them
    rng: Any  # state of the bit generator
    epoch: int
    optimizer: Optimizer | LBFGS
    schedule: dict[str, Any]  # its state
    targets: TargetForm

    @classmethod
    def of(cls, net: Network) -> Snapshot:
        """Copy the values of a network."""
        weights = net._weights
        return cls(
            list(net.layers),
            net.dtype,
            None if weights is None else weights.plan.n_in,
            None if weights is None else weights.snapshot(),
            net._rng.bit_generator.state,
            net.epoch,
            net._optimizer.__copy__(),  # copy.copy would take 3 us of each epoch
            net.schedule.state() if isinstance(net.schedule, Schedule) else {},
            net._target_form,
        )

    def put_back(self, net: Network) -> None:
        """Give a network of the same layers these values."""
        if (repr(self.layers), self.dtype) != (repr(net.layers), net.dtype):
            raise ValueError(
                f"snapshot must be of a network of {net.layers} in {net.dtype}, "
                f"got one of {self.layers} in {self.dtype}"
            )
        if self.targets.learned and not net.scale_targets:
            raise ValueError(
                "snapshot must be of a network with scale_targets=False, as this one has it"
            )
        net._rng.bit_generator.state = self.rng  # raises where the generator is of another kind
        self._restore(net)

    def roll_back(self, net: Network) -> None:
        """Give a network these values after a failure, and the list of layers that it had."""
        net.layers[:] = self.layers
        net._rng.bit_generator.state = self.rng
        self._restore(net)

    def _restore(self, net: Network) -> None:
        if self.weights is None or self.n_features is None:
            net._weights = None
        else:
            weights = net._values  # also where a callback has given the layers other shapes since
            fits = weights is not None and weights.parameters.shape == self.weights[0].shape
            if weights is None or not fits or weights.plan.n_in != self.n_features:
                weights = Weights(net.layers, self.n_features, net.dtype, net.sparse)
                net._weights = weights
            weights.restore(self.weights)
            weights.gradients = None
        net._tape = None
        net._target_form = self.targets
        net.epoch = self.epoch
        if type(net.optimizer) is not type(self.optimizer):
            net._optimizer = copy.copy(self.optimizer)  # which the restored state belongs to
        elif isinstance(self.optimizer, Optimizer) and isinstance(net.optimizer, Optimizer):
            net.optimizer.lr = self.optimizer.lr
        if self.schedule and isinstance(net.schedule, Schedule):
            net.schedule.set_state(self.schedule)
