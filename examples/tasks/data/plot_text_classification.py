"""
Text classification with sparse features
========================================

Texts become rows of word counts with thousands of columns, of which nearly all are 0. relume
trains on SciPy's sparse matrices as they are: they are never made dense.

**In short**: ``make_pipeline(TfidfVectorizer(), MLPClassifier(dtype="float32"))``.
"""

# %%
# Texts
# -----
#
# Generated, so that this page needs no download: short reports about three kinds of trouble, with
# typing errors and words that tell nothing.

import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import ConfusionMatrixDisplay
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from relume.sklearn import MLPClassifier

WORDS = {
    "network": "router cable signal wifi lost slow packet connection drops antenna modem",
    "printer": "paper jam toner ink tray page smears print cartridge scanner roller",
    "account": "password login locked reset user mail expired access denied token role",
}
COMMON = "the a it is was since today again please help my office desk error does not work"


def report(rng, kind):
    words = list(rng.choice(COMMON.split(), 12))
    words += list(rng.choice(WORDS[kind].split(), rng.integers(1, 4)))
    if rng.random() < 0.3:  # a word of another kind
        words += list(rng.choice(WORDS[rng.choice(list(WORDS))].split(), 1))
    for i in np.flatnonzero(rng.random(len(words)) < 0.1):  # a typing error
        cut = rng.integers(len(words[i]))
        words[i] = words[i][:cut] + words[i][cut + 1 :]
    rng.shuffle(words)
    return " ".join(words)


rng = np.random.default_rng(0)
kinds = rng.choice(list(WORDS), 6000)
texts = [report(rng, kind) for kind in kinds]
print(texts[0], "->", kinds[0])

# %%
# Words and pieces of words
# -------------------------
#
# Character n-grams forgive typing errors, and make thousands of columns.

X_train, X_test, y_train, y_test = train_test_split(texts, kinds, random_state=0)
model = make_pipeline(
    TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), dtype=np.float32),
    MLPClassifier((64,), early_stopping=True, n_iter_no_change=3, random_state=0),
)
begin = time.perf_counter()
model.fit(X_train, y_train)
matrix = model[0].transform(X_train)
print(
    f"{matrix.shape[0]:,} rows, {matrix.shape[1]:,} columns, "
    f"{matrix.nnz / np.prod(matrix.shape):.1%} of the elements are not 0; "
    f"{time.perf_counter() - begin:.1f} s; accuracy {model.score(X_test, y_test):.3f}"
)

# %%
# What is confused
# ----------------

figure, axes = plt.subplots(figsize=(5, 4), layout="constrained")
ConfusionMatrixDisplay.from_estimator(model, X_test, y_test, ax=axes, colorbar=False, cmap="Blues")
axes.set_title("Reports by kind")
plt.show()

# %%
# A new text
# ----------

for text in ["my pasword is expird again", "the wfi signal is lost", "please help today"]:
    probability = model.predict_proba([text])[0]
    print(f"{text:28} {model.classes_[probability.argmax()]:8} {probability.max():.2f}")

# %%
# Next
# ----
#
# - `relume.nn.Network` takes sparse matrices too; its first layer must be a ``Dense``.
# - :doc:`/scikit_learn_estimators` describes `relume.sklearn.MLPClassifier`.
