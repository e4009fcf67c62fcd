"""Networks as ONNX models, for programs that run where relume is not.

The graph is in the network's dtype, of standard operators only, and the number of rows is free.
It is for finite input: what relume refuses, NaN and infinities, goes through as the runtime likes.
The package ``onnx`` is an extra, imported when a model is made: ``pip install 'relume[onnx]'``.

`register_skl2onnx` lets skl2onnx convert the estimators of `relume.sklearn`, wherever they stand
in a pipeline.
"""

from relume.onnx.model import from_estimator, model_of
from relume.onnx.skl2onnx_converters import register_skl2onnx
from relume.public_names import publish as _publish

__all__ = ["from_estimator", "model_of", "register_skl2onnx"]

_publish(globals())
