"""Small dense networks, trained and run by a compiled engine on relume's kernels."""

from relume.keywords import no_attribute as _no_attribute
from relume.nn.callbacks.callback import Callback
from relume.nn.callbacks.monitor import Monitor, TrainingWarning
from relume.nn.callbacks.revive import Revive
from relume.nn.callbacks.standard import (
    CSVLogger,
    EarlyStopping,
    LearningRateScheduler,
    ModelCheckpoint,
    TerminateOnNaN,
)
from relume.nn.callbacks.tensorboard import TensorBoard
from relume.nn.check_loss import check_loss
from relume.nn.choices import Choices, ProductChoice
from relume.nn.compact import CompactedLayer, CompactReport
from relume.nn.data.shards import Shards
from relume.nn.interop.from_sklearn import from_sklearn
from relume.nn.layers import *  # noqa: F403
from relume.nn.layers import __all__ as _layers
from relume.nn.layers.activations import ACTIVATIONS as ACTIVATIONS
from relume.nn.layers.initializers import (
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
from relume.nn.network import Network
from relume.nn.optimizers.lbfgs import LBFGS
from relume.nn.optimizers.optimizers import SGD, Adam, AdamW, Lion, NAdam, Optimizer, RMSprop
from relume.nn.optimizers.schedule import Schedule
from relume.nn.optimizers.schedules import (
    ConstantRate,
    Cosine,
    Exponential,
    InverseScaling,
    OneCycle,
    ReduceOnPlateau,
    Step,
)
from relume.nn.saving.load import load
from relume.nn.saving.model_file import ModelFileError
from relume.nn.training.history import History
from relume.public_names import publish as _publish

__all__ = [
    "LBFGS",
    "MAE",
    "MSE",
    "SGD",
    "Adam",
    "AdamW",
    "BinaryCrossEntropy",
    "CSVLogger",
    "Callback",
    "Choices",
    "CompactReport",
    "CompactedLayer",
    "Constant",
    "ConstantRate",
    "Cosine",
    "CrossEntropy",
    "EarlyStopping",
    "Exponential",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "History",
    "Huber",
    "Initializer",
    "InverseScaling",
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
    "Poisson",
    "ProductChoice",
    "PythonLoss",
    "Quantile",
    "RMSprop",
    "ReduceOnPlateau",
    "Revive",
    "Schedule",
    "Shards",
    "Step",
    "TensorBoard",
    "TerminateOnNaN",
    "TrainingWarning",
    "check_loss",
    "from_sklearn",
    "load",
    *_layers,
]

# Names of other libraries in lower case, and what to use here.
_ELSEWHERE = {
    "linear": "use nn.Dense(units), whose input width is inferred",
    "sequential": "use nn.Network([...])",
    "model": "use nn.Network([...])",
    "module": "use nn.Network([...])",
    "input": "it is not needed: the input width is inferred",
    "flatten": "use X.reshape(len(X), -1)",
    "softmax": "it is part of loss='cross_entropy', and predict_proba gives probabilities",
    "normalization": "use nn.Standardize()",
    "batchnormalization": "use nn.BatchNorm()",
    "layernormalization": "use nn.LayerNorm()",
    "mlpclassifier": "use relume.sklearn.MLPClassifier",
    "mlpregressor": "use relume.sklearn.MLPRegressor",
}


def __getattr__(name):
    raise _no_attribute("module 'relume.nn'", name, _ELSEWHERE.get(name.lower()), __all__)


_publish(globals())
