from typing import Any

import numpy as np

def target_dtype(loss: str, dtype: np.dtype[Any]) -> np.dtype[Any]: ...
