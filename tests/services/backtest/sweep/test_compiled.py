"""Where compiled code is kept."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numba
import pytest

from services.backtest.sweep import compiled
from shared.domain.errors import Misconfigured

CONFIG: Any = numba.core.config


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that cannot be written to, and a /tmp of this test's."""
    monkeypatch.setattr(CONFIG, "CACHE_DIR", "")
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(os, "access", lambda path, mode: False)


def test_a_read_only_package_is_cached_in_a_private_folder_by_version(tmp_path: Path) -> None:
    compiled._settle_cache()
    place = tmp_path / f"carry-numba-{os.getuid()}"
    assert place.stat().st_mode & 0o777 == 0o700
    assert str(place / f"sweep-{compiled.code_version()}") == CONFIG.CACHE_DIR


def test_a_folder_that_others_can_write_to_is_refused(tmp_path: Path) -> None:
    place = tmp_path / f"carry-numba-{os.getuid()}"
    place.mkdir()
    place.chmod(0o777)
    with pytest.raises(Misconfigured, match="set NUMBA_CACHE_DIR"):
        compiled._settle_cache()


def test_compiled_code_runs_without_the_linear_algebra_of_scipy_and_leaves_it_importable() -> None:
    asked = (
        "import sys; from services.backtest.sweep.fixed import mul_round_checked as f;"
        "print(f(3, 5, 2), 'scipy.linalg' in sys.modules); import scipy.linalg;"
        "print(scipy.linalg.det([[2.0]]))"
    )
    said = subprocess.check_output(
        [sys.executable, "-c", asked], cwd=Path(__file__).parents[4], text=True
    )

    assert said.split() == ["8", "False", "2.0"]
