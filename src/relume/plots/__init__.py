"""Pictures of activations, of what a network does, and of how it was trained.

They need matplotlib, ``pip install 'relume[plots]'``, which is imported when the first is drawn.
Each function returns a ``matplotlib.figure.Figure`` that belongs to no window and to no pyplot; a
notebook shows it, ``figure.savefig("picture.svg")`` writes it. `text_alternative` says what it
shows in words.
"""

from relume.plots.curves import activations, losses
from relume.plots.layers import dead_units, gradient_norms, layer_histograms
from relume.plots.style import text_alternative, to_svg

__all__ = [
    "activations",
    "dead_units",
    "gradient_norms",
    "layer_histograms",
    "losses",
    "text_alternative",
    "to_svg",
]
