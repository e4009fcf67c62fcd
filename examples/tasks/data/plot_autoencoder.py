"""
An autoencoder and its codes
============================

A network that has to squeeze its input through two units and rebuild it learns a map of the data.
The first half computes codes, the second half draws images from codes.

**In short**: train one network with ``net.fit(X, X)``, then take its halves with
``net.part(0, 3)`` and ``net.part(3)``. They share the weights of the whole.
"""

# %%
# Train the whole
# ---------------

import matplotlib.pyplot as plt
import numpy as np

from relume import datasets, nn

X, y = datasets.load_digits(return_X_y=True)
X = (X / 16).astype("float32")

net = nn.Network(
    [
        nn.Dense(128, "silu"),
        nn.Dense(64, "silu"),
        nn.Dense(2),
        nn.Dense(64, "silu"),
        nn.Dense(128, "silu"),
        nn.Dense(64),
    ],
    loss="mse",
    optimizer=nn.AdamW(0.003),
    schedule=nn.Cosine(150),
    seed=1,
)
history = net.fit(X, X, epochs=150, batch_size=64)
print(f"mean squared error: {history['loss'][0]:.4f} at first, {history['loss'][-1]:.4f} at last")

# %%
# The map
# -------
#
# Each point is a digit; the labels were never shown to the network.

encoder, decoder = net.part(0, 3), net.part(3)
codes = encoder.predict(X)

figure, axes = plt.subplots(figsize=(6.5, 5), layout="constrained")
points = axes.scatter(codes[:, 0], codes[:, 1], c=y, cmap="tab10", s=6)
axes.legend(*points.legend_elements(), title="digit", loc="center left", bbox_to_anchor=(1, 0.5))
axes.set(title="1,797 digits in two numbers each", xlabel="code 1", ylabel="code 2")
plt.show()

# %%
# Draw from codes
# ---------------
#
# The upper row is input, the lower row what is left after two numbers.

rows = [np.flatnonzero(y == digit)[0] for digit in range(10)]
rebuilt = decoder.predict(codes[rows])
figure, axes = plt.subplots(2, 10, figsize=(9, 2.2), layout="constrained")
for column, row in enumerate(rows):
    for panel, image in zip(axes[:, column], (X[row], rebuilt[column]), strict=True):
        panel.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
        panel.set_axis_off()
figure.suptitle("Digits, and the same digits from their codes")
plt.show()

# %%
# Unusual rows
# ------------
#
# The reconstruction error is a measure of how unusual a row is: noise cannot be rebuilt.

noise = np.random.default_rng(0).random((200, 64), dtype="float32")


def error(rows):
    return ((net.predict(rows) - rows) ** 2).mean(axis=1)


print(f"median error: digits {np.median(error(X)):.3f}, noise {np.median(error(noise)):.3f}")

# %%
# Next
# ----
#
# - `relume.nn.Network.part` says how parts and wholes share weights.
# - `relume.nn.Network.layer_outputs` gives what any layer computes.
