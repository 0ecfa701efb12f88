"""Where compiled code is kept."""

import os
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
