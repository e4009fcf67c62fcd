"""
Uncertainty of predictions with quantiles
=========================================

A single number hides how sure a model is. With the loss ``nn.Quantile([0.05, 0.5, 0.95])`` one
network predicts the median and an interval that holds 90 % of the values, wide where the data is
noisy and narrow where it is not.

**In short**: give the last layer one unit for each quantile. The quantiles never cross. Then check
the coverage on held-out rows; if it is off, widen the interval by conformal prediction, which is
four lines.
"""

# %%
# Noise that grows
# ----------------

import matplotlib.pyplot as plt
import numpy as np

from relume import nn

rng = np.random.default_rng(0)


def draw(n):
    x = rng.uniform(0, 10, n)
    y = np.sin(x) * 3 + x + rng.normal(0, 0.2 + 0.25 * x)
    return x[:, None].astype("float32"), y.astype("float32")


X, y = draw(4000)
X_held_out, y_held_out = draw(1000)
X_test, y_test = draw(2000)

quantiles = [0.05, 0.5, 0.95]
net = nn.Network(
    [nn.Standardize(), nn.Dense(64, "silu"), nn.Dense(64, "silu"), nn.Dense(3)],
    loss=nn.Quantile(quantiles),
    optimizer=nn.Adam(0.003),
    schedule=nn.Cosine(100),
    scale_targets=True,
    seed=0,
)
history = net.fit(X, y, epochs=100, batch_size=128)
low, median, high = net.predict(X_test).T
print(f"{np.mean((low <= y_test) & (y_test <= high)):.1%} of the test rows lie in the interval")

# %%
# The interval
# ------------

order = np.argsort(X_test[:, 0])
x = X_test[order, 0]
figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
axes.scatter(X_test[:, 0], y_test, s=3, color="gray", alpha=0.5, label="test rows")
axes.fill_between(x, low[order], high[order], alpha=0.3, label="5 % to 95 %")
axes.plot(x, median[order], linewidth=2, label="median")
axes.set(title="A prediction with its uncertainty", xlabel="x", ylabel="y")
axes.legend(loc="upper left")
plt.show()

# %%
# A coverage that is promised
# ---------------------------
#
# Quantiles that were fitted to the training rows may be a little too narrow on new ones. Conformal
# prediction asks held-out rows how far they lie outside, and widens the interval by that much (or
# narrows it). The coverage is then at least 90 % on average, whatever the network has learned
# (Romano, Patterson and Candès, "Conformalized quantile regression", NeurIPS 2019).

low_held_out, _, high_held_out = net.predict(X_held_out).T
outside = np.maximum(low_held_out - y_held_out, y_held_out - high_held_out)
level = np.ceil(0.9 * (len(outside) + 1)) / len(outside)
margin = np.quantile(outside, level)

covered = np.mean((low - margin <= y_test) & (y_test <= high + margin))
print(f"margin {margin:.3f}: {covered:.1%} of the test rows lie in the corrected interval")

# %%
# Next
# ----
#
# - `relume.sklearn.MLPRegressor` takes ``loss=nn.Quantile(0.9)`` for a single quantile.
# - Probabilities of classes: :ref:`sphx_glr_tasks_data_plot_calibration.py`.
