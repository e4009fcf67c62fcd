"""
Class imbalance and thresholds
==============================

One row in fifty is a fraud, a defect or an illness. A network that always says "no" is right in
98 % of cases, and useless. This page shows what class weights do, what a threshold does, and how
to choose the threshold from costs.

**In short**: never judge by accuracy. Train on the rows as they are and choose the threshold from
your costs, or weigh the classes with ``class_weight="balanced"``: both find far more positives
than the default. Weights need no search, but the probabilities are no longer those of the data.
"""

# %%
# Rare positives
# --------------

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_classification
from sklearn.metrics import (
    balanced_accuracy_score,
    make_scorer,
    precision_recall_curve,
    recall_score,
)
from sklearn.model_selection import TunedThresholdClassifierCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from relume import nn
from relume.sklearn import MLPClassifier

X, y = make_classification(
    20_000,
    n_features=10,
    n_informative=6,
    weights=[0.98],
    class_sep=1.2,
    flip_y=0.005,
    random_state=0,
)
X = X.astype("float32")
X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)
print(f"{y_train.mean():.1%} of the training rows are positive")


def classifier(**settings):
    return make_pipeline(
        StandardScaler(), MLPClassifier((32,), early_stopping=True, random_state=0, **settings)
    )


plain = classifier().fit(X_train, y_train)
balanced = classifier(class_weight="balanced").fit(X_train, y_train)
for name, model in {"as they are": plain, "balanced weights": balanced}.items():
    predicted = model.predict(X_test)
    print(
        f"{name:17} accuracy {model.score(X_test, y_test):.3f}  "
        f"balanced accuracy {balanced_accuracy_score(y_test, predicted):.3f}  "
        f"recall {recall_score(y_test, predicted):.3f}"
    )

# %%
# The threshold decides
# ---------------------
#
# Both models order the rows almost equally well. What differs is where the line is drawn: the dots
# are the default threshold of 0.5.

figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
for name, model in {"as they are": plain, "balanced weights": balanced}.items():
    probability = model.predict_proba(X_test)[:, 1]
    precision, recall, thresholds = precision_recall_curve(y_test, probability)
    (line,) = axes.plot(recall, precision, label=name)
    half = np.searchsorted(thresholds, 0.5)
    axes.plot(recall[half], precision[half], "o", color=line.get_color(), markersize=9)
axes.set(
    title="Precision and recall of rare positives",
    xlabel="recall: share of positives that are found",
    ylabel="precision: share of alarms that are right",
)
axes.legend()
plt.show()

# %%
# A threshold from costs
# ----------------------
#
# Suppose that a missed positive costs 500 and a false alarm 10. scikit-learn's
# ``TunedThresholdClassifierCV`` chooses the threshold with the lowest cost by cross-validation.


def gain(y_true, y_pred):
    missed = ((y_true == 1) & (y_pred == 0)).sum()
    alarms = ((y_true == 0) & (y_pred == 1)).sum()
    return -(500 * missed + 10 * alarms) / len(y_true)


tuned = TunedThresholdClassifierCV(classifier(), scoring=make_scorer(gain), cv=3, random_state=0)
tuned.fit(X_train, y_train)
print(f"threshold {tuned.best_threshold_:.3f}")
for name, model in {"0.5": plain, "tuned": tuned, "balanced": balanced}.items():
    print(f"cost per row, {name:9} {-gain(y_test, model.predict(X_test)):.2f}")

# %%
# In a network of `relume.nn`
# ---------------------------
#
# ``fit(class_weight="balanced")`` weighs rows, and ``nn.BinaryCrossEntropy(pos_weight=50)`` weighs
# the positives of each output. ``metrics=["balanced_accuracy"]`` reports a measure that a constant
# answer cannot win.

net = nn.Network(
    [nn.Standardize(), nn.Dense(32, "relu"), nn.Dense(1)],
    loss=nn.BinaryCrossEntropy(pos_weight=50),
    metrics=["balanced_accuracy"],
    seed=0,
)
history = net.fit(X_train, y_train, epochs=10, validation_data=(X_test, y_test))
print("balanced accuracy by epoch:", np.round(history["val_balanced_accuracy"], 3))

# %%
# ``predict`` draws the line at a probability of 0.5. For another threshold, compare the second
# column of ``predict_proba``, the probability of class 1.

for threshold in (0.5, 0.9):
    alarms = net.predict_proba(X_test)[:, 1] > threshold
    print(f"threshold {threshold}: {alarms.sum()} alarms, cost {-gain(y_test, alarms):.2f} a row")

# %%
# Next
# ----
#
# - Weighted probabilities are too high;
#   :ref:`sphx_glr_tasks_data_plot_calibration.py` repairs them.
# - :doc:`/training` describes weights of rows and classes.
