"""Policies from TOML: read exactly, refused by name, hashed by content."""

from dataclasses import fields, replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from shared.config.policy import BOUNDS, load_policy, policy_hash
from shared.domain.errors import Misconfigured
from shared.domain.policy import CarryPolicy


@pytest.fixture
def policy_file(tmp_path: Path) -> Path:
    return tmp_path / "policy.toml"


def refusal(path: Path, text: str) -> str:
    path.write_text(text)
    with pytest.raises(Misconfigured) as refused:
        load_policy(path)
    return str(refused.value)


def test_no_file_means_the_defaults() -> None:
    assert load_policy().carry == CarryPolicy()


def test_decimals_are_read_as_written_and_durations_by_their_unit(policy_file: Path) -> None:
    policy_file.write_text(
        "[carry]\nentry_margin = 0.0010000000000000000001\nhold_days = 2\nmax_pairs = 3\n"
        '[execution]\nbands = ["0.001", 0.002]\n'
        "[limits]\nbefore_settlement_seconds = 45\n"
    )
    loaded = load_policy(policy_file)
    assert loaded.carry.entry_margin == Decimal("0.0010000000000000000001")
    assert loaded.carry.hold == timedelta(hours=48)
    assert loaded.carry.max_pairs == 3
    assert loaded.execution.bands == (Decimal("0.001"), Decimal("0.002"))
    assert loaded.limits.before_settlement == timedelta(seconds=45)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[carry]\nentry_margn = 1\n", "entry_margn is not known; did you mean entry_margin?"),
        ("[cary]\n", "cary is not known; did you mean carry?"),
        ("entry_margin = 1\n", "entry_margin stands outside of any [table]"),
        ("[carry]\nhold = 3\n", "hold is not known; did you mean hold_days?"),
        ("[carry]\nhold_days = 3\nhold_hours = 3\n", "hold is given twice"),
        ("[limits]\ngross_notional = -1\n", "gross_notional = -1 is out of range"),
        ("[limits]\ncollar = nan\n", "collar = NaN is not a number"),
        ("[limits]\ncollar = true\n", "collar = True is not a number"),
        ("[carry]\nmax_pairs = 2.5\n", "max_pairs = 2.5 is not a whole number"),
        ("[carry]\ndepth_share = 1.1\n", "depth_share = 1.1 is out of range"),
        ("[execution]\nbands = []\n", "bands = [] is not a list of numbers"),
        ("[execution]\nbands = [0.003, 0.001]\n", "bands must not get narrower"),
        ("[execution]\nmargin_trim = 0.8\n", "margin_trim 0.8 must be below margin_line 0.8"),
        ("[limits]\npair_notional = 70000\n", "gross_notional 60000 is less than pair_notional"),
        ("[carry\n", "is not valid TOML"),
    ],
)
def test_a_wrong_policy_is_refused_in_one_sentence(policy_file: Path, text: str, said: str) -> None:
    told = refusal(policy_file, text)
    assert said in told
    assert str(policy_file) in told


def test_a_policy_file_that_is_not_there_is_refused(policy_file: Path) -> None:
    with pytest.raises(Misconfigured, match="cannot be read"):
        load_policy(policy_file)


def test_both_ends_of_a_range_are_allowed(policy_file: Path) -> None:
    policy_file.write_text("[carry]\ndepth_share = 1\nexit_margin = 0\nentry_margin = 0.5\n")
    assert load_policy(policy_file).carry.depth_share == Decimal(1)


def test_equal_policies_have_equal_hashes_however_they_were_written() -> None:
    written = replace(CarryPolicy(), entry_margin=Decimal("0.00100"), pair_notional=Decimal("1E+4"))
    assert policy_hash(written) == policy_hash(CarryPolicy())


def test_any_other_value_has_another_hash_of_sixteen_digits() -> None:
    other = policy_hash(replace(CarryPolicy(), max_pairs=4))
    assert other != policy_hash(CarryPolicy())
    assert len(other) == 16
    assert int(other, 16) >= 0


@pytest.mark.parametrize("kind", sorted(BOUNDS, key=str))
def test_every_field_of_a_policy_has_bounds(kind: type) -> None:
    assert set(BOUNDS[kind]) == {field.name for field in fields(kind)}


@pytest.mark.parametrize("kind", sorted(BOUNDS, key=str))
def test_every_default_lies_within_its_bounds(kind: type) -> None:
    for name, (least, most) in BOUNDS[kind].items():
        value = getattr(kind(), name)
        for item in value if isinstance(value, tuple) else (value,):
            assert least <= item <= most, name
