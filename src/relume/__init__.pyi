from relume import datasets as datasets
from relume import diagnostics as diagnostics
from relume import experiments as experiments
from relume import nn as nn
from relume import onnx as onnx
from relume import plots as plots
from relume import sklearn as sklearn
from relume.build_info import show_config as show_config
from relume.build_info import simd as simd
from relume.functional import *  # noqa: F403
from relume.runtime.threads import get_num_threads as get_num_threads
from relume.runtime.threads import num_threads as num_threads
from relume.runtime.threads import set_num_threads as set_num_threads

__version__: str
