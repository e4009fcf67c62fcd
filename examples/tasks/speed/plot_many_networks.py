"""
Many networks at once: joblib, threads, Dask arrays, fork
=========================================================

A hundred small networks, one for each customer or each setting, train faster side by side than one
after another. Where each network is small, give each process or thread one network, and let relume
use one thread for it.

**In short**: ``Parallel(n_jobs=-1)`` with ``relume.num_threads(1)`` inside the task. Results do
not depend on how the work is split.
"""

# %%
# One task
# --------

import os
import time
from concurrent.futures import ThreadPoolExecutor

import dask.array as da
import matplotlib.pyplot as plt
import numpy as np
from joblib import Parallel, delayed

import relume
from relume import datasets, nn

X, y = datasets.load_digits(return_X_y=True)
X = (X / 16).astype("float32")


def train(seed):
    """A network on a random half of the rows; its accuracy on the other half."""
    rows = np.random.default_rng(seed).permutation(len(X))
    half = len(X) // 2
    with relume.num_threads(1):
        net = nn.Network([nn.Dense(32, "relu"), nn.Dense(10)], seed=seed)
        net.fit(X[rows[:half]], y[rows[:half]], epochs=10)
        return net.evaluate(X[rows[half:]], y[rows[half:]])["accuracy"]


# %%
# One after another, in processes, in threads
# -------------------------------------------
#
# joblib's processes start with their own copy of the data. Threads share it: relume releases the
# GIL while it trains, so threads run side by side as well.

seeds = range(24)
seconds, results = {}, {}


def measure(name, work):
    begin = time.perf_counter()
    results[name] = work()
    seconds[name] = time.perf_counter() - begin


measure("one by one", lambda: [train(seed) for seed in seeds])
with Parallel(n_jobs=os.cpu_count()) as parallel:
    parallel(delayed(train)(seed) for seed in range(os.cpu_count()))  # start the processes
    measure("joblib, processes", lambda: parallel(delayed(train)(seed) for seed in seeds))
with ThreadPoolExecutor(os.cpu_count()) as pool:
    measure("threads", lambda: list(pool.map(train, seeds)))

for name in seconds:
    same = results[name] == results["one by one"]
    print(f"{name:18} {seconds[name]:.2f} s, the same results: {same}")

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
left.barh(list(seconds), list(seconds.values()))
left.invert_yaxis()
left.set(title=f"24 networks on {os.cpu_count()} CPUs", xlabel="seconds")
right.hist(results["threads"], bins=12)
right.set(title="How accuracy varies with the seed", xlabel="accuracy", ylabel="networks")
plt.show()

# %%
# Dask arrays
# -----------
#
# relume's functions are ufuncs, so a Dask array stays lazy. For a network use ``map_blocks``, and
# tell it the shape and dtype of the result.

net = nn.Network([nn.Dense(32, "relu"), nn.Dense(10)], seed=0)
net.fit(X, y, epochs=10)
lazy = da.from_array(X, chunks=(400, 64))
probabilities = lazy.map_blocks(
    net.predict_proba,
    chunks=(lazy.chunks[0], (10,)),
    dtype="float32",
    meta=np.empty((0, 10), dtype="float32"),
)
print(relume.gelu(lazy))
print(np.array_equal(probabilities.compute(), net.predict_proba(X)))

# %%
# fork
# ----
#
# A process that was forked from one that uses relume works, on one thread. ``spawn`` and
# ``forkserver`` have no such limit; joblib uses neither fork nor this limit.
#
# Next
# ----
#
# - :doc:`/performance` describes threads: who sets how many.
# - :ref:`sphx_glr_tasks_tools_plot_optuna.py` searches for good settings.
