"""
Your own loss, your own callback, your own training loop
========================================================

Three places where you can put code of your own: a loss is a function of targets and predictions, a
callback is a function called after each epoch, and ``forward``, ``backward`` and ``step`` are the
parts of a training step.

**In short**: a loss returns its mean and its gradient; check it with `relume.nn.check_loss`.
"""

# %%
# A loss: Tukey's biweight, which ignores outliers
# ------------------------------------------------
#
# Errors beyond ``c`` have a constant loss and a gradient of 0, so wild values cannot pull the
# curve. A loss function takes the targets and the outputs, and returns the mean loss and its
# gradient by the outputs.

import matplotlib.pyplot as plt
import numpy as np

from relume import nn

rng = np.random.default_rng(0)
X = rng.uniform(-3, 3, (1000, 1)).astype("float32")
truth = np.sin(2 * X[:, 0])
y = truth + rng.normal(0, 0.1, 1000)
wild = rng.random(1000) < 0.15
y[wild] += rng.uniform(2, 6, wild.sum())
y = y.astype("float32")


def tukey(y_true, y_pred, c=2.0):
    error = y_pred - y_true[:, None]
    inside = np.abs(error) < c
    rest = np.where(inside, 1 - (error / c) ** 2, 0)
    loss = c**2 / 6 * (1 - rest**3)
    return loss.mean(), error * rest**2 / error.size


nn.check_loss(tukey, y[:5], np.zeros((5, 1)))  # raises if the gradient is wrong


def network(loss):
    layers = [nn.Dense(64, "gelu"), nn.Dense(64, "gelu"), nn.Dense(1)]
    return nn.Network(layers, loss=loss, optimizer=nn.Adam(0.005), seed=0)


# %%
# A callback: keep the curve of every epoch
# -----------------------------------------
#
# A function ``f(net, epoch, logs)`` is called after each epoch; returning True ends the fit.
# For other moments, derive from `relume.nn.Callback` and write the hooks that you need.


class KeepCurves(nn.Callback):
    def __init__(self, grid, every):
        self.grid, self.every, self.curves = grid, every, {}

    def on_epoch_end(self, net, epoch, logs):
        if epoch % self.every == 0:
            self.curves[epoch] = net.predict(self.grid)


grid = np.linspace(-3, 3, 200, dtype="float32")[:, None]
keep = KeepCurves(grid, every=10)
robust = network(tukey)
robust.fit(X, y, epochs=40, callbacks=[keep])
plain = network("mse")
plain.fit(X, y, epochs=40)

figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
axes.scatter(X[:, 0], y, s=4, color="gray", alpha=0.5)
axes.plot(grid, plain.predict(grid), color="tab:orange", label="mse, 40 epochs")
for epoch, curve in keep.curves.items():
    axes.plot(grid, curve, color="tab:blue", alpha=epoch / 40, label=f"Tukey, {epoch} epochs")
axes.set(title="A loss that ignores outliers", xlabel="x", ylabel="y")
axes.legend()
plt.show()

# %%
# A training loop
# ---------------
#
# The same in your own hands. ``forward(training=True)`` remembers what ``backward`` needs;
# ``backward`` takes the gradient of your loss by the outputs; ``step`` lets the optimizer act.

net = network("mse")  # the loss of the network is not used here
for _ in range(10):
    order = rng.permutation(len(X))
    for rows in np.array_split(order, 30):
        outputs = net.forward(X[rows], training=True)
        loss, gradient = tukey(y[rows], outputs)
        net.backward(gradient)
        net.step()
error = np.abs(net.predict(grid) - np.sin(2 * grid[:, 0])).mean()
print(f"mean distance from the truth after 10 epochs: {error:.3f}")

# %%
# Next
# ----
#
# - A loss of classes: ``nn.PythonLoss(function, outputs="logits")``.
# - :ref:`sphx_glr_tasks_data_plot_cart_pole.py` trains a policy, whose loss has no targets at all.
# - :doc:`/training` describes all hooks of a callback.
