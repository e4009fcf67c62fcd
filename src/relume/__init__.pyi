from relume import datasets as datasets
from relume import diagnostics as diagnostics
from relume import experiments as experiments
from relume import nn as nn
from relume import onnx as onnx
from relume import plots as plots
from relume import sklearn as sklearn
from relume.activations import *  # noqa: F403
from relume.axis import *  # noqa: F403
from relume.config import show_config as show_config
from relume.config import simd as simd
from relume.gated import *  # noqa: F403
from relume.kernels.threads import get_num_threads as get_num_threads
from relume.kernels.threads import num_threads as num_threads
from relume.kernels.threads import set_num_threads as set_num_threads
from relume.pieces import *  # noqa: F403

__version__: str
