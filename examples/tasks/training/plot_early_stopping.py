"""
Early stopping, checkpoints and resuming
========================================

Stop training when the validation loss no longer falls, keep the best weights, save while training
runs, and continue after a crash as if nothing had happened: with the same bits.

**In short**: ``callbacks=[nn.EarlyStopping(patience=10), nn.ModelCheckpoint(path)]``, and
``nn.load(path)`` to continue.
"""

# %%
# A network that overfits
# -----------------------
#
# Few rows and many units: the training loss falls on, the validation loss turns.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from relume import datasets, nn

X, y = datasets.load_digits(return_X_y=True)
X = (X / 16).astype("float32")
X_train, y_train = X[:300], y[:300]
X_valid, y_valid = X[300:], y[300:]


def network():
    layers = [nn.Dense(256, "relu"), nn.Dense(256, "relu"), nn.Dense(10)]
    return nn.Network(layers, optimizer=nn.Adam(0.002), seed=0)


data = {"X": X_train, "y": y_train, "validation_data": (X_valid, y_valid)}
whole = network().fit(**data, epochs=60)

stopping = nn.EarlyStopping(patience=10)
stopped = network()
history = stopped.fit(**data, epochs=500, callbacks=[stopping])
print(
    f"trained {len(history.epochs)} epochs, best epoch {stopping.best_epoch}; "
    f"the network has the weights of epoch {stopped.epoch}"
)

figure, axes = plt.subplots(figsize=(7, 3.5), layout="constrained")
axes.plot(whole.epochs, whole["loss"], label="training loss")
axes.plot(whole.epochs, whole["val_loss"], label="validation loss")
axes.axvline(stopping.best_epoch, color="tab:green", label="best epoch")
axes.axvline(len(history.epochs), color="tab:red", linestyle="--", label="stopped here")
axes.set(title="Early stopping", xlabel="epoch", ylabel="cross entropy", yscale="log")
axes.legend()
plt.show()

# %%
# Save while training runs
# ------------------------
#
# `relume.nn.ModelCheckpoint` writes a file after each epoch, or only after the best one with
# ``save_best_only=True``. The file is replaced as a whole: a crash leaves the old one intact.

folder = tempfile.TemporaryDirectory()
path = Path(folder.name) / "digits.safetensors"


def train(epochs):
    """Continue from the file if it exists, else begin."""
    net = nn.load(path) if path.exists() else network()
    if net.epoch < epochs:
        remaining = epochs - net.epoch
        net.fit(**data, epochs=remaining, callbacks=[nn.ModelCheckpoint(path)])
    return net


train(epochs=4)  # the process ends here, or is killed
resumed = train(epochs=10)  # started again

# %%
# The file holds the optimizer's state, the schedule and the state of the random generator. So the
# resumed training ends with the same bits as one that was never interrupted.

uninterrupted = network()
uninterrupted.fit(**data, epochs=10)
same = [
    np.array_equal(resumed.state_dict()[name], value)
    for name, value in uninterrupted.state_dict().items()
]
print(f"epoch {resumed.epoch}; all parameters equal: {all(same)}")
folder.cleanup()

# %%
# Next
# ----
#
# - `relume.nn.EarlyStopping` monitors any metric: ``nn.EarlyStopping("val_accuracy")``.
# - In `relume.sklearn.MLPClassifier` it is ``early_stopping=True``, as in scikit-learn.
# - :doc:`/saving_and_loading` describes the file.
