"""decide(): entries, exits, room, and what missing numbers do. Figures are worked by hand."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from shared.domain.events import TargetSet
from shared.domain.instrument import Pair
from shared.domain.policy import CarryPolicy
from shared.domain.portfolio import Portfolio, apply
from shared.domain.strategy import Decision, Verdict, decide
from shared.domain.universe import Reason
from tests.support.markets import INSTANT, MIDNIGHT, market, pair, quote, settlements, snapshot

POLICY = CarryPolicy(
    forecast_settlements=21,
    hold=timedelta(days=21),
    entry_margin=Decimal("0.0010"),
    break_even_limit_settlements=42,
    slippage_allowance=Decimal("0.0001"),
    pair_notional=Decimal(10_000),
    gross_notional=Decimal(50_000),
    max_pairs=5,
    depth_share=Decimal("0.25"),
    spot_taker_fee=Decimal("0.001"),
    perp_taker_fee=Decimal("0.00055"),
)


def holding(pair: str, quantity: str) -> Portfolio:
    return apply(Portfolio(), TargetSet(pair, Decimal(quantity), MIDNIGHT))


def only(decision: Decision) -> tuple[Verdict, Reason]:
    (appraisal,) = decision.appraisals
    return appraisal.verdict, appraisal.reason


def test_a_rate_that_pays_its_costs_with_margin_is_opened_at_the_capped_size() -> None:
    decision = decide(Portfolio(), snapshot(market(rate="0.0003")), POLICY)
    (intent,) = decision.intents
    (appraisal,) = decision.appraisals
    # 10,000 USDT at an ask of 10,000.5 is 0.99995 BTC, floored to the 0.001 lot of the perpetual.
    assert (intent.pair, intent.quantity) == ("BTCUSDT", Decimal("0.999"))
    assert appraisal.binding_limit == "pair_notional"
    # 63 settlements in 21 days at 0.0003 are 0.0189; 2 x (0.001 + 0.00055) fees, two spreads of
    # 0.0001 and four allowances of 0.0001 are 0.0037.
    assert appraisal.expected_funding == Decimal("0.0189")
    assert appraisal.costs is not None
    assert appraisal.costs.total == Decimal("0.0037")
    assert appraisal.value == Decimal("0.0152")
    assert appraisal.break_even_settlements == 13  # 0.0037 / 0.0003 = 12.33


@pytest.mark.parametrize(
    ("rate", "reason"),
    [
        ("-0.0001", Reason.LONGS_ARE_PAID),
        ("0", Reason.LONGS_ARE_PAID),
        ("0.000088", Reason.BREAK_EVEN_TOO_FAR),  # 0.0037 / 0.000088 = 42.05 settlements
    ],
)
def test_a_rate_that_does_not_pay_is_passed_over_with_its_reason(rate: str, reason: Reason) -> None:
    decision = decide(Portfolio(), snapshot(market(rate=rate)), POLICY)
    assert decision.intents == ()
    assert only(decision) == (Verdict.PASSED_OVER, reason)


@pytest.mark.parametrize(
    ("margin", "verdict"),
    [("0.0152", Verdict.OPEN), ("0.015200000001", Verdict.PASSED_OVER)],
)
def test_the_entry_margin_is_met_on_its_boundary(margin: str, verdict: Verdict) -> None:
    policy = replace(POLICY, entry_margin=Decimal(margin))
    assert only(decide(Portfolio(), snapshot(market(rate="0.0003")), policy))[0] is verdict


@pytest.mark.parametrize(
    ("rate", "verdict"),
    [
        # Leaving and coming back costs 0.0031 + 0.0006 = 0.0037; 63 settlements are expected.
        ("-0.00005", Verdict.HOLD),  # expected loss 0.00315: staying is cheaper
        ("-0.00006", Verdict.CLOSE),  # expected loss 0.00378: leaving is cheaper
    ],
)
def test_a_pair_is_left_by_expected_value_and_never_for_a_sign(rate: str, verdict: Verdict) -> None:
    decision = decide(holding("BTCUSDT", "0.5"), snapshot(market(rate=rate)), POLICY)
    assert only(decision)[0] is verdict
    assert [i.quantity for i in decision.intents] == ([Decimal(0)] if verdict == "close" else [])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"spot": None}, Reason.BOOK_MISSING),
        ({"perp": None}, Reason.BOOK_MISSING),
        ({"perp": quote("10001", "10000")}, Reason.BOOK_UNSOUND),
        ({"spot": quote("9999", "10001", at=INSTANT - timedelta(seconds=1))}, Reason.BOOK_STALE),
        ({"mark_price": None}, Reason.PRICE_MISSING),
        ({"index_price": None}, Reason.PRICE_MISSING),
        ({"next_funding_at": None}, Reason.FUNDING_MISSING),
        ({"settled_by": INSTANT}, Reason.FUNDING_MISSING),
        ({"settlements": ()}, Reason.FUNDING_MISSING),
        ({"settlements": settlements("BTCUSDT", ["0.01"] * 20)}, Reason.HISTORY_SHORT),
        ({"perp": quote("10300", "10301")}, Reason.IDENTITY_DOUBTFUL),
    ],
)
def test_what_is_missing_or_doubtful_never_trades(
    changes: dict[str, object], reason: Reason
) -> None:
    unknown = snapshot(market(**changes))  # type: ignore[arg-type]
    flat, held = (
        decide(Portfolio(), unknown, POLICY),
        decide(holding("BTCUSDT", "1"), unknown, POLICY),
    )
    assert only(flat) == (Verdict.PASSED_OVER, reason)
    assert only(held) == (Verdict.HOLD, Reason.NOT_KNOWN)
    assert (flat.intents, held.intents) == ((), ())


def test_the_best_values_get_the_room_and_the_next_is_told_which_limit_binds() -> None:
    pairs = [
        market("AAA", rate="0.0003"),
        market("BBB", rate="0.0009"),
        market("CCC", rate="0.0006"),
    ]
    decision = decide(Portfolio(), snapshot(*pairs), replace(POLICY, max_pairs=2))
    assert [i.pair for i in decision.intents] == ["BBBUSDT", "CCCUSDT"]
    left_out = decision.appraisals[-1]
    assert (left_out.pair, left_out.reason) == ("AAAUSDT", Reason.NO_ROOM)
    assert left_out.binding_limit == "max_pairs"


def test_a_thin_book_binds_the_size_to_a_quarter_of_the_worse_leg() -> None:
    thin = market(perp=quote("9999.5", "10000.5", size="0.4"))
    (appraisal,) = decide(Portfolio(), snapshot(thin), POLICY).appraisals
    assert (appraisal.quantity, appraisal.binding_limit) == (Decimal("0.1"), "perp_depth")


def test_a_size_below_either_minimum_is_passed_over() -> None:
    tiny = replace(POLICY, pair_notional=Decimal(9))
    assert only(decide(Portfolio(), snapshot(market()), tiny))[1] is Reason.TOO_SMALL


def test_a_perpetual_under_spot_is_charged_the_basis_it_may_lose() -> None:
    below = market(perp=quote("9979.5", "9980.5"))
    (appraisal,) = decide(Portfolio(), snapshot(below), POLICY).appraisals
    assert appraisal.costs is not None
    assert appraisal.costs.basis == Decimal("0.002")  # 9,980 against 10,000


def delisted(status: str = "Trading") -> Pair:
    """A pair whose perpetual has its delivery announced for tomorrow."""
    of = pair()
    perp = replace(of.perp, status=status, delivery_at=INSTANT + timedelta(days=1))
    return replace(of, perp=perp)


@pytest.mark.parametrize("status", ["Trading", "Delivering", "Closed", "Gone"])
def test_a_pair_is_left_as_soon_as_its_delivery_is_announced(status: str) -> None:
    leaving = snapshot(market(pair=delisted(status)))
    decision = decide(holding("BTCUSDT", "1"), leaving, POLICY)
    assert only(decision) == (Verdict.CLOSE, Reason.DELISTING)
    (intent,) = decision.intents
    assert intent.quantity == 0


def test_a_pair_with_a_delivery_ahead_is_never_opened_however_well_it_pays() -> None:
    decision = decide(Portfolio(), snapshot(market(pair=delisted(), rate="0.01")), POLICY)
    assert only(decision) == (Verdict.PASSED_OVER, Reason.NOT_TRADING)
    assert decision.intents == ()


def test_a_halt_without_a_delivery_is_waited_out() -> None:
    of = pair()
    halted = market(pair=replace(of, spot=replace(of.spot, status="Halted")))
    decision = decide(holding("BTCUSDT", "1"), snapshot(halted), POLICY)
    assert only(decision) == (Verdict.HOLD, Reason.NOT_KNOWN)
