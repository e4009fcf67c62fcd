"""
Replace np.maximum in a training loop
=====================================

You wrote a neural network in plain NumPy, with ``np.maximum(x, 0)`` for the ReLU and a mask for
its gradient. This page replaces these lines with `relume.relu` and
`relume.relu_backward_from_output`, and measures what that changes.

**In short**: the results are the same, the mask and two temporary arrays are gone, and you can
try another activation by changing one name.
"""

# %%
# The loop as it was
# ------------------
#
# Two layers, cross entropy and gradient descent on the digits that come with relume.

import time

import matplotlib.pyplot as plt
import numpy as np

import relume
from relume import datasets

X, y = datasets.load_digits(return_X_y=True)
X = (X / 16).astype("float32")
target = np.eye(10, dtype="float32")[y]


def initial_weights():
    rng = np.random.default_rng(0)
    W1 = rng.normal(0, np.sqrt(2 / 64), (64, 128)).astype("float32")
    W2 = rng.normal(0, np.sqrt(1 / 128), (128, 10)).astype("float32")
    return W1, W2


def train_with_numpy(steps):
    W1, W2 = initial_weights()
    losses = []
    for _ in range(steps):
        z1 = X @ W1
        h = np.maximum(z1, 0)
        z2 = h @ W2
        z2 -= z2.max(axis=1, keepdims=True)
        log_p = z2 - np.log(np.exp(z2).sum(axis=1, keepdims=True))
        losses.append(-(log_p * target).sum(axis=1).mean())
        dz2 = (np.exp(log_p) - target) / len(X)
        dz1 = (dz2 @ W2.T) * (z1 > 0)
        W2 -= 0.5 * (h.T @ dz2)
        W1 -= 0.5 * (X.T @ dz1)
    return losses


# %%
# The loop with relume
# --------------------
#
# ``out=h`` overwrites the pre-activation: the gradient of a ReLU can be computed from its output,
# so ``z1`` need not be kept. `relume.log_softmax` replaces three lines.


def train_with_relume(steps):
    W1, W2 = initial_weights()
    losses = []
    for _ in range(steps):
        h = X @ W1
        relume.relu(h, out=h)
        log_p = relume.log_softmax(h @ W2)
        losses.append(-(log_p * target).sum(axis=1).mean())
        dz2 = (np.exp(log_p) - target) / len(X)
        dh = dz2 @ W2.T
        dz1 = relume.relu_backward_from_output(dh, h, out=dh)
        W2 -= 0.5 * (h.T @ dz2)
        W1 -= 0.5 * (X.T @ dz1)
    return losses


theirs, ours = train_with_numpy(100), train_with_relume(100)
print("largest difference of the losses:", np.abs(np.array(theirs) - ours).max())

# %%
# What the activation alone costs
# -------------------------------
#
# The matrix products take most of a step. The activation and its gradient are a matter of memory:
# fewer passes, and no temporary arrays. Your times will differ; the order of the bars should not.

x = np.random.default_rng(1).normal(size=(1797, 512)).astype("float32")
g = np.ones_like(x)
h, dx = np.empty_like(x), np.empty_like(x)


def with_numpy():
    return g * (np.maximum(x, 0) > 0)


def with_relume():
    relume.relu(x, out=h)
    return relume.relu_backward_from_output(g, h, out=dx)


def best_time(function, repeat=30):
    times = []
    for _ in range(repeat):
        begin = time.perf_counter()
        function()
        times.append(time.perf_counter() - begin)
    return min(times) * 1e3


bars = {"NumPy": best_time(with_numpy), "relume": best_time(with_relume)}

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
left.plot(theirs, label="np.maximum", linewidth=4, alpha=0.4)
left.plot(ours, label="relume.relu", linewidth=1.5)
left.set(title="The same training", xlabel="step", ylabel="loss")
left.legend()
right.barh(list(bars), list(bars.values()), color=["tab:gray", "tab:blue"])
right.set(title="Activation and its gradient", xlabel="milliseconds for 1,797 x 512 float32")
plt.show()

# %%
# Next
# ----
#
# - Another activation is another name: `relume.gelu` and `relume.gelu_backward`, say.
# - `relume.nn.Network` runs the whole loop in compiled code, on all CPUs.
# - :doc:`/gradients` lists the gradient functions; :doc:`/performance` says what to expect.
