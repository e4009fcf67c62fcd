"""The command `relume demo`: train the same network with four activations on real data."""

import argparse
import sys
import time

import relume
from relume import nn
from relume.cli import terminal
from relume.datasets.held_out import load_digits_split, load_fashion_mnist_split

HIDDEN_ACTIVATIONS = ["relu", "leaky_relu", "tanh", "sigmoid"]
GOAL = 0.95  # held-out accuracy; the table gives the number of epochs to reach it


# data set: (loader, units of the hidden layers, batch size, epochs)
JOBS = {
    "digits": (load_digits_split, [256, 128], 32, 60),
    "fashion-mnist": (load_fashion_mnist_split, [256, 128], 128, 10),
}
# Columns of the table: their heads and formats.
COLUMNS = {
    "activation": ("activation", "{}"),
    "seconds": ("seconds", "{:.2f}"),
    "epochs_to_goal": (f"epochs to {GOAL:.0%}", "{}"),
    "accuracy": ("held-out accuracy", "{:.2%}"),
    "zeros": ("zeros", "{:.1%}"),
    "dead_units": ("dead units", "{}"),
    "hidden_units": ("hidden units", "{}"),
}


def hidden_outputs(net, X):
    """Compute the outputs of each hidden layer from the network's weights."""
    values = list(net.state_dict().values())
    for layer, weight, bias in zip(net.layers[:-1], values[::2], values[1::2], strict=False):
        X = getattr(relume, layer.activation.name)(
            X @ weight.T + bias, **layer.activation.parameters
        )
        yield X


def run(options: argparse.Namespace) -> int:
    """Train the network with each activation and print a table; return the exit status."""
    load, units, batch_size, epochs = JOBS[options.data]
    X, y, X_test, y_test = load()
    setting = {
        "data": options.data, "training_images": len(X), "held_out_images": len(X_test),
        "network": "-".join(map(str, [X.shape[1], *units, 10])), "optimizer": "Adam",
        "batch_size": batch_size, "epochs": epochs,
    }  # fmt: skip
    if not options.json:
        print(
            f"{options.data}: {len(X)} training images, {len(X_test)} held-out images; network "
            f"{setting['network']}, Adam, batch size {batch_size}, {epochs} epochs\n"
        )
    table = []
    for activation in HIDDEN_ACTIVATIONS:
        print(f"training with {activation} ...", file=sys.stderr, flush=True)
        layers = [*(nn.Dense(n, activation=activation) for n in units), nn.Dense(10)]
        net = nn.Network(layers, optimizer=nn.Adam(1e-3), seed=0)
        begin = time.perf_counter()
        history = net.fit(
            X,
            y,
            epochs=epochs,
            batch_size=batch_size,
            validation_data=(X_test, y_test),
            progress=sys.stderr.isatty(),
        )
        seconds = time.perf_counter() - begin
        table.append(row_of(activation, net, history, X, seconds))
    if options.json:
        terminal.print_json({**setting, "results": table})
    else:
        print("\n".join(format_table(table)))
    return terminal.DONE


def row_of(activation, net, history, X, seconds):
    """The row of the table for one network."""
    accuracy = history["val_accuracy"]
    reached = [epoch for epoch, share in enumerate(accuracy, 1) if share >= GOAL]
    zeros, units, dead = 0.0, 0, 0
    for outputs in hidden_outputs(net, X):
        zero = outputs == 0
        zeros += float(zero.mean(axis=0).sum())
        dead += int(zero.all(axis=0).sum())
        units += outputs.shape[1]
    return {
        "activation": activation,
        "seconds": seconds,
        "epochs_to_goal": reached[0] if reached else None,
        "accuracy": accuracy[-1],
        "zeros": zeros / units,
        "dead_units": dead,
        "hidden_units": units,
    }


def format_table(table):
    """The lines of the table, with one column for each measurement; the best row stands out."""
    cells = [[head for head, _ in COLUMNS.values()]]
    for row in table:
        cells.append(
            [
                "-" if row[key] is None else form.format(row[key])
                for key, (_, form) in COLUMNS.items()
            ]
        )
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True))
        for row in cells
    ]
    best = max(range(len(table)), key=lambda i: table[i]["accuracy"])
    lines[0] = terminal.styled(lines[0], "bold")
    lines[best + 1] = terminal.styled(lines[best + 1], "green")
    return lines
