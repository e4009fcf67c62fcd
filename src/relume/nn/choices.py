"""What a network has chosen by measuring on this machine, and the times that it chose by."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from relume.nn.network import Network


class ProductChoice(NamedTuple):
    """Whether a matrix product skips zeros, and why.

    Attributes
    ----------
    layer : str
        The layer as `Network.state_dict` names it: ``"0"`` for the weights ``"0.weight"``.
    product : {"one row", "forward", "gradient"}
        The product of one row, of many rows, or the gradient of the weights.
    skips : bool
        Whether it skips zeros.
    zeros : float
        The share of zeros in its input when they were last counted.
    pays_from : float
        The share of zeros from which skipping them is faster: 0 for always, infinity for never.
    dense_us, skipping_us : float
        Microseconds for a row of the product, without skipping and with it.
    """

    layer: str
    product: str
    skips: bool
    zeros: float
    pays_from: float
    dense_us: float
    skipping_us: float


class Choices(NamedTuple):
    """What `Network.choices` returns; ``print`` shows it as a table.

    Attributes
    ----------
    products : list of ProductChoice
        The products that have been timed so far.
    step_threads : int
        Number of threads of a training step; 0 before the first one.
    step_us : dict of int to float
        Microseconds of a training step for each row, by the number of threads; empty if there is
        no choice, with one thread.
    prediction_us : float
        Microseconds of a prediction for each row, on one thread; an estimate before the first one
        of 16 rows or more.
    threads_from : int
        Number of rows from which a prediction uses all threads.
    """

    products: list[ProductChoice]
    step_threads: int
    step_us: dict[int, float]
    prediction_us: float
    threads_from: int

    def __str__(self) -> str:
        lines = [
            f"{'layer':<12} {'product':<9} {'zeros':>6} {'pays from':>9} {'skips':>5} "
            f"{'dense us':>9} {'skipping us':>11}"
        ]
        for each in self.products:
            pays = "never" if each.pays_from > 1 else f"{each.pays_from:.2f}"
            lines.append(
                f"{each.layer:<12} {each.product:<9} {each.zeros:6.2f} {pays:>9} "
                f"{'yes' if each.skips else 'no':>5} {each.dense_us:9.3f} {each.skipping_us:11.3f}"
            )
        times = "".join(f"; {us:.3f} us a row with {n}" for n, us in self.step_us.items())
        lines.append(f"threads of a training step: {self.step_threads}{times}")
        lines.append(
            f"threads of a prediction: all from {self.threads_from} rows on; "
            f"{self.prediction_us:.3f} us a row with 1"
        )
        return "\n".join(lines)


def choices_of(net: Network) -> Choices:
    """The choices of a network that is built."""
    weights = net._built()
    products, step_threads, step_seconds, row_seconds, parallel_rows = weights.plan.choices()
    found = []
    for op, product, skips, zeros, pays_from, dense, skipping in products:
        limit = math.inf if pays_from > 1 else max(pays_from, 0.0)
        layer = weights.specs[op].name
        found.append(
            ProductChoice(layer, product, skips, zeros, limit, 1e6 * dense, 1e6 * skipping)
        )
    times = {threads: 1e6 * seconds for threads, seconds in step_seconds.items()}
    return Choices(found, step_threads, times, 1e6 * row_seconds, math.ceil(parallel_rows))
