"""Numba's door: where compiled code is kept, and decorators with a type."""

import hashlib
import importlib
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Final, TypeVar, cast

import numba

from shared.domain.errors import Misconfigured

F = TypeVar("F", bound=Callable[..., Any])

HERE: Final = Path(__file__).parent


def code_version() -> str:
    """Return a digest of the sweep's source: results of different code are never mixed."""
    seen = hashlib.sha256(numba.__version__.encode())
    for path in sorted(HERE.glob("*.py")):
        seen.update(path.read_bytes())
    return seen.hexdigest()[:16]


def _settle_cache() -> None:
    """Keep compiled code beside the source; where that is read-only, in a private folder of /tmp.

    ``NUMBA_CACHE_DIR`` says otherwise. Numba renews a function when its own file changes but not
    when one that it calls does, so each version of the source has a folder of its own. What is
    loaded from there is run: the folder must be ours and nobody else's.
    """
    config: Any = numba.core.config
    place = Path(config.CACHE_DIR) if config.CACHE_DIR else HERE / "__pycache__"
    if not os.access(place if place.exists() else place.parent, os.W_OK):
        place = Path(tempfile.gettempdir()) / f"carry-numba-{os.getuid()}"
        place.mkdir(mode=0o700, exist_ok=True)
        seen = place.lstat()
        if seen.st_uid != os.getuid() or seen.st_mode & 0o022 or place.is_symlink():
            raise Misconfigured(f"{place} belongs to somebody else: set NUMBA_CACHE_DIR.")
    config.CACHE_DIR = str(place / f"sweep-{code_version()}")


def _leave_blas_out() -> None:
    """Have Numba do without SciPy's linear algebra, which no kernel of ours calls.

    It looks for one before it runs anything, cached or not: 0.2 s and 17 MiB of every start. What
    it finds is remembered, so afterwards SciPy is importable as ever.
    """
    if "scipy.linalg" in sys.modules:
        return
    sys.modules["scipy.linalg"] = cast(ModuleType, None)
    try:
        importlib.import_module("numba.np.arraymath")
    finally:
        del sys.modules["scipy.linalg"]


_settle_cache()
_leave_blas_out()


_OPTIONS: Final[dict[str, Any]] = {"cache": True, "nogil": True, "error_model": "numpy"}
_LEAN: Final[dict[str, Any]] = {**_OPTIONS, "_nrt": False}
_INLINED: Final[dict[str, Any]] = {**_LEAN, "forceinline": True}


def compiled(function: F) -> F:
    """Compile on first call, keep the result on disk, and let go of the interpreter's lock."""
    return cast(F, numba.njit(**_OPTIONS)(function))


def compiled_lean(function: F) -> F:
    """The same for what allocates nothing: without the counting of references, which costs most."""
    return cast(F, numba.njit(**_LEAN)(function))


def inlined(function: F) -> F:
    """The same, always part of its caller: the tables a call would hand over are long."""
    return cast(F, numba.njit(**_INLINED)(function))


def compiled_parallel(function: F) -> F:
    """The same as ``compiled``, with ``prange`` spread over numba's threads."""
    return cast(F, numba.njit(**_OPTIONS, parallel=True)(function))
