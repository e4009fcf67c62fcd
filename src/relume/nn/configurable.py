"""What is made of nothing but its constructor's arguments: losses, optimizers and their like."""

import inspect
from typing import Any


class Described:
    """An object whose arguments are attributes; they are compared, shown and stored."""

    def config(self) -> dict[str, Any]:
        """The constructor's arguments, so that ``type(x)(**x.config()) == x``.

        Returns
        -------
        config : dict of str to object
            What `json` can write.
        """
        parameters = inspect.signature(type(self)).parameters.values()
        names = [each.name for each in parameters if each.kind is not each.VAR_KEYWORD]
        return {name: getattr(self, name) for name in names}

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other) or not isinstance(other, Described):
            return NotImplemented
        return self.config() == other.config()

    __hash__ = None  # type: ignore[assignment]  # a learning rate may be changed

    def __repr__(self) -> str:
        given = {name: value for name, value in self.config().items() if value is not None}
        arguments = ", ".join(f"{name}={value!r}" for name, value in given.items())
        return f"{type(self).__name__}({arguments})"
