"""Plots of activations, of the layers of a network, and of its training.

They need matplotlib, ``pip install 'relume[plots]'``, which is imported when the first plot is
drawn. Each function returns a ``matplotlib.figure.Figure`` that is not registered with pyplot and
opens no window. A notebook displays it, and ``figure.savefig("plot.svg")`` saves it. With ``ax=``
it draws on axes of your own figure instead, and returns them.
`text_alternative` describes a plot in words.
"""

from relume.plots.curves import activations, losses
from relume.plots.layers import dead_units, gradient_norms, layer_histograms
from relume.plots.style import text_alternative, to_svg
from relume.public_names import publish as _publish

__all__ = [
    "activations",
    "dead_units",
    "gradient_norms",
    "layer_histograms",
    "losses",
    "text_alternative",
    "to_svg",
]

_publish(globals())
