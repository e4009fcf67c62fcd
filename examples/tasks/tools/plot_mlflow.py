"""
Experiment tracking with MLflow
===============================

MLflow keeps the settings, curves and files of each run, so that you can compare them weeks later.
A callback of ten lines sends relume's to it. relume does not depend on MLflow: copy the callback.

**In short**: log parameters before the fit, metrics after each epoch, and the saved network at the
end.
"""

# %%
# The callback
# ------------

import json
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt

from relume import nn
from relume.datasets.held_out import load_digits_split


class Track(nn.Callback):
    """Send settings, metrics and the trained network to mlflow, or to an object like it."""

    def __init__(self, tracker, folder):
        self.tracker, self.folder = tracker, Path(folder)

    def on_fit_begin(self, net):
        self.tracker.log_params({"layers": str(net.layers), "optimizer": str(net.optimizer)})

    def on_epoch_end(self, net, epoch, logs):
        self.tracker.log_metrics(logs, step=epoch)

    def on_fit_end(self, net):
        path = self.folder / "network.safetensors"
        net.save(path)
        self.tracker.log_artifact(str(path))


# %%
# A run
# -----
#
# With MLflow installed, a run is
#
# .. code-block:: python
#
#     import mlflow
#
#     with mlflow.start_run():
#         net.fit(X, y, epochs=15, callbacks=[Track(mlflow, folder)])
#
# and ``mlflow ui`` shows it. This page is built without MLflow: a class with the same three
# functions writes lines of JSON instead, which is enough for small projects.


class JSONLines:
    def __init__(self, path):
        self.path = Path(path)

    def _write(self, **entry):
        with self.path.open("a") as file:
            file.write(json.dumps(entry) + "\n")

    def log_params(self, params):
        self._write(params=params)

    def log_metrics(self, metrics, step):
        self._write(step=step, **{name: float(value) for name, value in metrics.items()})

    def log_artifact(self, path):
        self._write(artifact=path)


X, y, X_valid, y_valid = load_digits_split()
folder = tempfile.TemporaryDirectory()
runs = {"relu": nn.Adam(0.001), "gelu": nn.Adam(0.003)}
for name, optimizer in runs.items():
    tracker = JSONLines(Path(folder.name) / f"{name}.jsonl")
    net = nn.Network([nn.Dense(64, name), nn.Dense(10)], optimizer=optimizer, seed=0)
    net.fit(
        X,
        y,
        epochs=15,
        validation_data=(X_valid, y_valid),
        callbacks=[Track(tracker, folder.name)],
    )
print(tracker.path.read_text().splitlines()[1])

# %%
# Compare runs
# ------------

figure, axes = plt.subplots(figsize=(7, 3.5), layout="constrained")
for name in runs:
    lines = (Path(folder.name) / f"{name}.jsonl").read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    epochs = [entry for entry in entries if "step" in entry]
    axes.plot(
        [entry["step"] for entry in epochs],
        [entry["val_accuracy"] for entry in epochs],
        marker="o",
        label=entries[0]["params"]["optimizer"].split(",")[0] + "), " + name,
    )
axes.set(title="Two tracked runs", xlabel="epoch", ylabel="validation accuracy")
axes.legend()
plt.show()
folder.cleanup()

# %%
# Next
# ----
#
# - `relume.nn.TensorBoard` writes curves and histograms for TensorBoard.
# - `relume.nn.CSVLogger` writes a table, one line for each epoch.
