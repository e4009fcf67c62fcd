"""The peak memory of a process with arrays of 4 million float32 (16 MB each)."""

import numpy as np

import relume

from .calls import named

CALLS = {
    "x and out alone": ("", lambda x, out: None),
    "relu, out=": ("relu", lambda x, out: relume.relu(x, out=out)),
    "relu transposed, out=": ("relu", lambda x, out: relume.relu(x.T, out=out.reshape(100, -1))),
    "relu": ("relu", lambda x, out: relume.relu(x)),
    "gelu": ("gelu", lambda x, out: relume.gelu(x)),
    "softmax axis 0, out=": ("softmax", lambda x, out: relume.softmax(x, axis=0, out=out)),
}


class Memory:
    version = "1"
    params = [list(CALLS)]
    param_names = ["call"]

    def setup(self, call):
        name, self.call = CALLS[call]
        if name and not hasattr(relume, name):
            raise NotImplementedError(f"relume has no {name}")
        self.x = np.random.default_rng(0).standard_normal((40_000, 100), np.float32)
        self.out = np.ones_like(self.x)

    @named("Peak memory: one call, 4 million float32")
    def peakmem_call(self, call):
        self.call(self.x, self.out)
