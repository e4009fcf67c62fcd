"""
Tables with categories and missing values
=========================================

A table with numbers, categories and gaps becomes input for a network in a scikit-learn
``Pipeline``: fill the gaps, scale the numbers, encode the categories one-hot, then train
`relume.sklearn.MLPClassifier`. One object is fitted, searched, saved and used.

**In short**: let a ``ColumnTransformer`` do the preparation inside the pipeline. Then
cross-validation never sees the test rows, and new rows with unknown categories still work.
"""

# %%
# A table
# -------
#
# Generated, so that this page needs no download: customers of a shop, of whom some leave.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.inspection import permutation_importance
from sklearn.model_selection import cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from relume.sklearn import MLPClassifier

rng = np.random.default_rng(0)
n = 4000
table = pd.DataFrame(
    {
        "age": rng.normal(45, 15, n).clip(18, 90).round(),
        "monthly_fee": rng.gamma(4, 10, n).round(2),
        "contract": rng.choice(["monthly", "yearly", "two years"], n, p=[0.5, 0.3, 0.2]),
        "region": rng.choice(["north", "east", "south", "west"], n),
    }
)
risk = (
    0.03 * (table["monthly_fee"] - 40)
    + 1.2 * (table["contract"] == "monthly")
    - 0.03 * (table["age"] - 45)
)
leaves = np.where(rng.random(n) < 1 / (1 + np.exp(-(risk - 1))), "leaves", "stays")
table.loc[rng.random(n) < 0.1, "age"] = np.nan  # a tenth of the ages are unknown
table.loc[rng.random(n) < 0.05, "contract"] = None
print(table.head())

# %%
# The pipeline
# ------------
#
# ``add_indicator`` tells the network which numbers were missing, and ``handle_unknown="ignore"``
# gives a category that was not in the training rows a row of zeros.

numbers = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
categories = make_pipeline(
    SimpleImputer(strategy="constant", fill_value="missing"),
    OneHotEncoder(handle_unknown="ignore", sparse_output=False),
)
prepare = ColumnTransformer(
    [
        ("numbers", numbers, ["age", "monthly_fee"]),
        ("categories", categories, ["contract", "region"]),
    ]
)
model = make_pipeline(
    prepare,
    MLPClassifier((32, 16), dropout=0.1, early_stopping=True, dtype="float32", random_state=0),
)

train, test, y_train, y_test = train_test_split(table, leaves, random_state=0, stratify=leaves)
scores = cross_val_score(model, train, y_train, cv=3, scoring="roc_auc")
print("ROC AUC of three folds:", scores.round(3))

# %%
# Which columns matter
# --------------------
#
# Permutation importance shuffles one column of the table at a time, before the preparation, and
# measures how much the score falls. ``region`` had no influence when the table was generated.

model.fit(train, y_train)
importance = permutation_importance(
    model, test, y_test, scoring="roc_auc", n_repeats=10, random_state=0
)
figure, axes = plt.subplots(figsize=(7, 3), layout="constrained")
order = importance.importances_mean.argsort()
axes.boxplot(
    importance.importances[order].T, orientation="horizontal", tick_labels=table.columns[order]
)
axes.set(title="How much ROC AUC falls if a column is shuffled", xlabel="decrease of ROC AUC")
plt.show()

# %%
# A new row
# ---------
#
# A gap and a category that the model has never seen are no errors.

new = pd.DataFrame(
    {"age": [np.nan], "monthly_fee": [80.0], "contract": ["weekly"], "region": ["north"]}
)
for label, probability in zip(model.classes_, model.predict_proba(new)[0], strict=True):
    print(f"{label}: {probability:.2f}")

# %%
# Next
# ----
#
# - :doc:`/scikit_learn_estimators` lists the estimator's parameters.
# - Few rows of one class? See :ref:`sphx_glr_tasks_data_plot_class_imbalance.py`.
