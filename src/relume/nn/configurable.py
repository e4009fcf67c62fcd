"""Objects that are nothing but their settings: layers, losses, optimizers, schedules."""

import functools
import inspect
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

from relume.keywords import meant

T = TypeVar("T")


class Configurable:
    """An object whose constructor's arguments are attributes, which may be assigned later.

    The settings are compared, shown and stored. An assignment is checked by the constructor, which
    alone knows what is allowed: it raises the same errors, and stores what the
    constructor would have stored (``dense.activation = "relu"`` stores ``nn.ReLU()``).
    """

    structural: ClassVar[bool] = False  # whether a network compiles its plan from the settings

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__init__" in vars(cls):
            cls.__init__ = _completing(cls.__init__)  # type: ignore[method-assign]

    if not TYPE_CHECKING:  # a type checker would let any attribute be assigned

        def __setattr__(self, name, value):
            state = vars(self)
            if state.get("_complete") and name in state and value is not state[name]:
                value = self._checked(name, value)
                CHANGES.settings += 1
                if self.structural:
                    CHANGES.count += 1
            elif state.get("_complete") and name not in state:
                self._refuse_misspelt(name)
            super().__setattr__(name, value)

    def _refuse_misspelt(self, name: str) -> None:
        """Raise where an attribute that is no setting is meant to be one."""
        cls = type(self)
        if name.startswith("_") or hasattr(cls, name) or not cls.__module__.startswith("relume."):
            return
        guess = meant(name, self.config())
        if guess is not None:
            raise AttributeError(f"{cls.__name__} has no {name!r}; did you mean {guess!r}?")

    def _checked(self, name: str, value: object) -> object:
        """What the constructor makes of another value for one of its arguments."""
        for cls in type(self).__mro__:
            names = _arguments(cls)
            if name in names and all(hasattr(self, each) for each in names):
                arguments = {each: getattr(self, each) for each in names} | {name: value}
                draft: Any = object.__new__(cls)
                draft.__init__(**arguments)
                return getattr(draft, name)
        return value

    def config(self) -> dict[str, Any]:
        """The constructor's arguments, so that ``type(x)(**x.config()) == x``.

        Returns
        -------
        config : dict of str to object
            Values that `json` can write.
        """
        parameters = inspect.signature(type(self)).parameters.values()
        names = [each.name for each in parameters if each.kind is not each.VAR_KEYWORD]
        return {name: getattr(self, name) for name in names}

    def __copy__(self) -> Self:
        new = object.__new__(type(self))
        vars(new).update(vars(self))
        return new

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other) or not isinstance(other, Configurable):
            return NotImplemented
        return self.config() == other.config()

    __hash__ = None  # type: ignore[assignment]  # settings may change

    def __repr__(self) -> str:
        given = {name: value for name, value in self.config().items() if value is not None}
        arguments = ", ".join(f"{name}={value!r}" for name, value in given.items())
        return f"{type(self).__name__}({arguments})"


class _Changes:
    """How often settings have changed: of layers or lists of layers, and of any object.

    A network or a fit compares a number with the one it last saw, which takes some nanoseconds,
    before it compares settings. They are attributes of an object, since those of a class are read
    more slowly.
    """

    __slots__ = ("count", "settings")

    def __init__(self) -> None:
        self.count = self.settings = 0


CHANGES = _Changes()


class CountedList(list[T]):
    """A list whose changes in place are counted."""


def _counted(name: str) -> Any:
    """A method of lists that changes one."""
    change = getattr(list, name)

    @functools.wraps(change)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return change(self, *args, **kwargs)
        finally:
            CHANGES.count += 1

    return method


for _name in (
    "__delitem__", "__iadd__", "__imul__", "__setitem__", "append", "clear", "extend", "insert",
    "pop", "remove", "reverse", "sort",
):  # fmt: skip
    setattr(CountedList, _name, _counted(_name))


def _completing(init: Any) -> Any:
    """A constructor after which assignments are checked, once that of the object's class is done.

    A derived class may assign what its base class has assigned before.
    """

    @functools.wraps(init)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        state = vars(self)
        outermost = "_complete" not in state
        state["_complete"] = False
        init(self, *args, **kwargs)
        if outermost:
            state["_complete"] = True

    return __init__


_arguments_of: dict[type, frozenset[str]] = {}  # reading a signature takes 20 us


def _arguments(cls: type) -> frozenset[str]:
    """The named arguments of a class's own constructor; none where it inherits one."""
    if cls not in _arguments_of:
        _arguments_of[cls] = _read_arguments(cls)
    return _arguments_of[cls]


def _read_arguments(cls: type) -> frozenset[str]:
    if "__init__" not in vars(cls) or not issubclass(cls, Configurable):
        return frozenset()
    _, *parameters = inspect.signature(vars(cls)["__init__"]).parameters.values()
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return frozenset(each.name for each in parameters if each.kind not in kinds)
