from typing import Any

import numpy as np

def aligned_zeros(shape: int | tuple[int, ...], dtype: Any) -> np.ndarray[Any, Any]: ...
