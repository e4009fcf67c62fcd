"""Settings that may be assigned: those of layers, losses, optimizers, schedules, callbacks."""

import functools
import inspect
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

from relume.engine.prediction import changes_of_layers, count_change_of_layers
from relume.keywords import is_a_setting, meant

T = TypeVar("T")


class CheckedSettings:
    """An object whose constructor's arguments are attributes, which may be assigned later.

    An assignment is checked by the constructor, which alone knows what is allowed: it raises the
    same errors, and stores what the constructor would have stored (``dense.activation = "relu"``
    stores ``nn.ReLU()``).
    """

    _has_no_constructor: ClassVar[bool] = True

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__init__" in vars(cls):
            cls.__init__ = _completing(cls.__init__)  # type: ignore[method-assign]
            cls._has_no_constructor = False

    if not TYPE_CHECKING:  # a type checker would let any attribute be assigned

        def __setattr__(self, name, value):
            state = vars(self)
            if state.get("_complete", self._has_no_constructor):
                if name not in state:
                    self._refuse_misspelt(name)
                elif value is not state[name]:
                    super().__setattr__(name, self._checked(name, value))
                    self._tell_of_change()
                    return
            super().__setattr__(name, value)

    def _tell_of_change(self) -> None:
        """Called when a setting has got another value."""

    def _setting_names(self) -> list[str]:
        """The names of the settings."""
        found = [name for cls in type(self).__mro__ for name in _arguments(cls)]
        return [name for name in dict.fromkeys(found) if hasattr(self, name)]

    def _refuse_misspelt(self, name: str) -> None:
        """Raise where an attribute that is no setting is meant to be one, and would do nothing."""
        cls = type(self)
        if name.startswith("_") or hasattr(cls, name) or not cls.__module__.startswith("relume."):
            return
        names = self._setting_names()
        guess = meant(name, names)
        if guess is not None:
            raise AttributeError(f"{cls.__name__} has no {name!r}; did you mean {guess!r}?")
        if is_a_setting(name):
            remedy = f"its settings are {', '.join(names)}" if names else "it has no settings"
            raise AttributeError(f"{cls.__name__} has no {name!r}; {remedy}")

    def _checking_classes(self) -> Iterable[type]:
        """The classes whose constructors may check an assignment; the first that can does."""
        return type(self).__mro__

    def _checked(self, name: str, value: object) -> object:
        """What the constructor makes of another value for one of its arguments."""
        for cls in self._checking_classes():
            names = _arguments(cls)
            if name in names and all(hasattr(self, each) for each in names):
                arguments = {each: getattr(self, each) for each in names} | {name: value}
                draft: Any = object.__new__(cls)
                draft.__init__(**arguments)
                return getattr(draft, name)
        return value


class Configurable(CheckedSettings):
    """An object that is nothing but its settings, which are compared, shown and stored."""

    structural: ClassVar[bool] = False  # whether a network compiles its plan from the settings

    def _tell_of_change(self) -> None:
        """Let networks that use the object learn that something has changed."""
        CHANGES.settings = object()
        if self.structural:
            count_change_of_layers()

    def _setting_names(self) -> list[str]:
        return list(self.config())

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
    """The last change of settings: of layers or lists of layers, and of any object.

    A network or a fit compares it with the one that it last saw, which takes some nanoseconds,
    before it compares settings. A change of settings is an object of its own: of a number that
    Python counts up, two threads may make the same one. The changes of layers are counted where
    the engine, which compares them for each prediction, finds their number.
    """

    __slots__ = ("settings",)

    def __init__(self) -> None:
        self.settings = object()

    @property
    def layers(self) -> int:
        return changes_of_layers()


CHANGES = _Changes()


class CountedList(list[T]):
    """A list whose changes in place are noticed."""


def _counted(name: str) -> Any:
    """A method of lists that changes one."""
    change = getattr(list, name)

    @functools.wraps(change)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return change(self, *args, **kwargs)
        finally:
            count_change_of_layers()

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


_arguments_of: dict[type, tuple[str, ...]] = {}  # reading a signature takes 20 us


def _arguments(cls: type) -> tuple[str, ...]:
    """The named arguments of a class's own constructor; none where it inherits one."""
    if cls not in _arguments_of:
        _arguments_of[cls] = _read_arguments(cls)
    return _arguments_of[cls]


def _read_arguments(cls: type) -> tuple[str, ...]:
    if "__init__" not in vars(cls) or not issubclass(cls, CheckedSettings):
        return ()
    _, *parameters = inspect.signature(vars(cls)["__init__"]).parameters.values()
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return tuple(each.name for each in parameters if each.kind not in kinds)
