"""
Calibrated probabilities
========================

Of all rows that get a probability of 80 %, about 80 % should be positive. Networks that were
trained for long are often too sure of themselves. This page draws the reliability diagram, which
shows it, and compares three remedies.

**In short**: stop early on the validation loss, or calibrate afterwards on held-out rows with
scikit-learn's ``CalibratedClassifierCV``. Label smoothing during training helps too.
"""

# %%
# Four classifiers
# ----------------

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.calibration import CalibratedClassifierCV, calibration_curve
from sklearn.datasets import make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

from relume import nn
from relume.sklearn import MLPClassifier

X, y = make_classification(6000, n_features=20, n_informative=8, flip_y=0.15, random_state=1)
X = X.astype("float32")
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.5, random_state=0)

settings = {"hidden_layer_sizes": (64, 64), "learning_rate_init": 0.003, "random_state": 0}
long_fit = {**settings, "max_iter": 80, "n_iter_no_change": 80}
smoothed = nn.BinaryCrossEntropy(label_smoothing=0.2)
models = {
    "trained for long": MLPClassifier(**long_fit),
    "early stopping": MLPClassifier(**settings, early_stopping=True, n_iter_no_change=5),
    "label smoothing": MLPClassifier(**long_fit, loss=smoothed),
    "calibrated afterwards": CalibratedClassifierCV(
        MLPClassifier(**long_fit), method="isotonic", cv=3
    ),
}
with warnings.catch_warnings():
    warnings.simplefilter("ignore", ConvergenceWarning)  # the long fits are meant to be long
    for model in models.values():
        model.fit(X_train, y_train)

# %%
# The reliability diagram
# -----------------------
#
# Predicted probabilities are sorted into ten bins; each point is the share of positives in a bin.
# On the diagonal, probabilities mean what they say. The log loss in the legend is lower for better
# probabilities.

figure, axes = plt.subplots(figsize=(6, 5), layout="constrained")
axes.plot([0, 1], [0, 1], color="gray", linestyle=":")
for (name, model), marker in zip(models.items(), "osD^", strict=True):
    probability = model.predict_proba(X_test)[:, 1]
    share, predicted = calibration_curve(y_test, probability, n_bins=10)
    loss = log_loss(y_test, probability)
    axes.plot(predicted, share, marker=marker, label=f"{name}, log loss {loss:.2f}")
    print(f"{name:22} log loss {loss:.3f}, accuracy {model.score(X_test, y_test):.3f}")
axes.set(
    title="Reliability of probabilities",
    xlabel="predicted probability",
    ylabel="share of positives",
)
axes.legend()
plt.show()

# %%
# One number: the expected calibration error
# ------------------------------------------
#
# The mean distance from the diagonal, weighted by the number of rows in each bin.


def calibration_error(y_true, probability, n_bins=10):
    bins = np.minimum((probability * n_bins).astype(int), n_bins - 1)
    sums = np.bincount(bins, weights=y_true - probability, minlength=n_bins)
    return np.abs(sums).sum() / len(y_true)


for name, model in models.items():
    print(f"{name:22} {calibration_error(y_test, model.predict_proba(X_test)[:, 1]):.3f}")

# %%
# Next
# ----
#
# - Uncertainty of a predicted number, not of a class:
#   :ref:`sphx_glr_tasks_data_plot_quantile_uncertainty.py`.
# - The callback `relume.nn.EarlyStopping` stops a network of `relume.nn` in the same way.
