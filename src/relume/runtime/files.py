"""Files that are replaced as a whole, so that no crash and no full disk damages the old one."""

import contextlib
import os
import secrets
import stat
import time
from collections.abc import Iterator

# Windows replaces no file that another process holds open, as a virus scanner or a reader does for
# a moment. Its errors for that: access denied, sharing violation, lock violation.
HELD_OPEN = (5, 32, 33)
WAITS = [0.01 * 2**i for i in range(7)]  # seconds between the attempts, 1.3 in all


def replace(path: str, data: bytes | bytearray) -> None:
    """Write a file atomically: after a crash, either the old or the new file is there, complete.

    The data is on disk before the file gets its name. The name is on disk on return, if the system
    lets a folder be synchronized. An error is raised only before the file gets its name; the old
    file is then untouched. Symbolic links and permissions are kept. On Windows, replacing is tried
    for 1.3 seconds while another process holds the old file open.
    """
    path = os.path.realpath(path)  # replace the target of a symbolic link, not the link
    folder = os.path.dirname(path)
    temporary = os.path.join(folder, f".relume-{secrets.token_hex(8)}.tmp")
    mode = _mode_of(path)
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if mode is not None:
            os.chmod(temporary, mode)
        with _folder_to_synchronize(folder):
            _rename(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError) and error.filename in (None, temporary):
            error.filename = path  # the caller knows no other file; a full disk gives no name
            if error.filename2 is not None:
                del error.filename2
        raise


def _rename(old: str, new: str) -> None:
    """Rename a file over another one; wait a little if another process holds that one open."""
    for wait in WAITS:
        try:
            return os.replace(old, new)
        except PermissionError as error:
            if getattr(error, "winerror", None) not in HELD_OPEN:
                raise
        time.sleep(wait)
    return os.replace(old, new)


@contextlib.contextmanager
def _folder_to_synchronize(folder: str) -> Iterator[None]:
    """Synchronize a folder at the end, if possible: it may be writable but not readable."""
    descriptor = None
    if os.name == "posix":
        with contextlib.suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY)
    try:
        yield
        if descriptor is not None:
            with contextlib.suppress(OSError):
                os.fsync(descriptor)
    finally:
        if descriptor is not None:
            with contextlib.suppress(OSError):
                os.close(descriptor)


def _mode_of(path: str) -> int | None:
    """The permissions of the file that will be replaced; None if there is no such file."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(mode):
        raise FileExistsError(f"{path} exists and is not a regular file")
    return stat.S_IMODE(mode)
