"""
Predict one row in a microsecond
================================

In a control loop, a game or a trading system rows come one at a time, and what counts is the
latency: the time of one call, and how often it is much longer. This page measures it, and shows
the traps that make a call many times slower.

**In short**: keep a `relume.nn.Network`, give it an array of its own dtype and of shape
``(1, n_features)``, and call ``predict_proba`` or ``forward``.
"""

# %%
# A small network
# ---------------

import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import relume
from relume import datasets, nn
from relume.sklearn import MLPClassifier

X, y = datasets.load_digits(return_X_y=True)
X = (X / 16).astype("float32")
net = nn.Network([nn.Dense(64, "relu"), nn.Dense(32, "relu"), nn.Dense(10)], seed=0)
net.fit(X, y, epochs=10)


def latencies(predict, row, n_calls=20_000):
    """Nanoseconds of each call."""
    clock = time.perf_counter_ns
    times = np.empty(n_calls)
    for i in range(n_calls):
        begin = clock()
        predict(row)
        times[i] = clock() - begin
    return times[n_calls // 10 :]  # the first calls warm the caches


row = X[:1]
with relume.num_threads(1):
    measured = latencies(net.predict_proba, row)
overhead = np.median(latencies(lambda row: None, row))
print(f"median {np.median(measured) - overhead:.0f} ns, less {overhead:.0f} ns of the measurement")
for share in 0.9, 0.99, 0.999:
    print(f"{share:.1%} of the calls take at most {np.quantile(measured, share):,.0f} ns")

# %%
# The histogram
# -------------
#
# Most calls take the same time. The tail on the right comes from the operating system: interrupts,
# and other programs on this CPU. The documentation was built on a machine with other work, so the
# tail on yours may be shorter.

figure, axes = plt.subplots(figsize=(7, 3.5), layout="constrained")
axes.hist(measured, bins=np.geomspace(measured.min(), np.quantile(measured, 0.9995), 80))
axes.axvline(np.median(measured), color="tab:red", label=f"median {np.median(measured):,.0f} ns")
axes.set(
    title="Latency of predict_proba, one row of 64 features",
    xlabel="nanoseconds",
    ylabel="calls",
    xscale="log",
    yscale="log",
)
axes.legend()
plt.show()

# %%
# The traps
# ---------
#
# - **Another dtype.** A float64 row is converted at each call. So is a list, and that is slow.
#   ``np.array([[1.0, 2.0]])`` is float64, and so is a row that was computed from a float64 number,
#   such as an element of the predictions with ``scale_targets=True``. Keep one array of the right
#   dtype and write into it: ``row[0] = values``.
# - **An estimator.** It checks its input as scikit-learn's do: column names, finiteness, labels.
# - **A pipeline.** Each step checks again. Put the scaling into the network: ``nn.Standardize()``.
# - **A slice with a step**, such as ``data[:, ::2]``: it is copied to contiguous memory first.

estimator = MLPClassifier((64, 32), tol=0.02, n_iter_no_change=3, random_state=0)
pipeline = make_pipeline(StandardScaler(), estimator).fit(X, y)
ways = {
    "network, float32": (net.predict_proba, row),
    "network, float64": (net.predict_proba, row.astype("float64")),
    "network, a list": (net.predict_proba, row.tolist()),
    "estimator": (estimator.predict_proba, row),
    "pipeline with a scaler": (pipeline.predict_proba, row),
}
medians = {}
for name, (predict, one) in ways.items():
    medians[name] = np.median(latencies(predict, one, n_calls=2000)) / 1000
    print(f"{name:24} {medians[name]:8.2f} microseconds")

figure, axes = plt.subplots(figsize=(7, 3), layout="constrained")
bars = axes.barh(list(medians), list(medians.values()))
axes.bar_label(bars, fmt="%.1f", padding=3)
axes.set(title="One row, five ways", xlabel="microseconds", xscale="log")
axes.margins(x=0.15)
axes.invert_yaxis()
plt.show()

# %%
# The same network from an estimator
# ----------------------------------
#
# ``estimator.network_`` is the network inside: train with scikit-learn's interface, predict with
# the network's speed.

fast = estimator.network_
print(type(fast).__name__, fast.predict_proba(row).round(2))

# %%
# Next
# ----
#
# - :doc:`/performance` describes threads and what is chosen on your machine.
# - Many rows at once are faster per row: give ``predict_proba`` all of them.
