"""Train on the ranks of an MPI job: ``mpiexec -n 4 python -m relume.distributed.mpi mpi_fit.py``.

Run it with any number of ranks, or kill it and run it again with another number: the network in
the file that it writes has the same bits.
"""

import numpy as np

from relume import nn
from relume.distributed import mpi

N = 20_000
GROUPS = 8

rng = np.random.default_rng(0)
X = rng.standard_normal((N, 20), dtype="float32")  # np.load("X.npy", mmap_mode="r") in earnest
y = (np.sin(2 * X[:, 0]) + X[:, 1] > 0).astype("int64")

rows = mpi.rows(N, GROUPS)  # those of this rank
net = nn.Network([nn.Dense(64, activation="relu"), nn.Dense(2)], optimizer=nn.Adam(3e-3), seed=0)
history = mpi.fit(
    net,
    X[rows],
    y[rows],
    groups=GROUPS,
    epochs=5,
    batch_size=512,
    checkpoint="mpi_fit.safetensors",
    progress=True,
)
print(history)
