"""
Hyperparameters with Optuna
===========================

Optuna tries settings, learns which are promising, and stops hopeless trials early. Stopping needs
a callback of ten lines, shown here.

**In short**: ``trial.report(value, step)`` after each epoch, and raise ``optuna.TrialPruned`` when
``trial.should_prune()`` says so.
"""

# %%
# A callback that prunes
# ----------------------

import matplotlib.pyplot as plt
import numpy as np
import optuna

from relume import nn
from relume.datasets.held_out import load_digits_split

optuna.logging.set_verbosity(optuna.logging.WARNING)
X, y, X_valid, y_valid = load_digits_split()


class Prune(nn.Callback):
    """End a trial whose validation metric falls behind those of other trials."""

    def __init__(self, trial, monitor):
        self.trial, self.monitor = trial, monitor

    def on_epoch_end(self, net, epoch, logs):
        self.trial.report(logs[self.monitor], epoch)
        if self.trial.should_prune():
            raise optuna.TrialPruned


# %%
# What is searched
# ----------------

curves = {}


def objective(trial):
    width = trial.suggest_int("width", 8, 128, log=True)
    activation = trial.suggest_categorical("activation", ["relu", "gelu", "tanh"])
    lr = trial.suggest_float("lr", 1e-4, 1e-1, log=True)
    dropout = trial.suggest_float("dropout", 0.0, 0.5)
    net = nn.Network(
        [nn.Dense(width, activation), nn.Dropout(dropout), nn.Dense(10)],
        optimizer=nn.Adam(lr),
        seed=0,
    )
    try:
        history = net.fit(
            X,
            y,
            epochs=15,
            batch_size=64,
            validation_data=(X_valid, y_valid),
            callbacks=[Prune(trial, "val_loss")],
        )
    finally:
        curves[trial.number] = net.history["val_loss"]
    return history["val_loss"][-1]


study = optuna.create_study(
    direction="minimize",
    sampler=optuna.samplers.TPESampler(seed=0),
    pruner=optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=2),
)
study.optimize(objective, n_trials=30)
pruned = [t.number for t in study.trials if t.state == optuna.trial.TrialState.PRUNED]
print(f"{len(study.trials)} trials, of which {len(pruned)} were stopped early")
print(f"best validation loss {study.best_value:.3f} with")
for name, value in study.best_params.items():
    print(f"  {name} = {value if isinstance(value, str | int) else round(value, 4)}")

# %%
# The trials
# ----------

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
for number, curve in curves.items():
    color, alpha = ("tab:gray", 0.5) if number in pruned else ("tab:blue", 0.8)
    left.plot(np.arange(1, len(curve) + 1), curve, color=color, alpha=alpha)
left.set(title="Gray trials were stopped", xlabel="epoch", ylabel="validation loss", yscale="log")
for activation, marker in zip(["relu", "gelu", "tanh"], "os^", strict=True):
    chosen = [t for t in study.trials if t.params["activation"] == activation]
    right.scatter(
        [t.params["lr"] for t in chosen],
        [curves[t.number][-1] for t in chosen],
        marker=marker,
        label=activation,
    )
right.set(title="Learning rate and last loss", xlabel="learning rate", xscale="log", yscale="log")
right.legend()
plt.show()

# %%
# Next
# ----
#
# - scikit-learn's ``GridSearchCV`` takes `relume.sklearn.MLPClassifier`.
# - A range test finds the learning rate alone:
#   :ref:`sphx_glr_tasks_training_plot_learning_rate.py`.
