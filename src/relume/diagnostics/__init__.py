"""What a network's layers do to data: dead units, gradients, and advice on what to fix."""

from typing import Any

from relume.diagnostics.inspect_pass import collect
from relume.diagnostics.inspected_model import inspected_model_of
from relume.diagnostics.layer_reports import report_of
from relume.diagnostics.report import (
    Advice,
    Distribution,
    GradientStatistics,
    LayerReport,
    Report,
)
from relume.diagnostics.revive_units import revive
from relume.diagnostics.trial_step import try_step
from relume.nn.data.row_blocks import RowBlocks
from relume.public_names import publish as _publish

__all__ = [
    "Advice",
    "Distribution",
    "GradientStatistics",
    "LayerReport",
    "Report",
    "inspect",
    "revive",
]


def inspect(net: Any, X: Any, y: Any = None) -> Report:
    """Inspect what each layer of a network does to data, and give advice on problems found.

    Parameters
    ----------
    net : Network, estimator or Pipeline
        A built `relume.nn.Network`, a fitted estimator of `relume.sklearn`, a fitted MLPClassifier
        or MLPRegressor of scikit-learn, or a scikit-learn Pipeline that ends in one of these. The
        other steps of a Pipeline transform X.
    X : array_like, sparse matrix or DataFrame of shape (n, n_features)
        Input rows. They are read once, in blocks, so memory use does not depend on their number.
        A memory map is never read as a whole.
    y : array_like of shape (n,) or (n, n_outputs), or None, default=None
        Targets. If given, gradients, learning rate and labels are checked too.

    Returns
    -------
    Report
        Statistics of each layer, and advice. A unit is dead if it is 0 on all rows and the slope
        of its activation is 0 there. It is nearly dead if it is active on fewer than 1 % of the
        rows, and saturated if its output is within 1 % of an end of the activation's range on
        99 % of the rows.

    Raises
    ------
    TypeError
        If `net` is none of the models listed above.
    RuntimeError, ValueError
        If `net` is not built or not fitted; if X has the wrong number of features, is empty, or
        contains NaN or infinities; if y does not match the loss or the length of X.

    Notes
    -----
    Values are computed as in prediction: ``Dropout`` keeps every value, and ``BatchNorm`` uses its
    running statistics. Gradients are those of each row's loss with respect to the pre-activations;
    their norm is the root mean square over rows. Histograms, and the trial step that shows whether
    the learning rate is suitable, use a fixed sample of at most 256 rows. `net` is not changed.

    References
    ----------
    L. Lu et al., "Dying ReLU and initialization: theory and numerical examples",
    Communications in Computational Physics 28, 2020. X. Glorot and Y. Bengio, "Understanding the
    difficulty of training deep feedforward neural networks", AISTATS 2010.

    Examples
    --------
    >>> from relume import datasets, diagnostics, nn
    >>> X, y = datasets.load_digits(return_X_y=True)
    >>> net = nn.Network([nn.Dense(64, activation="relu"), nn.Dense(10)], seed=0,
    ...                  optimizer=nn.Adam(0.3))
    >>> history = net.fit(X / 16, y, epochs=5)
    >>> report = diagnostics.inspect(net, X / 16, y)
    >>> [advice.kind for advice in report.advice]
    ['learning_rate_high', 'dead_units']
    """
    inspected = inspected_model_of(net)
    with inspected.net._one_thread.absent():
        evidence = collect(inspected, RowBlocks(inspected, X, y))
        X_sample, y_sample = evidence.sample
        if y_sample is not None:
            evidence.trial = try_step(inspected.net, X_sample, y_sample)
        return report_of(evidence)


_publish(globals())
