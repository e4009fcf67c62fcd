"""PyTorch: a Sequential and its fastest Adam, op by op or with the step compiled."""

import torch
from problems import BETAS, EPS, LEARNING_RATE, weights_of_state_dict
from torch.nn import Linear, ReLU, Sequential
from torch.nn.functional import cross_entropy

from . import Fit


def set_up(threads, **arguments):
    torch.set_num_threads(threads)


def network(problem):
    modules = []
    for weight, _ in problem.weights:
        modules += [Linear(*weight.shape), ReLU()]
    model = Sequential(*modules[:-1])
    load(model, problem)
    return model


def load(model, problem):
    state = {name: torch.from_numpy(value) for name, value in problem.state_dict().items()}
    model.load_state_dict(state)


def training(problem, compiled=False):
    model, X, y = network(problem), torch.from_numpy(problem.X), torch.from_numpy(problem.y)
    optimizer = torch.optim.Adam(  # "fused" is the faster one, but not what can be compiled
        model.parameters(), lr=LEARNING_RATE, betas=BETAS, eps=EPS, fused=not compiled
    )
    rng = None

    def step(rows, labels):
        optimizer.zero_grad(set_to_none=True)
        cross_entropy(model(rows), labels).backward()
        optimizer.step()

    step = torch.compile(step) if compiled else step

    def reset():
        nonlocal rng
        load(model, problem)
        for state in optimizer.state.values():  # new tensors would have to be compiled again
            for value in state.values():
                value.zero_()
        rng = problem.rng()

    def run(epochs, n):
        for _ in range(epochs):
            for rows in torch.from_numpy(rng.permutation(n)).split(problem.batch_size):
                step(X[rows], y[rows])

    def weights():
        state = model.state_dict()
        return weights_of_state_dict({name: value.numpy() for name, value in state.items()})

    return Fit(reset, run, weights)


def prediction(problem, compiled=False):
    model, X = network(problem), problem.X
    model = torch.compile(model) if compiled else model

    def predict():
        with torch.no_grad():
            return torch.softmax(model(torch.from_numpy(X)), 1).numpy()

    return predict
