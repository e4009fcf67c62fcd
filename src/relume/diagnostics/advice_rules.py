"""The rules that give advice, one per kind of problem.

Each rule takes the Evidence, the report's layers and the kinds of problems found so far, and
yields Advice. The thresholds were set on about 40 healthy networks (trained and untrained, with
all activations, deep, residual, normalized, autoencoders, regressions) and 60 networks with
problems, with several seeds each. The comments give the values that were measured.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from relume.diagnostics.label_shift import label_shift
from relume.diagnostics.report import Advice, LayerReport
from relume.engine.prediction import predict
from relume.nn.layers.dense import Dense
from relume.nn.layers.normalization import Standardize
from relume.nn.optimizers.usual_rate import lower_rate, rate_excess, usual_rate
from relume.nn.units import target_scale

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from relume.diagnostics.inspect_pass import Evidence
    from relume.nn.units.layer_nodes import LayerNode

Layers = Sequence[LayerReport]

DEAD = 0.2  # share of a layer's units from which dead units matter
NATURAL = 0.4  # below this share, dead units do not matter if they are close to being active
FEW_ROWS = 32  # with fewer rows, only a layer whose units are all dead is reported
SATURATED = 0.5  # share of values
TOO_LARGE, TOO_SMALL = 10.0, 0.01  # root mean square of a feature
HEAVY, LIGHT = 4.0, 0.15  # weights relative to He's initialization; healthy: 0.4 to 3.6
LEARNED, UNLEARNED = 0.5, 0.9  # loss relative to that of the best constant prediction


def advice_for(evidence: Evidence, layers: Layers) -> list[Advice]:
    """All advice, causes before their effects."""
    found: list[Advice] = []
    for rule in (
        unscaled_input, unscaled_target, constant_feature, bad_initialization, learning_rate_high,
        learning_rate_low, dead_units, saturated_units, vanishing_gradient, exploding_gradient,
        label_shift,
    ):  # fmt: skip
        found += rule(evidence, layers, {advice.kind for advice in found})
    return found


# -- the data -------------------------------------------------------------------------------------


def unscaled_input(evidence: Evidence, layers: Layers, found: set[str]) -> Iterator[Advice]:
    """Features whose size is far from 1 at the input of the first trainable layer."""
    first = 1 if isinstance(evidence.net.layers[0], Standardize) else 0
    inputs = evidence.values[first]
    scales = np.sqrt(inputs.squares)
    scale = float(scales.max())
    if TOO_SMALL < scale <= TOO_LARGE or scale == 0:
        return
    worst = int(scales.argmax())
    yield Advice(
        "unscaled_input", None,
        f"the input is not scaled: feature {worst} has a root mean square of {_number(scale)}, "
        "but initial weights and learning rates suit inputs of about 1, so its weights learn at a "
        "different speed from the rest. Put nn.Standardize() before the first layer, or scale X",
        {"layer": "Standardize"},
    )  # fmt: skip


def unscaled_target(evidence: Evidence, layers: Layers, found: set[str]) -> Iterator[Advice]:
    """Targets whose mean or spread is one that the outputs have not reached."""
    X, y = evidence.sample
    weights = evidence.net._built()
    z = None if y is None else predict(weights.plan, weights.parameters, X)
    worst = None if y is None or z is None else target_scale.unscaled_target(evidence.net, z, y)
    if worst is not None:
        yield Advice("unscaled_target", None, worst.text, {"scale_targets": True})


def constant_feature(evidence: Evidence, layers: Layers, found: set[str]) -> Iterator[Advice]:
    """Features that have the same value on all rows; constant zeros do no harm."""
    features = constant_features(evidence)
    if features:
        few = ", ".join(map(str, features[:5])) + (", ..." if len(features) > 5 else "")
        yield Advice(
            "constant_feature", None,
            f"{_count(len(features), 'feature')} of X ({few}) the same nonzero value on all "
            f"{evidence.rows:,} rows. A constant feature adds nothing to a bias, and if its value "
            "changes later, the outputs change in a way that was never trained. Remove the "
            "feature, or check why it does not vary",
            {"features": features},
        )  # fmt: skip


def constant_features(evidence: Evidence) -> list[int]:
    """Indices of the features with the same nonzero value on all rows."""
    inputs = evidence.values[0]
    if evidence.rows < 8:
        return []
    center = evidence.net._built().center()  # which has been subtracted
    is_zero = np.abs(inputs.min + center) <= 1e-6 * np.abs(center)
    return np.flatnonzero(inputs.constant & ~is_zero).tolist()


# -- initial weights ------------------------------------------------------------------------------


def bad_initialization(evidence: Evidence, layers: Layers, found: set[str]) -> Iterator[Advice]:
    """Units with equal weights, or weights far from the size that keeps the variance."""
    weights = _hidden_weights(evidence)
    for node, weight in weights:
        if _is_symmetric(weight):
            yield Advice(
                "bad_initialization", node.name,
                "all units have the same weights, so they compute the same values and stay equal "
                "during training. Initialize with random weights: weight_init='he_normal' or None",
                {"weight_init": "he_normal"},
            )  # fmt: skip
            return
    if _normalizes(evidence.net) or _learns(evidence) or not _untouched(evidence):
        return
    ratios = [
        float(np.sqrt(np.square(weight, dtype=np.float64).mean() * weight.shape[0] / 2))
        for node, weight in weights
        if getattr(node.activation, "initializer", "") != "lecun"
    ]
    if ratios and (max(ratios) >= HEAVY or np.median(ratios) <= LIGHT):
        worst = max(ratios) if max(ratios) >= HEAVY else float(np.median(ratios))
        grow = "grow" if worst > 1 else "shrink"
        node = weights[int(np.argmax(ratios)) if worst > 1 else 0][0]
        yield Advice(
            "bad_initialization", node.name,
            f"the weights are {_number(worst)} times as large as with He's initialization, so "
            f"values and gradients {grow} from layer to layer. Leave weight_init at None, which "
            "suits the activation", {"weight_init": None},
        )  # fmt: skip


def _is_symmetric(weight):
    """Whether all units have the same weights, up to rounding that Adam has magnified."""
    between, size = weight.std(axis=1).mean(), np.sqrt(np.square(weight).mean())
    return weight.shape[1] > 1 and bool(between <= 0.1 * size)


def _hidden_weights(evidence: Evidence) -> list[tuple[LayerNode, NDArray[np.floating]]]:
    """(node, weight of shape (n_in, n_out)) of every dense layer but the last."""
    by_op = evidence.net._built().by_op()
    dense = [(node, by_op[node.first][1]["weight"]) for node in evidence.sequence if node.dense]
    return dense[:-1]


def _normalizes(net):
    return any(op.layer.normalizes for op in net._built().specs)


def _learns(evidence: Evidence) -> bool:
    """Whether the network is known to fit y better than a constant does."""
    unexplained = _unexplained(evidence)
    return unexplained is not None and unexplained < UNLEARNED


def _untouched(evidence: Evidence) -> bool:
    """Whether the weights may still be near their initial values.

    That is so before the first step, or if the learning rate is too low to have made them grow.
    """
    steps = evidence.net._built().steps
    return steps == 0 or rate_excess(evidence.net) < 5


def _unexplained(evidence: Evidence) -> float | None:
    return None if evidence.outcome is None else evidence.outcome.unexplained


# -- the learning rate ----------------------------------------------------------------------------


def learning_rate_high(evidence: Evidence, layers: Layers, found: set[str]) -> Iterator[Advice]:
    """A step that increases the loss, or the traces of such steps."""
    net, trial = evidence.net, evidence.trial
    unexplained, excess = _unexplained(evidence), rate_excess(net)
    reason = None
    if trial is not None and evidence.outcome is not None and unexplained:
        chance = evidence.outcome.mean_loss / unexplained
        jump = trial.after[1.0] - trial.before
        if jump > 0.5 * max(trial.before, 0.2 * chance):
            reason = (
                f"one step changes the loss from {_number(trial.before)} to "
                f"{_number(trial.after[1.0])}"
            )
    stunted = unexplained is not None and unexplained > 0.15
    if reason is None and excess >= 20 and net._built().steps and stunted:
        reason = f"after {net._built().steps:,} steps the network still explains little of y"
    if reason is None and excess >= 20 and _max_dead_fraction(evidence, layers) >= DEAD:
        reason = "units have died"
    if reason:
        rate = lower_rate(net)
        yield Advice(
            "learning_rate_high", None,
            f"the learning rate {net.optimizer.lr:g} is too high: {reason}. Try {rate:g}, "
            "a warm-up, or clip_norm",
            {"lr": rate},
        )  # fmt: skip


def learning_rate_low(evidence: Evidence, layers: Layers, found: set[str]) -> Iterator[Advice]:
    """Steps that are far too small, while larger ones would lower the loss more."""
    net, trial, unexplained = evidence.net, evidence.trial, _unexplained(evidence)
    if trial is None or unexplained is None or unexplained < LEARNED:
        return
    if rate_excess(net) > 0.02:
        return
    ratio = max(trial.ratios.values(), default=0.0)
    gain = trial.before - trial.after[1.0]
    best_gain = trial.before - min(trial.after.values())
    if 0 < ratio < 3e-4 and best_gain > max(5 * gain, 1e-5 * trial.before):
        rate = usual_rate(net.optimizer)
        yield Advice(
            "learning_rate_low", None,
            f"the learning rate {net.optimizer.lr:g} is too low: a step changes the weights by at "
            f"most {_number(ratio)} of their norm (about 0.001 is usual), and larger steps lower "
            f"the loss more. Try {rate:g}",
            {"lr": rate},
        )  # fmt: skip


# -- units ----------------------------------------------------------------------------------------


def _is_dying(layer: LayerReport, rows: int) -> bool:
    """Whether enough units are dead to matter; a few may be dead by chance."""
    n, share = len(layer.dead_units), layer.dead_fraction
    if rows < FEW_ROWS:
        return share == 1 and rows >= 8
    return share >= DEAD and (n >= 4 or share >= 0.5)


def _max_dead_fraction(evidence: Evidence, layers: Layers) -> float:
    return max(
        (each.dead_fraction for each in layers if _is_dying(each, evidence.rows)), default=0
    )


def dead_units(evidence: Evidence, layers: Layers, found: set[str]) -> Iterator[Advice]:
    """Layers in which many units are 0 on all rows."""
    for node, layer in zip(evidence.sequence, layers, strict=True):
        if not _is_dying(layer, evidence.rows) or "bad_initialization" in found:
            continue
        if "unscaled_input" not in found and _is_natural(evidence, node, layer):
            continue
        cause, suggestion = _cause_of_death(evidence, node, layer, found)
        yield Advice(
            "dead_units", layer.name,
            f"{_percent(layer.dead_fraction)} of its units are dead: {len(layer.dead_units)} of "
            f"{layer.units} are 0 on all {evidence.rows:,} rows and get no gradient; {cause}, or "
            "activation='leaky_relu'", {**suggestion, "activation": "leaky_relu"},
        )  # fmt: skip


def _is_natural(evidence: Evidence, node: LayerNode, layer: LayerReport) -> bool:
    """Whether healthy networks have as many units just below 0; up to 34 % were measured.

    At usual learning rates such units are within 1.4 of their standard deviations below 0, so one
    step may reactivate them. Units killed by a bias, weights or a high learning rate are 5 or more
    standard deviations below.
    """
    if node.pre is None or layer.dead_fraction >= NATURAL or rate_excess(evidence.net) >= 20:
        return False
    pre = evidence.values[node.pre]
    std = np.sqrt(np.maximum(pre.squares - pre.means**2, 0))[layer.dead_units]
    distance = -pre.max[layer.dead_units] / np.maximum(std, 1e-30)
    return bool(np.median(distance) < 3)


def _cause_of_death(evidence, node, layer, found):
    """The likely cause and the remedy as text, and the values to try."""
    net = evidence.net
    if rate_excess(net) >= 5:
        rate = lower_rate(net)
        text = f"the learning rate {net.optimizer.lr:g} is the likely cause: try {rate:g}"
        return text, {"lr": rate}
    if "unscaled_input" in found:
        return "the scale of the input is the likely cause: put nn.Standardize() first", {}
    bias = _bias_of(evidence, node)
    if bias is not None and np.mean(bias[layer.dead_units]) < -1:
        low = float(np.mean(bias[layer.dead_units]))
        text = (
            f"their biases, {_number(low)} on average, are the likely cause: raise them with "
            "diagnostics.revive(net, X, how='bias')"
        )
        return text, {"revive": "bias"}
    return "try diagnostics.revive(net, X), which gives them new weights", {"revive": "reinit"}


def _bias_of(evidence: Evidence, node: LayerNode) -> NDArray[np.floating] | None:
    """The bias of the dense layer that feeds an activation; None if there is none."""
    by_op = evidence.net._built().by_op()
    op = node.first if node.dense else node.first - 1
    if op < 0 or not isinstance(by_op[op][0].layer, Dense):
        return None
    return by_op[op][1].get("bias")


def saturated_units(evidence: Evidence, layers: Layers, found: set[str]) -> Iterator[Advice]:
    """Bounded activations near their limits; in the last layer that may be intended."""
    for node, layer in zip(evidence.sequence, layers, strict=True):
        stuck = len(layer.saturated_units) / layer.units
        if node.last or "saturated" not in layer.checks:
            continue
        if layer.saturated_fraction < SATURATED and (stuck < DEAD or evidence.rows < FEW_ROWS):
            continue
        cause = "smaller initial weights or scaled inputs help"
        if rate_excess(evidence.net) >= 5:
            cause = f"the learning rate {evidence.net.optimizer.lr:g} is the likely cause"
        elif "unscaled_input" in found:
            cause = "the scale of the input is the likely cause"
        yield Advice(
            "saturated_units", layer.name,
            f"{_percent(layer.saturated_fraction)} of its values are saturated: within 1 % of the "
            f"limits of {node.activation.name}, where the slope and so the gradient are nearly 0; "
            f"{cause}. Try nn.BatchNorm() before the activation, or activation='relu'",
            {"activation": "relu"},
        )  # fmt: skip


# -- the gradient from layer to layer -------------------------------------------------------------


def _gradients(evidence: Evidence) -> list[tuple[LayerNode, float]]:
    """(node, gradient norm) of the dense layers that are not inside others, in order."""
    if evidence.gradients is None:
        return []
    return [
        (node, statistics.norm)
        for node in evidence.nodes
        if node.dense and (statistics := evidence.gradients[node.gradient]) is not None
    ]


def vanishing_gradient(evidence: Evidence, layers: Layers, found: set[str]) -> Iterator[Advice]:
    """A gradient far smaller than in the last layer; in healthy networks at least 0.06 of it."""
    norms = _gradients(evidence)
    if len(norms) < 2 or norms[-1][1] == 0:
        return
    if any(_is_symmetric(weight) for _, weight in _hidden_weights(evidence)):
        return
    node, norm = min(norms[:-1], key=lambda pair: pair[1] or np.inf)
    ratio = norm / norms[-1][1]
    unlearned = (_unexplained(evidence) or 0) > UNLEARNED
    if 0 < ratio < (3e-3 if unlearned else 1e-3):
        yield Advice(
            "vanishing_gradient", node.name,
            f"the gradient vanishes: its norm is {_number(norm)} here but "
            f"{_number(norms[-1][1])} in the last layer, so the early layers hardly learn. "
            "Try activation='relu' with its default initialization, nn.BatchNorm(), or "
            "nn.Residual",
            {"activation": "relu"},
        )  # fmt: skip


def exploding_gradient(evidence: Evidence, layers: Layers, found: set[str]) -> Iterator[Advice]:
    """A gradient far larger than in the last layer; in healthy networks at most 18 times."""
    norms = _gradients(evidence)
    if not norms:
        return
    node, norm = max(norms, key=lambda pair: pair[1])
    ratio = norm / norms[-1][1] if norms[-1][1] > 0 else 0.0
    worse = (_unexplained(evidence) or 0) > 1.5
    if not np.isfinite(norm) or ratio > (50 if worse else 300):
        yield Advice(
            "exploding_gradient", node.name,
            f"the gradient explodes: its norm is {_number(norm)} here but "
            f"{_number(norms[-1][1])} in the last layer, so no learning rate suits both. "
            "Try smaller initial weights (weight_init=None), nn.BatchNorm(), or "
            "optimizer=nn.Adam(clip_norm=1.0)",
            {"clip_norm": 1.0},
        )  # fmt: skip


# -- formatting of texts -------------------------------------------------------------------------


def _number(x):
    return f"{x:.3g}"


def _percent(share):
    return f"{100 * share:.0f} %"


def _count(n, noun):
    return f"1 {noun} has" if n == 1 else f"{n} {noun}s have"
