"""Small dense networks, trained and run by a compiled engine on relume's kernels."""

from relume.nn.activations import *  # noqa: F403
from relume.nn.activations import ACTIVATIONS as ACTIVATIONS
from relume.nn.activations import __all__ as _activations
from relume.nn.callbacks import (
    CSVLogger,
    EarlyStopping,
    LearningRateScheduler,
    ModelCheckpoint,
    TerminateOnNaN,
)
from relume.nn.compacting import CompactedLayer, CompactReport
from relume.nn.conversion import from_sklearn
from relume.nn.files import ModelFileError
from relume.nn.history import History
from relume.nn.hooks import Callback
from relume.nn.initializers import (
    Constant,
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    Initializer,
    LecunNormal,
    LecunUniform,
    Orthogonal,
)
from relume.nn.layers import Dense, FATReLU, Layer, PReLU, Residual, RReLU, Sine
from relume.nn.lbfgs import LBFGS
from relume.nn.losses import (
    MAE,
    MSE,
    BinaryCrossEntropy,
    CrossEntropy,
    Huber,
    Loss,
    Poisson,
    PythonLoss,
    Quantile,
)
from relume.nn.monitoring import Monitor, TrainingWarning
from relume.nn.network import Network
from relume.nn.normalization import BatchNorm, LayerNorm, Standardize
from relume.nn.optimizers import SGD, Adam, AdamW, Lion, NAdam, Optimizer, RMSprop
from relume.nn.persistence import load
from relume.nn.rates import Schedule
from relume.nn.regularization import ActivityL1, AlphaDropout, Dropout
from relume.nn.reviving import Revive
from relume.nn.schedules import (
    ConstantRate,
    Cosine,
    Exponential,
    InverseScaling,
    OneCycle,
    ReduceOnPlateau,
    Step,
)

__all__ = [
    "LBFGS",
    "MAE",
    "MSE",
    "SGD",
    "ActivityL1",
    "Adam",
    "AdamW",
    "AlphaDropout",
    "BatchNorm",
    "BinaryCrossEntropy",
    "CSVLogger",
    "Callback",
    "CompactReport",
    "CompactedLayer",
    "Constant",
    "ConstantRate",
    "Cosine",
    "CrossEntropy",
    "Dense",
    "Dropout",
    "EarlyStopping",
    "Exponential",
    "FATReLU",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "History",
    "Huber",
    "Initializer",
    "InverseScaling",
    "Layer",
    "LayerNorm",
    "LearningRateScheduler",
    "LecunNormal",
    "LecunUniform",
    "Lion",
    "Loss",
    "ModelCheckpoint",
    "ModelFileError",
    "Monitor",
    "NAdam",
    "Network",
    "OneCycle",
    "Optimizer",
    "Orthogonal",
    "PReLU",
    "Poisson",
    "PythonLoss",
    "Quantile",
    "RMSprop",
    "RReLU",
    "ReduceOnPlateau",
    "Residual",
    "Revive",
    "Schedule",
    "Sine",
    "Standardize",
    "Step",
    "TerminateOnNaN",
    "TrainingWarning",
    "from_sklearn",
    "load",
    *_activations,
]
