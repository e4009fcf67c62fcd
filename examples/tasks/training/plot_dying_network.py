"""
Why did my network stop learning? Dying ReLUs, found and revived
================================================================

The loss has not moved for epochs. One cause is a dying ReLU: a unit whose input is negative for
every row outputs 0, gets no gradient, and never comes back. This page kills a network with too
high a learning rate, finds the dead units, explains them, and revives them.

**In short**: ``print(diagnostics.inspect(net, X, y))`` says what is wrong and what to do;
``nn.Monitor()`` warns while you train; ``nn.Revive()`` gives dead units new weights.
"""

# %%
# A network that stops learning
# -----------------------------

import warnings

import matplotlib.pyplot as plt

from relume import diagnostics, nn, plots
from relume.datasets.held_out import load_digits_split

X, y, X_test, y_test = load_digits_split()


def network(lr):
    layers = [nn.Dense(256, "relu"), nn.Dense(128, "relu"), nn.Dense(10)]
    return nn.Network(layers, optimizer=nn.Adam(lr), seed=3)


ill = network(lr=0.03)
with warnings.catch_warnings():
    warnings.simplefilter("ignore", nn.TrainingWarning)  # shown further below
    history = ill.fit(X, y, epochs=12, validation_data=(X_test, y_test), callbacks=[nn.Monitor()])
print(f"accuracy {history['val_accuracy'][-1]:.3f}")

# %%
# Found
# -----
#
# `relume.diagnostics.inspect` looks at every layer. Its advice has reasons and suggestions.

report = diagnostics.inspect(ill, X_test, y_test)
for advice in report.advice:
    print(f"{advice.kind} ({advice.layer or 'network'}): {advice.text}")
    print()

# %%
# Seen
# ----
#
# Each row is a unit, ordered by when it died. The color is the share of rows on which it is
# active.

figure, axes = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
plots.dead_units(history, ax=list(axes))
figure.suptitle("Units of the two hidden layers, epoch by epoch")
plt.show()

# %%
# What the pre-activations look like: those of dead units lie below 0 for all rows.

figure, axes = plt.subplots(1, 3, figsize=(10, 3), layout="constrained")
plots.layer_histograms(report, ax=list(axes))
axes[0].legend(loc="upper left", fontsize=8)
plt.show()

# %%
# Revived
# -------
#
# ``nn.Revive(lr="advised")`` gives dead units new incoming weights, and outgoing weights of 0, so
# that nothing the network has learned is lost. It also sets the learning rate that the report
# suggests, since otherwise the units would die again.

with warnings.catch_warnings():
    warnings.simplefilter("ignore", nn.TrainingWarning)
    again = ill.fit(
        X,
        y,
        epochs=12,
        validation_data=(X_test, y_test),
        callbacks=[nn.Revive(every=3, lr="advised"), nn.Monitor()],
    )
print(f"accuracy {again['val_accuracy'][-1]:.3f}, learning rate {ill.optimizer.lr}")


def dead_share(history, layer):
    return [layers[layer]["dead_fraction"] for layers in history.layers]


figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
for layer in ("layer 1", "layer 2"):
    share = dead_share(history, layer) + dead_share(again, layer)
    left.plot(range(1, len(share) + 1), share, marker="o", markersize=3, label=layer)
accuracy = history["val_accuracy"] + again["val_accuracy"]
right.plot(range(1, len(accuracy) + 1), accuracy, color="tab:green")
for axes in (left, right):
    axes.axvline(12.5, color="gray", linestyle=":")
    axes.set_xlabel("epoch (revival begins at the dotted line)")
left.set(title="Share of dead units")
right.set(title="Validation accuracy")
left.legend()
plt.show()

# %%
# Warned in time
# --------------
#
# In everyday use `relume.nn.Monitor` warns in the epoch in which units die.

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    network(lr=0.03).fit(X, y, epochs=4, callbacks=[nn.Monitor()])
for warning in caught[:2]:
    print(warning.message)

# %%
# Next
# ----
#
# - :doc:`/diagnostics` lists everything that is looked for.
# - :doc:`/experiments` has experiments on when ReLUs die.
