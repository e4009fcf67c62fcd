"""Training and prediction on the digits, 64-64-32-10, batch size 32, with the default threads."""

from relume import datasets, nn

from .calls import DTYPES, Timed, named


def digits(dtype):
    X, y = datasets.load_digits(return_X_y=True)
    return (X / 16).astype(dtype), y


def fitted(activation, dtype):
    """A network after one epoch, and its data."""
    X, y = digits(dtype)
    hidden = [nn.Dense(units, activation=activation) for units in (64, 32)]
    net = nn.Network([*hidden, nn.Dense(10)], seed=0, dtype=dtype)
    net.fit(X, y, batch_size=32)
    return net, X, y


class Training(Timed):
    params = [["relu", "leaky_relu", "sigmoid", "tanh"], DTYPES[:2]]
    param_names = ["activation", "dtype"]

    def setup(self, activation, dtype):
        self.net, self.X, self.y = fitted(activation, dtype)

    @named("Training: one epoch of the digits")
    def time_epoch(self, activation, dtype):
        self.net.fit(self.X, self.y, batch_size=32)

    @named("Training: peak memory of an epoch")
    def peakmem_epoch(self, activation, dtype):
        self.net.fit(self.X, self.y, batch_size=32)


class Prediction(Timed):
    params = [[1, 32, 1797], DTYPES[:2]]
    param_names = ["rows", "dtype"]

    def setup(self, rows, dtype):
        self.net, X, _ = fitted("relu", dtype)
        self.X = X[:rows]

    @named("Prediction: latency of predict_proba")
    def time_predict_proba(self, rows, dtype):
        self.net.predict_proba(self.X)
