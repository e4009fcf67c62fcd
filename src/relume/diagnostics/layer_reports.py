"""From the statistics of an inspection to its report, layer by layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from relume.diagnostics.advice_rules import advice_for, constant_features
from relume.diagnostics.report import Distribution, GradientStatistics, LayerReport, Report
from relume.nn.units.layer_nodes import is_rectifier, saturates

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from relume.diagnostics.inspect_pass import Evidence
    from relume.nn.units.layer_nodes import LayerNode

NEARLY_DEAD = 0.01  # a unit that is active on a smaller share of rows is nearly dead
SATURATED = 0.99  # a unit is saturated if it is so on at least this share of rows
BINS = 40  # of a histogram


def report_of(evidence: Evidence) -> Report:
    """The report of an inspection, with its advice."""
    layers = [_layer(evidence, node) for node in evidence.nodes]
    sequence = [each for layer in layers for each in layer.walk]
    return Report(
        rows=evidence.rows,
        loss=None if evidence.outcome is None else evidence.outcome.mean_loss,
        inputs=_distribution(evidence, 0),
        constant_features=constant_features(evidence),
        layers=layers,
        advice=advice_for(evidence, sequence),
        notes=_notes(evidence, sequence),
    )


def _layer(evidence: Evidence, node: LayerNode) -> LayerReport:
    values, rows = evidence.values[node.out], evidence.rows
    dies, bounded = is_rectifier(node.activation), saturates(node.activation)
    dead = values.constant & (values.min == 0) & dies
    nearly = ~dead & (values.active < NEARLY_DEAD * rows) & dies
    limited = bool(np.isfinite(evidence.bounds[node.out]).any())
    clipped = values.clipped if limited else np.zeros_like(values.clipped)
    return LayerReport(
        name=node.name,
        description=repr(node.layer),
        kind=type(node.layer).__name__,
        units=values.units,
        zero_fraction=values.zero_fraction,
        dead_units=_indices(dead),
        nearly_dead_units=_indices(nearly),
        saturated_units=_indices(clipped >= max(SATURATED * rows, 1)),
        saturated_fraction=float(clipped.sum() / (rows * values.units)),
        constant_units=_indices(values.constant & ~dead),
        activations=_distribution(evidence, node.out),
        pre_activations=None if node.pre is None else _distribution(evidence, node.pre),
        gradient=_gradient(evidence, node),
        update_ratio=_update_ratio(evidence, node),
        checks=[*(["dead"] if dies else []), *(["saturated"] if bounded else [])],
        inner=[_layer(evidence, each) for each in node.inner],
    )


def _indices(mask: NDArray[np.bool_]) -> list[int]:
    return np.flatnonzero(mask).tolist()


def _distribution(evidence: Evidence, node: int) -> Distribution:
    values, sample = evidence.values[node], evidence.recorded[node]
    low, high = float(sample.min()), float(sample.max())
    width = (high - low) or 1.0
    if not np.isfinite(width):
        low, width, counts = 0.0, 1.0, np.zeros(BINS, np.intp)
    else:
        bins = ((sample - low) * (BINS / width)).astype(np.intp).ravel()
        np.minimum(bins, BINS - 1, out=bins)
        counts = np.bincount(bins, minlength=BINS)
    edges = low + width / BINS * np.arange(BINS + 1)
    return Distribution(
        values.mean, values.std, float(values.min.min()), float(values.max.max()),
        edges.tolist(), counts.tolist(),
    )  # fmt: skip


def _gradient(evidence: Evidence, node: LayerNode) -> GradientStatistics | None:
    statistics = evidence.gradients and evidence.gradients[node.gradient]
    return GradientStatistics(statistics.norm, statistics.zero_fraction) if statistics else None


def _update_ratio(evidence: Evidence, node: LayerNode) -> float | None:
    """Norm of the next update over that of the weights, for dense layers."""
    if evidence.trial is None or not node.dense:
        return None
    name = evidence.net._built().specs[node.first].name
    return evidence.trial.ratios.get(f"{name}.weight")


def _notes(evidence: Evidence, sequence: list[LayerReport]) -> list[str]:
    """Which checks do not apply, and why."""
    notes = []
    if not any("dead" in layer.checks for layer in sequence):
        notes.append("dead units: not checked, because no layer has a rectifier such as relu")
    if not any("saturated" in layer.checks for layer in sequence):
        notes.append("saturation: not checked, because no activation is bounded, as tanh is")
    if evidence.gradients is None:
        notes.append("gradients, learning rate and labels: not checked, because y was not given")
    elif evidence.trial is None:
        notes.append(
            "learning rate: not checked, because the optimizer has none or there are too few rows"
        )
    return notes
