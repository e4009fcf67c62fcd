"""All layers: what `relume.nn` exports, and what a model file may hold.

A layer stands in the `__all__` of its module; a new module is named here.
"""

from relume.nn.layers import (
    activations,
    dense,
    normalization,
    parametric,
    regularization,
    residual,
)
from relume.nn.layers.activations import *  # noqa: F403
from relume.nn.layers.dense import *  # noqa: F403
from relume.nn.layers.layer import Layer
from relume.nn.layers.normalization import *  # noqa: F403
from relume.nn.layers.parametric import *  # noqa: F403
from relume.nn.layers.regularization import *  # noqa: F403
from relume.nn.layers.residual import *  # noqa: F403

__all__ = ["Layer"]
__all__ += activations.__all__
__all__ += dense.__all__
__all__ += normalization.__all__
__all__ += parametric.__all__
__all__ += regularization.__all__
__all__ += residual.__all__

LAYERS: dict[str, type[Layer]] = {
    name: globals()[name] for name in __all__ if issubclass(globals()[name], Layer)
}
del LAYERS["Layer"]
