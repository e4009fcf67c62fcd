"""Small dense networks, trained and run by a compiled engine on relume's kernels."""

from relume.nn.activations import *  # noqa: F403
from relume.nn.activations import ACTIVATIONS as ACTIVATIONS
from relume.nn.activations import __all__ as _activations
from relume.nn.history import History
from relume.nn.layers import Dense
from relume.nn.network import Network
from relume.nn.optimizers import SGD, Adam

__all__ = ["SGD", "Adam", "Dense", "History", "Network", *_activations]
