"""One training epoch on the digits, 64-64-32-10, batches of 32."""

from relume import datasets, nn


class Training:
    params = [["relu", "leaky_relu", "sigmoid", "tanh"], ["float32", "float64"]]
    param_names = ["activation", "dtype"]

    def setup(self, activation, dtype):
        X, self.y = datasets.load_digits(return_X_y=True)
        self.X = (X / 16).astype(dtype)
        hidden = [nn.Dense(units, activation=activation) for units in (64, 32)]
        self.net = nn.Network([*hidden, nn.Dense(10)], seed=0, dtype=dtype)
        self.net.fit(self.X, self.y, batch_size=32)

    def time_epoch(self, activation, dtype):
        self.net.fit(self.X, self.y, batch_size=32)

    def time_predict_one_row(self, activation, dtype):
        self.net.predict_proba(self.X[:1])

    def peakmem_epoch(self, activation, dtype):
        self.net.fit(self.X, self.y, batch_size=32)


class Import:
    def timeraw_import(self):
        return "import relume"

    def timeraw_import_numpy(self):
        return "import numpy"
