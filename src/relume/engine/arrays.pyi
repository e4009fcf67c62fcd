from typing import Any

import numpy as np

class Centered(np.ndarray[Any, Any]): ...

def aligned_zeros(shape: int | tuple[int, ...], dtype: Any) -> np.ndarray[Any, Any]: ...
