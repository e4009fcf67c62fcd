"""Small dense networks, trained and run by a compiled engine on relume's kernels."""

from relume.nn.history import History
from relume.nn.layers import ACTIVATIONS, Activation, Dense
from relume.nn.network import Network
from relume.nn.optimizers import SGD, Adam

globals().update({cls.__name__: cls for cls in ACTIVATIONS.values()})

__all__ = [
    "SGD",
    "Activation",
    "Adam",
    "Dense",
    "History",
    "Network",
    *(cls.__name__ for cls in ACTIVATIONS.values()),
]
