"""The public functions, named as in ``torch.nn.functional``."""

from relume.functional.activations import *  # noqa: F403
from relume.functional.activations import __all__ as _activations
from relume.functional.crelu import crelu, crelu_backward
from relume.functional.gated import *  # noqa: F403
from relume.functional.gated import __all__ as _gated
from relume.functional.maxout import maxout, maxout_backward
from relume.functional.prelu import prelu, prelu_backward
from relume.functional.rrelu import rrelu, rrelu_backward
from relume.functional.softmax import *  # noqa: F403
from relume.functional.softmax import __all__ as _softmax
from relume.public_names import publish as _publish

__all__ = [
    *(name for name in _activations if name != "prelu"),
    *_gated,
    *_softmax,
    "crelu",
    "crelu_backward",
    "maxout",
    "maxout_backward",
    "prelu",
    "prelu_backward",
    "rrelu",
    "rrelu_backward",
]

_publish(globals())
