"""How kernels are compiled. Importing this imports numba: only modules with kernels do, and they are imported late."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

Kernel = TypeVar("Kernel", bound=Callable[..., Any])

FASTMATH = {"reassoc", "contract", "arcp", "nsz"}
"""What lets sums run in SIMD lanes. Not `nnan` and `ninf`: a fit that leaves the finite numbers must be seen."""


def compiled(function: Kernel) -> Kernel:
    """`function` compiled by numba at its first call, without the interpreter lock while it runs, kept on disk.

    Never `parallel=True`: threads come from the caller, who knows which rows are disjoint. Where there is no folder to
    keep the machine code in (a read-only installation without a home), each process compiles anew.
    """
    try:
        return cast("Kernel", numba.njit(cache=True, nogil=True, fastmath=FASTMATH)(function))
    except RuntimeError:
        return cast("Kernel", numba.njit(nogil=True, fastmath=FASTMATH)(function))
