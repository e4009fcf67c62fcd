"""What all subcommands share: exit statuses, errors in one line, colors, JSON, progress."""

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, TextIO

DONE, ADVICE, ERROR, INTERRUPTED = 0, 1, 2, 130  # exit statuses
STYLES = {"bold": 1, "red": 31, "green": 32, "yellow": 33}
# Errors whose text says what is wrong; of any other one, the class is said too.
PLAIN_ERRORS = (OSError, ValueError, TypeError, RuntimeError, ArithmeticError, ImportError)


class CommandError(Exception):
    """An error whose text is the line to print."""


def printable(text: str) -> str:
    """The name of a file as part of a line: control characters as escapes, '' for an empty one."""
    shown = "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)
    return shown or "''"


def one_line(error: BaseException, file: str = "") -> str:
    """An error's text, with the class where the text alone would be a riddle."""
    text = str(error).replace(file, printable(file)) if file else str(error)
    text = printable(" ".join(text.split())) if text else ""
    if isinstance(error, OSError) and error.strerror:
        named = isinstance(error.filename, str)
        text = f"{printable(error.filename)}: {error.strerror}" if named else error.strerror
    if isinstance(error, CommandError) or (text and isinstance(error, PLAIN_ERRORS)):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


@contextlib.contextmanager
def about(file: str) -> Iterator[None]:
    """Errors inside name the file; a damaged one raises nearly every class of error."""
    try:
        yield
    except CommandError:
        raise
    except Exception as error:
        text, shown = one_line(error, file), printable(file)
        named = text.startswith((f"{shown}: ", f"{shown} "))
        if isinstance(error, OSError) and isinstance(error.filename, str) and error.strerror:
            named = True
        raise CommandError(text if named else f"{shown}: {text}") from error


def styled(text: str, style: str, stream: TextIO | None = None) -> str:
    """Text in a color, or bold, where the stream is a terminal and NO_COLOR is not set."""
    stream = sys.stdout if stream is None else stream
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    if plain or not stream.isatty():
        return text
    return f"\x1b[{STYLES[style]}m{text}\x1b[0m"


def print_json(value: Any) -> None:
    """Print a value as JSON, in which there is neither NaN nor infinity."""
    print(json.dumps(value, indent=2, allow_nan=False))


@contextlib.contextmanager
def progress(total: int, unit: str) -> Iterator[Callable[[str], None]]:
    """A function to call with a line after each unit of work; in a terminal, there is a bar too.

    Both go to standard error, so that standard output holds the results alone.
    """
    if not sys.stderr.isatty():
        yield lambda line: print(line, file=sys.stderr, flush=True)
        return
    from relume.nn.training.history import bar_class

    with bar_class()(total=total, unit=unit, leave=False) as bar:

        def report(line: str) -> None:
            bar.write(line, file=sys.stderr)
            bar.update()

        yield report


def quoted(path: str) -> str:
    """The name of a file as the text of a docstring, which it cannot end."""
    name = os.path.basename(path)
    return "".join(each if each.isalnum() or each in " ._-+()" else "?" for each in name)
