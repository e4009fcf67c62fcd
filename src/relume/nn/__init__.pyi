from relume.nn.callbacks.callback import Callback as Callback
from relume.nn.callbacks.monitor import Monitor as Monitor
from relume.nn.callbacks.monitor import TrainingWarning as TrainingWarning
from relume.nn.callbacks.revive import Revive as Revive
from relume.nn.callbacks.standard import CSVLogger as CSVLogger
from relume.nn.callbacks.standard import EarlyStopping as EarlyStopping
from relume.nn.callbacks.standard import LearningRateScheduler as LearningRateScheduler
from relume.nn.callbacks.standard import ModelCheckpoint as ModelCheckpoint
from relume.nn.callbacks.standard import TerminateOnNaN as TerminateOnNaN
from relume.nn.callbacks.tensorboard import TensorBoard as TensorBoard
from relume.nn.check_loss import check_loss as check_loss
from relume.nn.choices import Choices as Choices
from relume.nn.choices import ProductChoice as ProductChoice
from relume.nn.compact import CompactedLayer as CompactedLayer
from relume.nn.compact import CompactReport as CompactReport
from relume.nn.data.shards import Shards as Shards
from relume.nn.interop.from_sklearn import from_sklearn as from_sklearn
from relume.nn.layers.activations import *  # noqa: F403
from relume.nn.layers.dense import *  # noqa: F403
from relume.nn.layers.initializers import Constant as Constant
from relume.nn.layers.initializers import GlorotNormal as GlorotNormal
from relume.nn.layers.initializers import GlorotUniform as GlorotUniform
from relume.nn.layers.initializers import HeNormal as HeNormal
from relume.nn.layers.initializers import HeUniform as HeUniform
from relume.nn.layers.initializers import Initializer as Initializer
from relume.nn.layers.initializers import LecunNormal as LecunNormal
from relume.nn.layers.initializers import LecunUniform as LecunUniform
from relume.nn.layers.initializers import Orthogonal as Orthogonal
from relume.nn.layers.layer import Layer as Layer
from relume.nn.layers.normalization import *  # noqa: F403
from relume.nn.layers.parametric import *  # noqa: F403
from relume.nn.layers.regularization import *  # noqa: F403
from relume.nn.layers.residual import *  # noqa: F403
from relume.nn.losses import MAE as MAE
from relume.nn.losses import MSE as MSE
from relume.nn.losses import BinaryCrossEntropy as BinaryCrossEntropy
from relume.nn.losses import CrossEntropy as CrossEntropy
from relume.nn.losses import Huber as Huber
from relume.nn.losses import Loss as Loss
from relume.nn.losses import Poisson as Poisson
from relume.nn.losses import PythonLoss as PythonLoss
from relume.nn.losses import Quantile as Quantile
from relume.nn.network import Network as Network
from relume.nn.optimizers.lbfgs import LBFGS as LBFGS
from relume.nn.optimizers.optimizers import SGD as SGD
from relume.nn.optimizers.optimizers import Adam as Adam
from relume.nn.optimizers.optimizers import AdamW as AdamW
from relume.nn.optimizers.optimizers import Lion as Lion
from relume.nn.optimizers.optimizers import NAdam as NAdam
from relume.nn.optimizers.optimizers import Optimizer as Optimizer
from relume.nn.optimizers.optimizers import RMSprop as RMSprop
from relume.nn.optimizers.schedule import Schedule as Schedule
from relume.nn.optimizers.schedules import ConstantRate as ConstantRate
from relume.nn.optimizers.schedules import Cosine as Cosine
from relume.nn.optimizers.schedules import Exponential as Exponential
from relume.nn.optimizers.schedules import InverseScaling as InverseScaling
from relume.nn.optimizers.schedules import OneCycle as OneCycle
from relume.nn.optimizers.schedules import ReduceOnPlateau as ReduceOnPlateau
from relume.nn.optimizers.schedules import Step as Step
from relume.nn.saving.load import load as load
from relume.nn.saving.model_file import ModelFileError as ModelFileError
from relume.nn.training.history import History as History
