"""relume.nn."""

import inspect

from problems import EPS, LEARNING_RATE, SEED, weights_of_state_dict

import relume
from relume import nn
from relume.functional.activations import ROWS

from . import Fit, NotBuilt


def set_up(threads, **arguments):
    relume.set_num_threads(threads)


def network(problem, sparse=None, activation="relu"):
    """A network with the problem's weights and a fresh random state."""
    options = {} if sparse is None else {"sparse": sparse}
    if missing := set(options) - set(inspect.signature(nn.Network).parameters):
        raise NotBuilt(f"nn.Network has no argument {', '.join(missing)}")
    *hidden, last = problem.layers[1:]
    layers = [*(nn.Dense(n, activation=activation) for n in hidden), nn.Dense(last)]
    net = nn.Network(layers, optimizer=nn.Adam(LEARNING_RATE, eps=EPS), seed=SEED, **options)
    net.load_state_dict(problem.state_dict())
    return net


def training(problem, **arguments):
    net = network(problem, **arguments)
    start = net.snapshot()

    def reset():
        net.restore(start)

    def run(epochs, n):
        net.fit(problem.X[:n], problem.y[:n], epochs=epochs, batch_size=problem.batch_size)

    return Fit(reset, run, lambda: weights_of_state_dict(net.state_dict()))


def prediction(problem, **arguments):
    net, X = network(problem, **arguments), problem.X
    return lambda: net.predict_proba(X)


def layer(problem, sparse=None):
    net, X = network(problem._replace(weights=problem.weights[:1]), sparse), problem.X
    return lambda: net.forward(X)


def ufunc(name, direction):
    """A function of the gradient, the input and the output array. Parameters are 0.25."""
    backward = "" if direction == "forward" else "_backward"
    function = getattr(relume, f"{name}{backward}")
    names = filter(None, ROWS[name]["parameters"].split(","))
    parameters = [0.25 for each in names if "=" not in each]  # those without a default
    if backward:
        return lambda g, x, out: function(g, x, *parameters, out=out)
    return lambda g, x, out: function(x, *parameters, out=out)
