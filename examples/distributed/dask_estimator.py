"""A classifier around fit and predict on a Dask cluster: python dask_estimator.py"""

import dask.array as da
import numpy as np
from distributed import Client, LocalCluster

from relume import nn
from relume.distributed import dask


class DaskClassifier:
    """Labels of any kind; the classes are the union over all partitions."""

    def __init__(self, hidden=64, epochs=5, groups=8, batch_size=16_384, seed=0):
        self.hidden, self.epochs, self.groups = hidden, epochs, groups
        self.batch_size, self.seed = batch_size, seed

    def fit(self, X, y):
        """Learn the classes, and train a network."""
        self.classes_ = classes = da.unique(y).compute()
        labels = y.map_blocks(lambda part: np.searchsorted(classes, part), dtype="int64")
        layers = [nn.Dense(self.hidden, activation="relu"), nn.Dense(max(len(classes), 2))]
        self.net_ = nn.Network(layers, seed=self.seed)
        dask.fit(self.net_, X, labels, groups=self.groups, epochs=self.epochs,
                 batch_size=self.batch_size)  # fmt: skip
        return self

    def predict(self, X):
        """Labels, lazily."""
        classes = self.classes_
        return dask.predict(self.net_, X).map_blocks(lambda k: classes[k], dtype=classes.dtype)

    def predict_proba(self, X):
        """Probabilities of the classes, lazily."""
        return dask.predict_proba(self.net_, X)


if __name__ == "__main__":
    with LocalCluster(n_workers=2, threads_per_worker=1) as cluster, Client(cluster):
        X = da.random.default_rng(0).standard_normal((50_000, 20), chunks=(10_000, 20))
        y = da.where(X[:, 0] > X[:, 1], "left", "right")
        model = DaskClassifier(groups=4, batch_size=8192).fit(X, y)
        print("accuracy", (model.predict(X) == y).mean().compute())
