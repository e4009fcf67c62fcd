"""Train on rows of a Dask cluster, and predict lazily: python examples/distributed/dask_fit.py

Give a scheduler's address as the first argument to use a cluster; else two processes are started.
"""

import sys

import dask.array as da
from distributed import Client, LocalCluster

from relume import nn
from relume.distributed import dask


def main():
    """Fit, and compare the predictions with the labels."""
    if len(sys.argv) > 1:
        client = Client(sys.argv[1])
    else:
        client = Client(LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0"))
    rng = da.random.default_rng(0)
    X = rng.standard_normal((200_000, 64), chunks=(25_000, 64))
    y = (X.sum(axis=1) > 0).astype("int64")
    net = nn.Network([nn.Dense(64, activation="relu"), nn.Dense(2)], seed=0)
    history = dask.fit(net, X, y, client=client, groups=8, epochs=3, batch_size=16_384)
    print(history)
    print("accuracy", (dask.predict(net, X) == y).mean().compute())
    client.close()


if __name__ == "__main__":
    main()
