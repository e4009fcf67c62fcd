"""The ops of a list of layers, in the order of the engine's plan, and the arrays they hold."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from relume.engine.op_spec import OpSpec
from relume.engine.ops import DIGITS
from relume.engine.plan import parameters_of
from relume.nn.layers.traits import Traits


class Parameter(NamedTuple):
    """An array of parameters, as a `state_dict` has it."""

    op: OpSpec
    shape: tuple[int, ...]
    role: str  # LEARNT, STATISTIC or COUNT of relume.engine.ops
    wide: bool  # it is in float64, whatever the dtype of the network


def ops_of(layers: Sequence[Traits]) -> list[OpSpec]:
    """The ops of all layers: each with the name of its module in a torch.nn.Sequential."""
    modules = [module for layer in layers for module in layer.modules()]
    return [
        replace(op, name=f"{index}.{op.name}" if op.name else f"{index}")
        for index, module in enumerate(modules)
        for op in module
    ]


def parameters(ops: list[OpSpec], n_features: int) -> dict[str, Parameter]:
    """All arrays of some ops for inputs of some width, by name."""
    arrays = parameters_of(ops, n_features)
    wide = {(i, name.removesuffix("_low")) for i, name, _, role in arrays if role == DIGITS}
    return {
        f"{ops[i].name}.{name}": Parameter(ops[i], shape[::-1], role, (i, name) in wide)
        for i, name, shape, role in arrays
        if role != DIGITS
    }
