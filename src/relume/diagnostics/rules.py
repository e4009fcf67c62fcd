"""Advice: one rule an illness. Each looks at the Evidence and the report's layers, and yields.

The thresholds were set on some 40 healthy networks (trained and untrained, of all activations,
deep, residual, normalized, autoencoders, regressions) and 60 ill ones, of several seeds each; the
comments say what was seen.
"""

import numpy as np

from relume.diagnostics.labels import label_shift
from relume.diagnostics.report import Advice
from relume.nn.layers.dense import Dense
from relume.nn.layers.normalization import Standardize
from relume.nn.optimizers.usual_rate import lower_rate, rate_excess, usual_rate

DEAD = 0.2  # share of a layer from which dead units matter,
NATURAL = 0.4  # unless they are close to life, and fewer than this,
FEW_ROWS = 32  # and rows below which only a layer that is dead as a whole is called so
SATURATED = 0.5  # share of values
TOO_LARGE, TOO_SMALL = 10.0, 0.01  # root mean squares of a feature
HEAVY, LIGHT = 4.0, 0.15  # weights over those of He's initialization; healthy: 0.4 to 3.6
LEARNT, UNLEARNT = 0.5, 0.9  # losses, over that of the best constant answer


def advice_for(evidence, layers):
    """All advice, the causes first."""
    found = []
    for rule in (
        unscaled_input, constant_feature, bad_initialization, learning_rate_high,
        learning_rate_low, dead_units, saturated_units, vanishing_gradient, exploding_gradient,
        label_shift,
    ):  # fmt: skip
        found += rule(evidence, layers, {advice.kind for advice in found})
    return found


# -- the data -------------------------------------------------------------------------------------


def unscaled_input(evidence, layers, found):
    """Features far from 1, as the first layer that learns gets them."""
    first = 1 if isinstance(evidence.net.layers[0], Standardize) else 0
    inputs = evidence.values[first]
    scales = np.sqrt(inputs.squares)
    scale = float(scales.max())
    if TOO_SMALL < scale <= TOO_LARGE or scale == 0:
        return
    worst = int(scales.argmax())
    yield Advice(
        "unscaled_input", None,
        f"the input is not scaled: feature {worst} is {_number(scale)} in root mean square, where "
        "initial weights and learning rates are made for about 1, so that its weights learn at "
        f"another rate than the rest. Put nn.Standardize() before the first layer, or scale X",
        {"layer": "Standardize"},
    )  # fmt: skip


def constant_feature(evidence, layers, found):
    """Features that are the same on all rows; those that are all zero do no harm."""
    features = constant_features(evidence)
    if features:
        few = ", ".join(map(str, features[:5])) + (", ..." if len(features) > 5 else "")
        yield Advice(
            "constant_feature", None,
            f"{_count(len(features), 'feature')} of X ({few}) the same value, not 0, on all "
            f"{evidence.rows:,} rows: they tell rows apart no better than a bias, and where the "
            "value differs later, weights that were never tested come into play. Leave them out, "
            "or see why they do not vary",
            {"features": features},
        )  # fmt: skip


def constant_features(evidence):
    """Their indices."""
    inputs = evidence.values[0]
    if evidence.rows < 8:
        return []
    return np.flatnonzero(inputs.constant & (inputs.least != 0)).tolist()


# -- initial weights ------------------------------------------------------------------------------


def bad_initialization(evidence, layers, found):
    """Units that are all alike, or weights far from what keeps the variance."""
    weights = _hidden_weights(evidence)
    for place, weight in weights:
        if _is_symmetric(weight):
            yield Advice(
                "bad_initialization", place.name,
                "all its units have the same weights, so they compute the same and learn the "
                "same for ever. Initialize with random weights, weight_init='he_normal' or None",
                {"weight_init": "he_normal"},
            )  # fmt: skip
            return
    if _normalizes(evidence.net) or _learns(evidence) or not _untouched(evidence):
        return
    ratios = [
        float(np.sqrt(np.square(weight, dtype=np.float64).mean() * weight.shape[0] / 2))
        for place, weight in weights
        if getattr(place.activation, "initializer", "") != "lecun"
    ]
    if ratios and (max(ratios) >= HEAVY or np.median(ratios) <= LIGHT):
        most = max(ratios) if max(ratios) >= HEAVY else float(np.median(ratios))
        grow = "grow" if most > 1 else "shrink"
        place = weights[int(np.argmax(ratios)) if most > 1 else 0][0]
        yield Advice(
            "bad_initialization", place.name,
            f"its weights are {_number(most)} times those of He's initialization, so that values "
            f"and gradients {grow} from layer to layer. Leave weight_init at None, which follows "
            "the activation", {"weight_init": None},
        )  # fmt: skip


def _is_symmetric(weight):
    """Whether all units have the same weights, up to what Adam makes of rounding."""
    between, size = weight.std(axis=1).mean(), np.sqrt(np.square(weight).mean())
    return weight.shape[1] > 1 and bool(between <= 0.1 * size)


