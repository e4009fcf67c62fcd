"""Whether y matches what the network was trained on: label meanings, label shares, and rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

import relume
from relume.diagnostics.report import Advice, LayerReport
from relume.nn.losses import BinaryCrossEntropy, CrossEntropy, Quantile

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from relume.diagnostics.inspect_pass import Evidence

MIN_ROWS = 64  # with fewer rows, the shares of labels tell little
UNSOUND = {"bad_initialization", "learning_rate_high", "dead_units"}
MIN_SHIFT = 0.15  # total variation between the shares of labels


def label_shift(
    evidence: Evidence, layers: Sequence[LayerReport], found: set[str]
) -> Iterator[Advice]:
    """Labels that do not match the outputs of a network that is otherwise sound."""
    outcome = evidence.outcome
    if outcome is None or outcome.n < MIN_ROWS or UNSOUND & found:
        return
    text = None
    if outcome.confusion is not None:
        text = (
            _other_meaning(outcome.confusion)
            or _unseen(outcome.confusion)
            or _other_shares(evidence)
            or _other_rows(evidence, outcome.confusion, found)
        )
    elif outcome.sums is not None and not isinstance(outcome.loss, Quantile):  # has a bias
        text = _other_level(outcome.sums / outcome.n)
    if text:
        yield Advice(
            "label_shift", None,
            f"the labels differ from those the network learned: {text}. Check that y has the same "
            "meaning, order and shares of labels as the training data", {},
        )  # fmt: skip


def _other_meaning(confusion: NDArray[np.int64]) -> str | None:
    """Most rows of each label are predicted as one particular other label."""
    n = len(confusion)
    total, right = confusion.sum(), np.trace(confusion)
    usual = confusion.argmax(axis=1)
    matched = confusion.max(axis=1).sum()
    seen = confusion.sum(axis=1) > 0
    distinct = len(np.unique(usual[seen])) == seen.sum() > 1
    if not distinct or matched < 0.6 * total or matched - right < 0.3 * total:
        return None
    shifts = np.unique((np.flatnonzero(seen) - usual[seen]) % n)
    if len(shifts) == 1 and n > 2:
        return (
            f"y equals the prediction + {shifts[0]} (modulo {n} classes) on {matched / total:.0%} "
            "of rows"
        )
    label = int(np.flatnonzero(seen & (usual != np.arange(n)))[0])
    return f"most rows labeled {label} are predicted as {usual[label]}, and other labels likewise"


def _unseen(confusion: NDArray[np.int64]) -> str | None:
    """Some labels are never predicted, while the predictions of the others are right."""
    rows = confusion.sum(axis=1)
    share = rows / rows.sum()
    predicted = confusion.sum(axis=0) > 0.001 * rows.sum()
    unseen = np.flatnonzero((share >= 0.03) & (np.diag(confusion) == 0) & ~predicted)
    known = np.flatnonzero((share >= 0.03) & predicted)
    if len(known) < 2 or share[unseen].sum() < 0.2:
        return None
    if (np.diag(confusion)[known] / rows[known]).mean() < 0.8:
        return None
    names = ", ".join(map(str, unseen[:5]))
    return f"{share[unseen].sum():.0%} of rows have labels that are never predicted ({names})"


def _other_shares(evidence: Evidence) -> str | None:
    """Label shares that differ from the predicted ones (Saerens et al., 2002)."""
    loss, (X, y) = evidence.net.loss, evidence.sample
    if not isinstance(loss, CrossEntropy | BinaryCrossEntropy) or y is None or len(X) < MIN_ROWS:
        return None
    z = evidence.net._outputs(X).astype(np.float64)
    labels = loss.expected(y)
    if isinstance(loss, BinaryCrossEntropy):
        z = np.concatenate([np.zeros_like(z), z], axis=1)
    n = z.shape[1]
    share = np.bincount(labels, minlength=n) / len(labels)
    expected = relume.softmax(z, axis=1).mean(axis=0)
    if abs(share - expected).sum() / 2 < MIN_SHIFT:
        return None
    fitted = z + _shift_of(z, share)
    before, after = (_mean_loss(each, labels) for each in (z, fitted))
    entropy = -(share[share > 0] * np.log(share[share > 0])).sum()
    if after > 0.6 * min(before, entropy):
        return None
    label = int(abs(share - expected).argmax())
    return (
        f"label {label} makes up {share[label]:.0%} of y, but {expected[label]:.0%} according to "
        "the predicted probabilities"
    )


def _shift_of(z, share):
    """What to add to the logits so that the mean probabilities equal the shares."""
    shift = np.zeros(z.shape[1])
    wanted = np.maximum(share, 1e-6)
    for _ in range(30):
        mean = np.maximum(relume.softmax(z + shift, axis=1).mean(axis=0), 1e-12)
        shift += np.log(wanted / mean)
    return shift


def _mean_loss(z, labels):
    return float((relume.logsumexp(z, axis=1) - z[np.arange(len(z)), labels]).mean())


def _other_rows(evidence: Evidence, confusion: NDArray[np.int64], found: set[str]) -> str | None:
    """Confident predictions that are no better than chance: rows of X and y do not match."""
    shares = confusion.sum(axis=1) / confusion.sum()
    accuracy = np.trace(confusion) / confusion.sum()
    if found or not evidence.net._built().steps or accuracy > 1.5 * (shares**2).sum():
        return None
    unexplained = None if evidence.outcome is None else evidence.outcome.unexplained
    if unexplained is None or unexplained < 2:
        return None
    return (
        f"predictions are confident, but right on {accuracy:.0%} of rows, no better than chance; "
        "the rows of X and y may not belong together"
    )


def _other_level(means: NDArray[np.float64]) -> str | None:
    """Errors that adding a constant would remove."""
    y, squares, error, errors = means
    variance, bias = (squares - y * y).sum(), (error * error).sum()
    rest = errors.sum() - bias
    if variance <= 0 or bias < rest or rest > 0.6 * variance:
        return None
    worst = int(abs(error).argmax())
    return (
        f"y differs from the predictions by {error[worst]:+.3g} on average"
        + (f" in output {worst}" if len(error) > 1 else "")
        + ", an error that adding a constant would remove"
    )
