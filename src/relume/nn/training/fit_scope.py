"""What surrounds the epochs of a fit: its history, and its callbacks with their saved state."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from relume.nn.callbacks.callback import Hooks
from relume.nn.training.history import History

if TYPE_CHECKING:
    from relume.nn.network import Network


@contextmanager
def fit_scope(
    net: Network, hooks: Hooks, failed: Callable[[str, Exception], Any]
) -> Iterator[tuple[History, bool]]:
    """Call the hooks of a fit's beginning and end, and keep its history and callbacks' states.

    An interrupt ends a fit as its last epoch does: `on_fit_end` is called before it is passed on.

    Parameters
    ----------
    net : Network
    hooks : Hooks
    failed : callable
        Called with "hook" and the error where a callback raises at the beginning.

    Yields
    ------
    history : History
        Of this fit; it is the network's from now on.
    done : bool
        Whether the fit continues one that had been ended by a callback, so that no epoch is left.
    """
    net._history = history = History()
    saved = net._callback_states if net._resumes else []
    epoch, complete = net.epoch, False
    net._hooks = hooks
    try:
        try:
            hooks.call("on_fit_begin", net)
            done = hooks.resume(saved)
        except Exception as error:
            failed("hook", error)
            raise
        try:
            yield history, done
        except KeyboardInterrupt:
            hooks.call("on_fit_end", net)
            raise
        hooks.call("on_fit_end", net)
        complete = True
    finally:
        net._hooks = None
        history.layers = hooks.records
        # A fit that failed in its first epoch can be repeated with the same saved states.
        if complete or net.epoch != epoch:
            net._callback_states, net._resumes = hooks.states(), False