def _hidden_weights(evidence):
    """(place, weight of shape (n_in, n_out)) of all dense layers but the last."""
    by_op = evidence.net._weights.by_op()
    dense = [
        (place, by_op[place.first][1]["weight"])
        for place in evidence.sequence
        if isinstance(place.layer, Dense)
    ]
    return dense[:-1]


def _normalizes(net):
    return any(op.layer.normalizes for op in net._weights.specs)


def _learns(evidence):
    """Whether it is known to fit y better than a constant does."""
    unexplained = _unexplained(evidence)
    return unexplained is not None and unexplained < UNLEARNT


def _untouched(evidence):
    """Whether weights can still be the initial ones: no step, or no rate that could have grown
    them."""
    steps = evidence.net._weights.steps
    return steps == 0 or rate_excess(evidence.net) < 5


def _unexplained(evidence):
    return None if evidence.outcome is None else evidence.outcome.unexplained


# -- the learning rate ----------------------------------------------------------------------------


def learning_rate_high(evidence, layers, found):
    """A step that makes the loss worse than it was, or what such steps left behind."""
    net, tried = evidence.net, evidence.probe
    unexplained, excess = _unexplained(evidence), rate_excess(net)
    reason = None
    if tried is not None and unexplained:
        chance = evidence.outcome.mean_loss / unexplained
        jump = tried.after[1.0] - tried.before
        if jump > 0.5 * max(tried.before, 0.2 * chance):
            reason = (
                f"one step takes the loss from {_number(tried.before)} to "
                f"{_number(tried.after[1.0])}"
            )
    stunted = unexplained is not None and unexplained > 0.15
    if reason is None and excess >= 20 and net._weights.steps and stunted:
        reason = f"after {net._weights.steps:,} steps the network explains little of y"
    if reason is None and excess >= 20 and _most_dead(evidence, layers) >= DEAD:
        reason = "units died"
    if reason:
        rate = lower_rate(net)
        yield Advice(
            "learning_rate_high", None,
            f"the learning rate {net.optimizer.lr:g} is too high: {reason}. Try {rate:g}, "
            "a warm-up, or clip_norm",
            {"lr": rate},
        )  # fmt: skip


def learning_rate_low(evidence, layers, found):
    """Steps far too small for a network that has not learnt, where larger ones help."""
    net, tried, unexplained = evidence.net, evidence.probe, _unexplained(evidence)
    if tried is None or unexplained is None or unexplained < LEARNT or rate_excess(net) > 0.02:
        return
    ratio = max(tried.ratios.values(), default=0.0)
    gain = tried.before - tried.after[1.0]
    more = tried.before - min(tried.after.values())
    if 0 < ratio < 3e-4 and more > max(5 * gain, 1e-5 * tried.before):
        rate = usual_rate(net.optimizer)
        yield Advice(
            "learning_rate_low", None,
            f"the learning rate {net.optimizer.lr:g} is too low: a step changes weights by "
            f"{_number(ratio)} of their norm at most, where about 0.001 is usual, and larger "
            f"steps lower the loss more. Try {rate:g}",
            {"lr": rate},
        )  # fmt: skip


# -- units ----------------------------------------------------------------------------------------


def _is_dying(layer, rows):
    """Whether so many units are dead that it matters; of a few it may be chance."""
    n, share = len(layer.dead_units), layer.dead_fraction
    if rows < FEW_ROWS:
        return share == 1 and rows >= 8
    return share >= DEAD and (n >= 4 or share >= 0.5)


def _most_dead(evidence, layers):
    return max(
        (each.dead_fraction for each in layers if _is_dying(each, evidence.rows)), default=0
    )


def dead_units(evidence, layers, found):
    """Layers of which many units are 0 on all rows."""
    for place, layer in zip(evidence.sequence, layers, strict=True):
        if not _is_dying(layer, evidence.rows) or "bad_initialization" in found:
            continue
        if "unscaled_input" not in found and _is_natural(evidence, place, layer):
            continue
        cause, suggestion = _cause_of_death(evidence, place, layer, found)
        yield Advice(
            "dead_units", layer.name,
            f"{_percent(layer.dead_fraction)} dead ({len(layer.dead_units)} of {layer.units} "
            f"units are 0 on all {evidence.rows:,} rows and get no gradient); {cause}, or "
            "activation='leaky_relu'", {**suggestion, "activation": "leaky_relu"},
        )  # fmt: skip


def _is_natural(evidence, place, layer):
    """Whether so many units are just below 0 in sound networks too: up to 34 % were seen.

    At usual rates they are within 1.4 deviations of their own, where one step may bring them back;
    those that a bias, weights or a high rate killed are 5 and more away.
    """
    if layer.dead_fraction >= NATURAL or rate_excess(evidence.net) >= 20:
        return False
    pre = evidence.values[place.pre]
    deviations = np.sqrt(np.maximum(pre.squares - pre.means**2, 0))[layer.dead_units]
    away = -pre.most[layer.dead_units] / np.maximum(deviations, 1e-30)
    return bool(np.median(away) < 3)


