"""Chooses the kernel build for this CPU, imports that one and no other, and shares its table.

A build is imported by name, never cimported: the very import of one that the CPU cannot run could
stop the process. What each build needs comes from setup.py, which compiled it (RELUME_BUILDS).
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
    """The compiled builds, best last, with the CPU features that each needs."""
    entries = (entry.partition(":") for entry in RELUME_BUILDS.decode().split(";"))
    return {name: needs.split(",") if needs else [] for name, _, needs in entries}


def missing_features(needs):
    """Those of the features that CPU or operating system does not support."""
    return [feature for feature in needs if not cpu_supports(feature.encode())]


def choose():
    """The build that RELUME_SIMD names, or else the best that this CPU runs."""
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
                f"RELUME_SIMD={wanted!r} cannot run here: CPU or operating system lacks "
                f"{', '.join(lacks[wanted])}; supported are: {', '.join(supported) or 'none'}")
        return wanted
    if not supported:
        raise ImportError(
            "relume cannot run on this CPU: it lacks "
            f"{', '.join(next(iter(lacks.values())))}, which even the baseline build needs")
    return supported[-1]


cdef const Table* load(str name) except NULL:
    """Import a build and check that it fits this module."""
    cdef const Table* loaded = <const Table*> PyCapsule_GetPointer(
        importlib.import_module(f"relume.kernels.{name}").capsule, b"relume.kernels.table")
    if loaded.version != TABLE_VERSION or loaded.size != sizeof(Table):
        raise ImportError(f"relume.kernels.{name} was built from other sources; build again")
    return loaded


name = choose()
table = load(name)
