"""Ctrl-C in `train_on_batch` and `step`: the step is made and counted, or not made."""

import os
import sys

import numpy as np
import pytest

import relume
from relume import nn
from tests.support import twin as plain

FOLDER = os.path.dirname(relume.__file__)
X, Y = plain.data(12, 4, 3)


def network(optimizer):
    layers = [nn.Dense(6, activation="relu"), nn.BatchNorm(), nn.Dropout(0.3), nn.Dense(3)]
    return nn.Network(layers, optimizer=optimizer, seed=0)


def traced(function, at=None):
    """Call a function, with KeyboardInterrupt before bytecode number `at` of relume.

    Returns the number of bytecodes, or None where the function was interrupted.
    """
    seen = 0

    def trace(frame, event, _):
        nonlocal seen
        if not frame.f_code.co_filename.startswith(FOLDER):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            seen += 1
            if seen == at:
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function()
    except KeyboardInterrupt:
        return None
    finally:
        sys.settrace(before)
    return seen


def spread(count, n=100):
    """Every bytecode of a part of them, alternating."""
    return np.unique(np.linspace(1, count, n).astype(int)).tolist()


def begin_step(net):
    z = net.forward(X, training=True)
    net.backward(z - np.eye(3)[Y])


@pytest.mark.parametrize("built", [True, False])
@pytest.mark.parametrize("optimizer", [nn.NAdam(0.01, ema_decay=0.9), nn.SGD(0.1, 0.9)], ids=repr)
def test_train_on_batch(optimizer, built):
    """Interrupted where a step was made, it was not counted, or counted and drawn anew."""

    def begun():
        net = network(optimizer)
        if built:
            net.train_on_batch(X, Y)
        return net

    whole = begun()
    count = traced(lambda: whole.train_on_batch(X, Y))
    whole.train_on_batch(X, Y)
    steps = whole._weights.steps
    for at in spread(count):
        net = begun()
        assert traced(lambda net=net: net.train_on_batch(X, Y), at) is None
        made = 0 if net._weights is None else net._weights.steps
        for _ in range(steps - made):
            net.train_on_batch(X, Y)
        assert net._weights.steps == steps
        plain.assert_same_bits(net, whole, f"interrupted at {at} of {count}, {made} steps made")


@pytest.mark.parametrize("optimizer", [nn.NAdam(0.01, ema_decay=0.9), nn.SGD(0.1, 0.9)], ids=repr)
def test_step(optimizer):
    """Interrupted between forgetting the gradients and the step, it was lost; after it, made twice
    if the gradients were still there."""
    whole = network(optimizer)
    begin_step(whole)
    count = traced(whole.step)
    begin_step(whole)
    whole.step()
    outcomes = set()
    for at in spread(count):
        net = network(optimizer)
        begin_step(net)
        assert traced(net.step, at) is None
        outcomes.add(net._weights.steps)
        if net._weights.steps == 0:
            net.step()
        with pytest.raises(RuntimeError, match="no gradients"):
            net.step()
        begin_step(net)
        net.step()
        assert net._weights.steps == 2
        plain.assert_same_bits(net, whole, f"interrupted at {at} of {count}")
    assert 0 in outcomes