def _cause_of_death(evidence, place, layer, found):
    """The likely cause and what to do, as text; and what to try."""
    net = evidence.net
    if rate_excess(net) >= 5:
        rate = lower_rate(net)
        text = f"the learning rate {net.optimizer.lr:g} is the likely cause: try {rate:g}"
        return text, {"lr": rate}
    if "unscaled_input" in found:
        return "the input's scale is the likely cause: put nn.Standardize() first", {}
    bias = _bias_of(evidence, place)
    if bias is not None and np.mean(bias[layer.dead_units]) < -1:
        low = float(np.mean(bias[layer.dead_units]))
        text = (
            f"their biases, {_number(low)} on average, are the likely cause: "
            "diagnostics.revive(net, X, how='bias') raises them"
        )
        return text, {"revive": "bias"}
    return "diagnostics.revive(net, X) gives them new weights: try it", {"revive": "reinit"}


def _bias_of(evidence, place):
    """The bias of the dense layer whose values an activation reads; None where there is none."""
    by_op = evidence.net._weights.by_op()
    step = place.first if isinstance(place.layer, Dense) else place.first - 1
    if step < 0 or not isinstance(by_op[step][0].layer, Dense):
        return None
    return by_op[step][1].get("bias")


def saturated_units(evidence, layers, found):
    """Bounded activations at their ends; in the last layer that may be what is wanted."""
    for place, layer in zip(evidence.sequence, layers, strict=True):
        stuck = len(layer.saturated_units) / layer.units
        if place.last or "saturated" not in layer.checks:
            continue
        if layer.saturated_fraction < SATURATED and (stuck < DEAD or evidence.rows < FEW_ROWS):
            continue
        cause = "smaller initial weights or a scaled input help"
        if rate_excess(evidence.net) >= 5:
            cause = f"the learning rate {evidence.net.optimizer.lr:g} is the likely cause"
        elif "unscaled_input" in found:
            cause = "the input's scale is the likely cause"
        yield Advice(
            "saturated_units", layer.name,
            f"{_percent(layer.saturated_fraction)} saturated: values of "
            f"{place.activation.name} within 1 % of its ends, where its slope and so the gradient "
            f"are nearly 0; {cause}. Try nn.BatchNorm() before it, or activation='relu'",
            {"activation": "relu"},
        )  # fmt: skip


# -- the gradient from layer to layer -------------------------------------------------------------


def _gradients(evidence):
    """(place, norm) of the dense layers that are not within others, from the first on."""
    if evidence.gradients is None:
        return []
    return [
        (place, evidence.gradients[place.gradient].norm)
        for place in evidence.places
        if isinstance(place.layer, Dense)
    ]


def vanishing_gradient(evidence, layers, found):
    """Far less of it in a layer than in the last: 0.06 is the least of healthy ones."""
    norms = _gradients(evidence)
    if len(norms) < 2 or norms[-1][1] == 0:
        return
    if any(_is_symmetric(weight) for _, weight in _hidden_weights(evidence)):
        return
    place, norm = min(norms[:-1], key=lambda pair: pair[1] or np.inf)
    ratio = norm / norms[-1][1]
    unlearnt = (_unexplained(evidence) or 0) > UNLEARNT
    if 0 < ratio < (3e-3 if unlearnt else 1e-3):
        yield Advice(
            "vanishing_gradient", place.name,
            f"the gradient vanishes: its norm is {_number(norm)} here and "
            f"{_number(norms[-1][1])} in the last layer, so the layers in between learn nothing. "
            "Try activation='relu' with its initialization, nn.BatchNorm(), or nn.Residual",
            {"activation": "relu"},
        )  # fmt: skip


def exploding_gradient(evidence, layers, found):
    """Far more of it in a layer than in the last: 18 times is the most of healthy ones."""
    norms = _gradients(evidence)
    if not norms:
        return
    place, norm = max(norms, key=lambda pair: pair[1])
    ratio = norm / norms[-1][1] if norms[-1][1] > 0 else 0.0
    worse = (_unexplained(evidence) or 0) > 1.5
    if not np.isfinite(norm) or ratio > (50 if worse else 300):
        yield Advice(
            "exploding_gradient", place.name,
            f"the gradient explodes: its norm is {_number(norm)} here and "
            f"{_number(norms[-1][1])} in the last layer, so a step that suits the one throws the "
            "other. Try smaller initial weights (weight_init=None), nn.BatchNorm(), or "
            "optimizer=nn.Adam(clip_norm=1.0)",
            {"clip_norm": 1.0},
        )  # fmt: skip


# -- words ----------------------------------------------------------------------------------------


def _number(x):
    return f"{x:.3g}"


def _percent(share):
    return f"{100 * share:.0f} %"


def _count(n, noun):
    return f"1 {noun} has" if n == 1 else f"{n} {noun}s have"
