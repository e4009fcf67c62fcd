"""The return type of the loaders: a dict whose keys are also attributes."""

import reprlib
from typing import Any

from numpy.typing import NDArray


class Bunch(dict[str, Any]):
    """A dict whose keys are also attributes. Its constructor is that of dict.

    The ``repr`` has one line per key and shows the dtype and shape of an array instead of its
    values. A key that is also the name of a dict method, such as ``"items"``, is available by
    subscription only.

    Raises
    ------
    AttributeError
        If an attribute is read that is neither a key nor a dict method. The message lists the
        keys.

    See Also
    --------
    load_digits : Returns its data in a Bunch.
    load_fashion_mnist : Returns its data in a Bunch.

    Examples
    --------
    >>> import numpy as np
    >>> from relume.datasets import Bunch
    >>> bunch = Bunch(data=np.zeros((3, 2)), names=["a", "b"])
    >>> bunch.names is bunch["names"]
    True
    >>> bunch
    Bunch(
        data=<float64 (3, 2)>,
        names=['a', 'b'],
    )
    """

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            keys = ", ".join(map(str, self)) or "none"
            raise AttributeError(f"Bunch has no attribute {name!r}; its keys are {keys}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *map(str, self)]

    def __repr__(self) -> str:
        lines = (f"    {key}={_SUMMARY.repr(value)},\n" for key, value in self.items())
        return f"Bunch(\n{''.join(lines)})"


class _Summary(reprlib.Repr):
    """A reprlib.Repr that shows the dtype and shape of an array instead of its values."""

    def repr_ndarray(self, array: NDArray[Any], level: int) -> str:
        return f"<{array.dtype} {array.shape}>"


_SUMMARY = _Summary()
_SUMMARY.maxlist = 4
_SUMMARY.maxstring = 60
