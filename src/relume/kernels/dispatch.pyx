"""Chooses the kernel build for this CPU, imports only that build, and shares its table.

A build is imported by name and never cimported, because importing a build that the CPU cannot run
may crash the process. setup.py, which compiles the builds, defines the CPU features that each of
them needs (RELUME_BUILDS).
"""

import importlib
import os

from cpython.pycapsule cimport PyCapsule_GetPointer

from relume.kernels.table cimport TABLE_VERSION, Table

cdef extern from "runtime/platform.h":
    bint cpu_supports(const char* feature)

cdef extern from *:
    """
    #ifndef RELUME_BUILDS
    #error "setup.py defines RELUME_BUILDS"
    #endif
    """
    const char* RELUME_BUILDS       # "baseline:sse4.2,popcnt;avx2:...", in ascending order


def builds():
    """The compiled builds as {name: CPU features that it needs}, the best build last."""
    entries = (entry.partition(":") for entry in RELUME_BUILDS.decode().split(";"))
    return {name: needs.split(",") if needs else [] for name, _, needs in entries}


def missing_features(needs):
    """The features that the CPU or the operating system does not support."""
    return [feature for feature in needs if not cpu_supports(feature.encode())]


def choose():
    """The build named by RELUME_SIMD, or else the best build that this CPU supports."""
    lacks = {name: missing_features(needs) for name, needs in builds().items()}
    supported = [name for name in lacks if not lacks[name]]
    wanted = os.environ.get("RELUME_SIMD")
    if wanted:
        if wanted not in lacks:
            raise ImportError(
                f"RELUME_SIMD={wanted!r} is not a build of relume; allowed are: "
                f"{', '.join(lacks)}")
        if lacks[wanted]:
            raise ImportError(
                f"RELUME_SIMD={wanted!r} cannot run here: the CPU or operating system lacks "
                f"{', '.join(lacks[wanted])}; supported are: {', '.join(supported) or 'none'}")
        return wanted
    if not supported:
        raise ImportError(
            "relume cannot run on this CPU: it lacks "
            f"{', '.join(next(iter(lacks.values())))}, which even the baseline build requires")
    return supported[-1]


cdef const Table* load(str name) except NULL:
    """Import a build and check that it was compiled from the same sources as this module."""
    cdef const Table* loaded = <const Table*> PyCapsule_GetPointer(
        importlib.import_module(f"relume.kernels.{name}").capsule, b"relume.kernels.table")
    if loaded.version != TABLE_VERSION or loaded.size != sizeof(Table):
        raise ImportError(
            f"relume.kernels.{name} was built from other sources than relume.kernels.dispatch; "
            "rebuild relume")
    return loaded


name = choose()
table = load(name)
