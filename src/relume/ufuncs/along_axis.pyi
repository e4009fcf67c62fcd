import numpy as np

FUNCTIONS: list[tuple[str, int, str, int, int]]
texts: list[tuple[bytes, bytes]]

def __getattr__(name: str) -> np.ufunc: ...  # the ufuncs of FUNCTIONS
