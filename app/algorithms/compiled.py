"""The one decorator that compiles kernels. It imports numba, so only kernels import it, and kernels are imported late.

Importing numba costs a second and 60 MB, which a process that only serves must not pay. Modules that a serving process
loads therefore import kernels inside the functions that fit.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from app.algorithms.errors import AlgorithmError

try:
    import numba
except ImportError as error:  # `requirements-api.txt` leaves it out
    raise AlgorithmError("learning needs numba: pip install numba, or install requirements.txt") from error

Kernel = TypeVar("Kernel", bound=Callable[..., Any])

# `reassoc` and `contract` let the compiler reorder sums into SIMD lanes; `arcp` and `nsz` allow cheaper divisions.
# `nnan` and `ninf` are left out: with them the compiler may delete the tests by which a diverged fit is recognised.
FASTMATH = {"reassoc", "contract", "arcp", "nsz"}


def compiled(function: Kernel) -> Kernel:
    """Compile `function` with numba at its first call; it releases the GIL while it runs.

    The machine code is cached on disk. Where there is no writable folder for it (a read-only installation without a
    home directory), each process compiles anew.
    """
    # Never `parallel=True`: its order of summation depends on timing. Callers own the threads and hand out disjoint
    # rows, so that the result does not depend on the number of threads.
    try:
        return cast("Kernel", numba.njit(cache=True, nogil=True, fastmath=FASTMATH)(function))
    except RuntimeError:  # numba found no folder to cache in
        return cast("Kernel", numba.njit(nogil=True, fastmath=FASTMATH)(function))
