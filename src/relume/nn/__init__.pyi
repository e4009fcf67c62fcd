from relume.nn.activations import *  # noqa: F403
from relume.nn.history import History as History
from relume.nn.layers import Dense as Dense
from relume.nn.network import Network as Network
from relume.nn.optimizers import SGD as SGD
from relume.nn.optimizers import Adam as Adam
