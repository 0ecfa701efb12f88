"""Reasons in plain words: what, by which number, against which limit."""

import pytest

from services.api.words import sentence
from shared.domain.universe import Reason


@pytest.mark.parametrize(
    ("reason", "facts", "said"),
    [
        (
            "loss_too_likely",
            {"loss_probability": "0.305", "limit_loss": "0.25"},
            "Holding it loses money with a chance of 31 %, limit 25 %.",
        ),
        (
            "basis_low",
            {"basis_percentile": "0.0625", "limit_basis_percentile": "0.10"},
            "The perpetual is cheap against spot: at 6 % of past levels, asked 10 %.",
        ),
        (
            "no_room",
            {"binding_limit": "cluster_notional", "limit_cluster": "40000"},
            "No room: with it the cluster limit of 40,000 USDT would be passed.",
        ),
        (
            "no_room",
            {"binding_limit": "reserve"},
            "No room: with it the reserve would be passed.",
        ),
        (
            "no_room",
            {"binding_limit": "switching"},
            "No room yet: another pair gives way first.",
        ),
        (
            "rotated",
            {"limit_switching": "0.0020"},
            "Closes: another pair is worth its room better by more than 20.0 bps.",
        ),
        (
            "paid_soon",
            {"fee_cost": "0.0031", "slippage_cost": "0.0005"},
            "Held until the next payment, then it is left: leaving and coming back costs 36.0 bps.",
        ),
    ],
)
def test_new_reasons_are_said_with_their_numbers(
    reason: str, facts: dict[str, str], said: str
) -> None:
    assert sentence("ETH", {"reason": reason, **facts}) == said


@pytest.mark.parametrize("reason", list(Reason))
def test_no_reason_is_left_to_its_code(reason: Reason) -> None:
    plain = f"{reason.value.replace('_', ' ').capitalize()}."
    assert sentence("ETH", {"reason": reason.value}) != plain
