"""The learning rates that are usual, and what to try instead of one that is too high."""

from relume.nn.optimizers.optimizers import SGD, Lion, Optimizer


def usual_rate(optimizer):
    """A learning rate at which networks of this size learn well under an optimizer."""
    if isinstance(optimizer, SGD):
        return 0.1 * (1 - optimizer.momentum)
    return 1e-4 if isinstance(optimizer, Lion) else 1e-3


def rate_excess(net):
    """How many times the usual rate that of a network is; 1 where it has none."""
    if not isinstance(net.optimizer, Optimizer):
        return 1.0
    return net.optimizer.lr / max(usual_rate(net.optimizer), 1e-12)


def lower_rate(net):
    """What to try instead of a rate that is too high: a tenth, or ten times the usual one."""
    rate = min(net.optimizer.lr / 10, 10 * usual_rate(net.optimizer))
    return float(f"{rate:.1g}")
