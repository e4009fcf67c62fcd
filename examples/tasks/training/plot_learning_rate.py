"""
Learning-rate schedules, warm-up and the range test
===================================================

Which learning rate? The range test finds out in one epoch: raise the rate a little at each step,
and see where the loss falls fastest and where it explodes. Then let a schedule lower the rate
while training goes on.

**In short**: take a third of the rate at which the loss begins to rise, and
``schedule=nn.OneCycle(epochs)`` or ``nn.Cosine(epochs, warmup=1)``.
"""

# %%
# The range test
# --------------
#
# ``train_on_batch`` makes one step and returns its loss; ``net.optimizer.lr`` may be assigned
# between steps. A step that would make the parameters infinite raises FloatingPointError, which
# ends the test.

import matplotlib.pyplot as plt
import numpy as np

from relume import datasets, nn

X, y = datasets.load_digits(return_X_y=True)
X = (X / 16).astype("float32")
X_train, y_train, X_test, y_test = X[:1400], y[:1400], X[1400:], y[1400:]


def network(lr, schedule=None):
    layers = [nn.Dense(64, "relu"), nn.Dense(64, "relu"), nn.Dense(10)]
    optimizer = nn.SGD(lr, momentum=0.9)
    return nn.Network(layers, optimizer=optimizer, schedule=schedule, seed=0)


def range_test(net, rates, batch_size=32):
    rng = np.random.default_rng(0)
    losses = []
    for lr in rates:
        rows = rng.integers(0, len(X_train), batch_size)
        net.optimizer.lr = lr
        try:
            losses.append(net.train_on_batch(X_train[rows], y_train[rows]))
        except FloatingPointError:
            break
        if losses[-1] > 4 * losses[0]:
            break
    return rates[: len(losses)], np.array(losses)


rates, losses = range_test(network(1e-4), np.geomspace(1e-4, 10, 300))
smooth = np.convolve(losses, np.ones(15) / 15, mode="valid")
middle = rates[7 : 7 + len(smooth)]
lowest = middle[smooth.argmin()]
chosen = lowest / 3
print(f"lowest loss at a rate of {lowest:.2f}: chosen {chosen:.2f}")

figure, axes = plt.subplots(figsize=(7, 3.5), layout="constrained")
axes.plot(rates, losses, color="gray", alpha=0.4, label="loss of a step")
axes.plot(middle, smooth, label="running mean")
axes.axvline(chosen, color="tab:green", label="chosen")
axes.set(title="Learning-rate range test", xlabel="learning rate", ylabel="loss", xscale="log")
axes.set_ylim(0, 3)
axes.legend()
plt.show()

# %%
# The schedules
# -------------
#
# A schedule is a factor of the optimizer's rate, a function of the epoch as a float. It is applied
# at each step, not only between epochs. Any function will do.

epochs = 15
schedules = {
    "constant": None,
    "Step(5, 0.3)": nn.Step(5, 0.3),
    "Cosine(14, warmup=1)": nn.Cosine(14, warmup=1),
    "OneCycle(15)": nn.OneCycle(15),
    "a function": lambda epoch: 1 / (1 + epoch),
}
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
epoch = np.linspace(0, epochs - 0.01, 300)
for name, schedule in schedules.items():
    factor = [1.0 if schedule is None else schedule(each) for each in epoch]
    left.plot(epoch, factor, label=name)
    history = network(chosen, schedule).fit(
        X_train, y_train, epochs=epochs, validation_data=(X_test, y_test)
    )
    right.plot(history.epochs, history["val_loss"], label=name)
    print(f"{name:21} accuracy {history['val_accuracy'][-1]:.3f}")
left.set(title="Factor of the learning rate", xlabel="epoch", ylabel="factor")
right.set(title="Validation loss", xlabel="epoch", ylabel="cross entropy")
right.legend()
plt.show()

# %%
# When the loss tells
# -------------------
#
# `relume.nn.ReduceOnPlateau` lowers the rate whenever a monitored value stops improving. It needs
# no number of epochs in advance.

net = network(chosen, nn.ReduceOnPlateau("val_loss", factor=0.3, patience=2))
history = net.fit(X_train, y_train, epochs=epochs, validation_data=(X_test, y_test))
print(f"ReduceOnPlateau       accuracy {history['val_accuracy'][-1]:.3f}")

# %%
# Next
# ----
#
# - :doc:`/training` lists the schedules and optimizers.
# - `relume.diagnostics.inspect` tells whether a rate is too high or too low for a trained network.
