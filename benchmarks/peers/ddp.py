"""Seconds of a step of PyTorch's DistributedDataParallel on two processes, of one thread each.

    python benchmarks/peers/ddp.py 512 5

The network is that of `benchmarks/processes.py`, which runs this: 784-256-128-10 and Adam. Each
process takes half of the rows of a minibatch; gloo adds the gradients.
"""

import os
import sys
import tempfile
import time

import numpy as np
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

PROCESSES = 2


def rank(i, batch, limit, folder):
    """Train for some seconds; process 0 prints the median of a step."""
    torch.set_num_threads(1)
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/ranks", rank=i, world_size=PROCESSES
    )
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10)
    )
    net = DistributedDataParallel(net)
    optimizer = torch.optim.Adam(net.parameters(), 1e-3)
    n = batch // PROCESSES
    X, y = torch.rand(8 * n, 784), torch.randint(0, 10, (8 * n,))
    times, end = [], time.time() + limit
    while True:
        begin = time.perf_counter()
        for rows in torch.randperm(8 * n).split(n):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(X[rows]), y[rows]).backward()
            optimizer.step()
        times.append((time.perf_counter() - begin) / 8)
        more = torch.tensor([float(time.time() < end or len(times) < 5)])
        torch.distributed.broadcast(more, 0)
        if not more:
            break
    if i == 0:
        print("RESULT", np.median(times[2:]))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        arguments = int(sys.argv[1]), float(sys.argv[2]), name
        torch.multiprocessing.spawn(rank, arguments, nprocs=PROCESSES)
