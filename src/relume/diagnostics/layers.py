"""From sums to a report: the figures of each layer, and which checks apply to it."""

import numpy as np

from relume.diagnostics.report import Distribution, GradientFigures, LayerReport, Report
from relume.diagnostics.rules import advice_for, constant_features
from relume.nn.layers.dense import Dense
from relume.nn.units.layer_nodes import is_rectifier, saturates

NEARLY = 0.01  # of rows: a unit that is active on fewer is nearly dead
STUCK = 0.99  # of rows: a unit that is saturated on so many is
BINS = 40


def report_of(evidence):
    """The Report that evidence makes, advice and all."""
    layers = [_layer(evidence, place) for place in evidence.places]
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


def _layer(evidence, place):
    values, rows = evidence.values[place.out], evidence.rows
    dies, bounded = is_rectifier(place.activation), saturates(place.activation)
    dead = values.constant & (values.least == 0) & dies
    nearly = ~dead & (values.active < NEARLY * rows) & dies
    limited = bool(np.isfinite(evidence.bounds[place.out]).any())
    clipped = values.clipped if limited else np.zeros_like(values.clipped)
    return LayerReport(
        name=place.name,
        description=repr(place.layer),
        kind=type(place.layer).__name__,
        units=values.units,
        zero_fraction=values.zero_fraction,
        dead_units=_indices(dead),
        nearly_dead_units=_indices(nearly),
        saturated_units=_indices(clipped >= max(STUCK * rows, 1)),
        saturated_fraction=float(clipped.sum() / (rows * values.units)),
        constant_units=_indices(values.constant & ~dead),
        activations=_distribution(evidence, place.out),
        pre_activations=None if place.pre is None else _distribution(evidence, place.pre),
        gradient=_gradient(evidence, place),
        update_ratio=_update_ratio(evidence, place),
        checks=[*(["dead"] if dies else []), *(["saturated"] if bounded else [])],
        inner=[_layer(evidence, each) for each in place.inner],
    )


def _indices(mask):
    return np.flatnonzero(mask).tolist()


def _distribution(evidence, place):
    values, sample = evidence.values[place], evidence.recorded[place]
    least, most = float(sample.min()), float(sample.max())
    width = (most - least) or 1.0
    if not np.isfinite(width):
        least, width, counts = 0.0, 1.0, np.zeros(BINS, np.intp)
    else:
        bins = ((sample - least) * (BINS / width)).astype(np.intp).ravel()
        np.minimum(bins, BINS - 1, out=bins)
        counts = np.bincount(bins, minlength=BINS)
    edges = least + width / BINS * np.arange(BINS + 1)
    return Distribution(
        values.mean, values.deviation, float(values.least.min()), float(values.most.max()),
        edges.tolist(), counts.tolist(),
    )  # fmt: skip


def _gradient(evidence, place):
    figures = evidence.gradients and evidence.gradients[place.gradient]
    return GradientFigures(figures.norm, figures.zero_fraction) if figures else None


def _update_ratio(evidence, place):
    """Of the weights of a dense layer."""
    if evidence.probe is None or not isinstance(place.layer, Dense):
        return None
    name = evidence.net._weights.specs[place.first].name
    return evidence.probe.ratios.get(f"{name}.weight")


def _notes(evidence, sequence):
    """Which checks do not apply, and why."""
    notes = []
    if not any("dead" in layer.checks for layer in sequence):
        notes.append("dead units: not checked, since no layer has a rectifier such as relu")
    if not any("saturated" in layer.checks for layer in sequence):
        notes.append("saturation: not checked, since no layer is bounded, as tanh and sigmoid are")
    if evidence.gradients is None:
        notes.append("gradients, learning rate and labels: not checked, since y was not given")
    elif evidence.probe is None:
        notes.append("learning rate: not checked, since the optimizer has none, or rows are few")
    return notes
