from typing import Any

import numpy as np
from numpy.typing import NDArray

from relume.engine.plan import Plan

_Sparse = tuple[NDArray[Any], NDArray[np.int32], NDArray[np.int32]]

def predict_array(
    plan: Plan, parameters: NDArray[Any], X: Any, softmax: bool = False
) -> NDArray[Any] | None: ...
def predict(
    plan: Plan, parameters: NDArray[Any], X: NDArray[Any] | _Sparse, softmax: bool = False
) -> NDArray[Any] | None: ...
