"""Model files: settings and tensors as safetensors, with a digest.

The settings are JSON text, which is the only entry of the header's metadata. They contain the
SHA-256 of the file, computed with zeros in place of its 64 digits. The digest covers every byte,
so any change of the file is detected. Because there is only one entry, the bytes do not depend on
the order of entries: the same network gives the same file.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from relume.nn.saving import safetensors_format
from relume.nn.saving.safetensors_format import parsed

FORMAT, VERSION, ENTRY = "relume.network", 1, "relume"
NO_DIGEST = "0" * 64


class ModelFileError(ValueError):
    """A model file is altered, truncated, or not what this version of relume can load.

    The message names the file and the problem. Errors of the operating system, such as
    FileNotFoundError, are raised unchanged.

    Examples
    --------
    >>> import os, tempfile
    >>> from relume import nn
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "net.safetensors")
    ...     nn.Network([nn.Dense(1)], loss="mse").save(path)
    ...     os.truncate(path, 100)
    ...     try:
    ...         nn.load(path)
    ...     except nn.ModelFileError as error:
    ...         print(str(error).replace(path, "net.safetensors"))
    net.safetensors: it is truncated or not a safetensors file
    """


def packed(settings: dict[str, Any], tensors: Mapping[str, NDArray[Any]]) -> bytearray:
    """The bytes of a file of settings that JSON can hold, and of arrays by name."""
    settings = {"format": FORMAT, "version": VERSION, "sha256": NO_DIGEST} | settings
    text = json.dumps(settings, sort_keys=True, separators=(",", ":"), allow_nan=False)
    data = safetensors_format.packed(tensors, {ENTRY: text})
    offset = _digest_offset(data, NO_DIGEST)
    data[offset : offset + 64] = _digest(data, offset).encode()
    return data


def unpacked(data: bytes) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The settings and tensors in a file's bytes; ValueError says what is wrong with them."""
    header, settings = _header(data)
    if settings.get("format") != FORMAT:
        raise ValueError(f"its format must be {FORMAT!r}, got {settings.get('format')!r}")
    if settings.get("version") != VERSION:
        raise ValueError(
            f"its version must be {VERSION}, which this relume reads, "
            f"got {settings.get('version')!r}"
        )
    digest = settings.get("sha256")
    if not isinstance(digest, str) or not re.fullmatch("[0-9a-f]{64}", digest):
        raise ValueError(f"its sha256 must be 64 hexadecimal digits, got {digest!r}")
    if header.count(_seal(digest)) != 1 or digest != _digest(
        data, 8 + _digest_offset(header, digest)
    ):
        raise ValueError("it was altered or truncated: its SHA-256 differs from the one it holds")
    try:
        tensors = safetensors_format.arrays_of(data)
    except ValueError as error:
        raise ValueError(f"its tensors cannot be read: {error}") from None
    known = ("format", "version", "sha256")
    return {name: each for name, each in settings.items() if name not in known}, tensors


def _header(data):
    """The bytes of the header, and the settings in it."""
    header, entries = safetensors_format.header_of(data)
    metadata = entries.get(safetensors_format.METADATA)
    text = metadata.get(ENTRY) if isinstance(metadata, dict) else None
    if not isinstance(text, str):
        raise ValueError(
            "it holds no relume network. To use the tensors of another safetensors file, pass "
            "them to load_state_dict"
        )
    settings = parsed(text, f"the metadata {ENTRY!r}")
    if not isinstance(settings, dict):
        raise ValueError(f"the metadata {ENTRY!r} must be an object, got {settings!r}")
    return header, settings


def _seal(digest):
    """The bytes of the digest's entry in the header: JSON inside a JSON string."""
    return rf"\"sha256\":\"{digest}\"".encode()


def _digest_offset(header, digest):
    """The offset of the first digit of the digest."""
    return header.index(_seal(digest)) + len(_seal("")) - len(r"\"")


def _digest(data, offset):
    """The SHA-256 of a file, with zeros instead of the 64 digits at the offset."""
    view = memoryview(data)
    digest = hashlib.sha256(view[:offset])
    digest.update(NO_DIGEST.encode())
    digest.update(view[offset + 64 :])
    return digest.hexdigest()
