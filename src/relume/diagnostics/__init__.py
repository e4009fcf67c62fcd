"""What a network's layers do to data: dead units, gradients, and advice where they are ill."""

from typing import Any

from relume.diagnostics.inspected_model import inspected_model_of
from relume.diagnostics.inspecting import collect
from relume.diagnostics.layers import report_of
from relume.diagnostics.probing import probe
from relume.diagnostics.report import Advice, Distribution, GradientFigures, LayerReport, Report
from relume.diagnostics.reviving import revive
from relume.nn.data.row_blocks import RowBlocks
from relume.public_names import set_module as _set_module

__all__ = [
    "Advice",
    "Distribution",
    "GradientFigures",
    "LayerReport",
    "Report",
    "inspect",
    "revive",
]


def inspect(net: Any, X: Any, y: Any = None) -> Report:
    """Look at what each layer of a network makes of data, and say what is ill.

    Parameters
    ----------
    net : Network, estimator or Pipeline
        A built `relume.nn.Network`; a fitted estimator of `relume.sklearn`, or MLPClassifier or
        MLPRegressor of scikit-learn; or a Pipeline of scikit-learn that ends in one of these,
        whose other steps transform X.
    X : array_like, sparse matrix or DataFrame of shape (n, n_features)
        Any number of rows: they are read in blocks, in one pass, and memory does not depend on
        how many they are. A memory map is never read as a whole.
    y : array_like of shape (n,) or (n, n_outputs), or None, default=None
        What the network is to predict. With it gradients, learning rate and labels are looked at
        too.

    Returns
    -------
    Report
        Figures of each layer, and advice. A unit is dead if it is 0 on all rows and the slope of
        its activation is 0 there; nearly dead if it is active on under 1 % of rows; saturated if
        it is within 1 % of an end of its activation's range on 99 % of rows.

    Raises
    ------
    TypeError
        If `net` is none of these.
    RuntimeError, ValueError
        If it is not built, or not fitted; if X has another width, is empty or not finite; if y
        does not fit.

    Notes
    -----
    Values are those of prediction: nothing is dropped out, and ``BatchNorm`` goes by its running
    statistics. Gradients are those of each row's loss by the pre-activations, and their norm is
    the root mean square over rows. Histograms, and the step that the learning rate is judged by,
    are of a fixed sample of 256 rows at most. ``net`` is not changed.

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
    evidence = collect(inspected, RowBlocks(inspected, X, y))
    if y is not None:
        evidence.probe = probe(inspected.net, *evidence.sample)
    return report_of(evidence)


_set_module(globals())
