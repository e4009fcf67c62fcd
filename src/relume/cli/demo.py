"""The command `relume demo`: train the same network with four activations on real data."""

import time

import relume
from relume import nn
from relume.datasets.held_out import load_digits, load_fashion_mnist

HIDDEN_ACTIVATIONS = ["relu", "leaky_relu", "tanh", "sigmoid"]
GOAL = 0.95  # held-out accuracy; the table gives the number of epochs to reach it


# data set: (loader, units of the hidden layers, batch size, epochs)
JOBS = {
    "digits": (load_digits, [256, 128], 32, 60),
    "fashion-mnist": (load_fashion_mnist, [256, 128], 128, 10),
}


def hidden_outputs(net, X):
    """Compute the outputs of each hidden layer from the network's weights."""
    values = list(net.state_dict().values())
    for layer, weight, bias in zip(net.layers[:-1], values[::2], values[1::2], strict=False):
        X = getattr(relume, layer.activation.name)(
            X @ weight.T + bias, **layer.activation.parameters
        )
        yield X


def run(name, out=print):
    """Train the network with each activation and print a table; return the table's rows."""
    load, units, batch_size, epochs = JOBS[name]
    X, y, X_test, y_test = load()
    shape = "-".join(map(str, [X.shape[1], *units, 10]))
    out(
        f"{name}: {len(X)} training images, {len(X_test)} held-out images; network {shape}, "
        f"Adam, batch size {batch_size}, {epochs} epochs"
    )
    table = []
    for activation in HIDDEN_ACTIVATIONS:
        out(f"\ntraining with {activation} ...")
        layers = [*(nn.Dense(n, activation=activation) for n in units), nn.Dense(10)]
        net = nn.Network(layers, optimizer=nn.Adam(1e-3), seed=0)
        begin = time.perf_counter()
        history = net.fit(
            X,
            y,
            epochs=epochs,
            batch_size=batch_size,
            validation_data=(X_test, y_test),
            progress=True,
        )
        seconds = time.perf_counter() - begin
        table.append(row_of(activation, net, history, X, seconds))
    out("\n" + format_table(table))
    return table


def row_of(activation, net, history, X, seconds):
    """The row of the table for one network."""
    accuracy = history["val_accuracy"]
    reached = [epoch for epoch, share in enumerate(accuracy, 1) if share >= GOAL]
    zeros, units, dead = 0.0, 0, 0
    for outputs in hidden_outputs(net, X):
        zero = outputs == 0
        zeros += zero.mean(axis=0).sum()
        dead += int(zero.all(axis=0).sum())
        units += outputs.shape[1]
    return {
        "activation": activation,
        "seconds": seconds,
        "epochs to 95 %": reached[0] if reached else None,
        "held-out accuracy": accuracy[-1],
        "zeros": zeros / units,
        "dead units": f"{dead} of {units}",
    }


def format_table(table):
    """The table as text, with one column for each measurement."""
    formats = {"seconds": "{:.2f}", "held-out accuracy": "{:.2%}", "zeros": "{:.1%}"}
    cells = [
        {
            key: formats.get(key, "{}").format("-" if value is None else value)
            for key, value in row.items()
        }
        for row in table
    ]
    widths = {key: max(len(key), *(len(row[key]) for row in cells)) for key in cells[0]}
    lines = ["  ".join(f"{key:>{width}}" for key, width in widths.items())]
    lines += ["  ".join(f"{row[key]:>{width}}" for key, width in widths.items()) for row in cells]
    return "\n".join(lines)
