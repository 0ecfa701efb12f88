from datetime import timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest
from pydantic import TypeAdapter

from services.api.schemas import (
    EquityView,
    ForecastsView,
    FundingRateView,
    LedgerEntryView,
    OrderView,
    RunView,
    SkippedView,
)
from tests.services.api.seeds import DECISION, PLAN_BTC, WALL, at, attempt, insert
from tests.support.clock import ManualClock


async def read(client: httpx.AsyncClient, path: str) -> Any:
    answer = await client.get(path)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return answer.json()


@pytest.mark.usefixtures("desk")
async def test_a_pair_shows_its_money_since_it_was_opened(client: httpx.AsyncClient) -> None:
    btc, eth = await read(client, "/v1/pairs")
    assert btc == {
        "pair": "BTCUSDT",
        "symbol": "BTCUSDT",
        "base": "BTC",
        "state": "Hedged",
        "opened_at": "2023-11-11T01:01:00Z",
        "spot_quantity": "0.25",
        "perp_quantity": "-0.25",
        "notional_usdt": "10262.5",
        "net_delta_usdt": "0",
        "last_rate": "0.00025",
        "expected_rate": "0.00012",
        "funding_interval_hours": "8",
        "annualized_on_notional": "0.1314",
        "funding_usdt": "5.5",
        "fees_usdt": "-25.5",
        "basis_usdt": "12.5",
        "net_usdt": "-7.5",
        "due_usdt": "1.02625",
        "next_settlement_at": "2023-11-12T00:00:00Z",
        "break_even_ratio": "0.107843137255",
        "correlation_id": "cBTC",
    }
    assert (eth["funding_usdt"], eth["fees_usdt"]) == ("-1.5", "-15")
    assert (eth["basis_usdt"], eth["net_usdt"], eth["due_usdt"]) == ("20", "3.5", "-1.004")


@pytest.mark.usefixtures("desk")
async def test_the_overview_answers_from_the_same_rows(client: httpx.AsyncClient) -> None:
    view = await read(client, "/v1/overview")
    assert view["as_of"] == "2023-11-11T16:01:00Z"
    assert view["hedged"] == {
        "answer": "yes",
        "net_delta_usdt": "0",
        "gross_notional_usdt": "20302.5",
        "orders_in_doubt": 0,
        "unhedged_seconds_max": "0.041",
    }
    assert view["safe"] == {
        "answer": "yes",
        "exposure_usdt": "20302.5",
        "exposure_limit_usdt": "60000",
        "equity_usdt": "100003",
        "ledger_difference_usdt": "0",
    }
    assert view["earning"] == {
        "answer": "yes",
        "net_usdt": "3",
        "net_24h_usdt": "2",
        "funding_usdt": "11",
        "fees_usdt": "-40.5",
        "basis_usdt": "32.5",
        "next_due_usdt": "0.02225",
        "return_on_capital": "0.00003",
    }
    assert view["needs"] == []


@pytest.mark.usefixtures("desk")
async def test_the_latest_events_are_told_newest_first(client: httpx.AsyncClient) -> None:
    latest = (await read(client, "/v1/overview"))["latest"]
    assert [(e["at"][8:16], e["kind"], e["sentence"], e["amount_usdt"]) for e in latest] == [
        ("11T16:00", "funding", "Received funding on 2 pairs.", "1"),
        ("11T08:00", "funding", "Received funding on 1 pair.", "3"),
        ("11T01:02", "opened", "Opened BTC: 0.25 spot against the perpetual.", None),
        ("11T01:01", "decision", "Decided to open BTC.", None),
        ("10T16:00", "funding", "Received funding on 1 pair.", "7"),
    ]


async def test_an_alarm_is_told_at_the_venue_instant_reached_when_it_was_raised(
    client: httpx.AsyncClient, desk: Any
) -> None:
    raised = (WALL + timedelta(seconds=1)).isoformat()
    body = (
        '{"type":"alarm_raised.v1","name":"pair_broken","detail":"spot 1","pair":"BTCUSDT",'
        f'"raised_at":"{raised}"}}'
    )
    await insert(
        desk, "ops.outbox", stream="execution.events", sequence=1, body=body.encode(),
        created_at=WALL,
    )  # fmt: skip
    first = (await read(client, "/v1/overview"))["latest"][0]
    assert (first["at"], first["kind"]) == ("2023-11-11T16:01:00Z", "alarm")
    assert first["sentence"] == "Pair broken: spot 1"


async def test_one_leg_alone_is_not_hedged_and_a_lot_of_dust_is(
    client: httpx.AsyncClient, desk: Any, clock: ManualClock
) -> None:
    await move(desk, "5.01")  # 0.01 over: one lot of the perpetual
    assert (await read(client, "/v1/overview"))["hedged"]["answer"] == "yes"
    await move(desk, "5.011")  # 0.011 over, 22.088 USDT at the mark
    await clock.advance(1)
    hedged = (await read(client, "/v1/overview"))["hedged"]
    assert (hedged["answer"], hedged["net_delta_usdt"]) == ("no", "22.088")


async def move(desk: Any, spot: str) -> None:
    await desk.execute(
        "UPDATE execution.position SET spot_quantity = $1, updated_at = clock_timestamp() "
        "WHERE pair = 'ETHUSDT'",
        Decimal(spot),
    )


async def test_a_missing_mark_price_makes_answers_unknown_and_amounts_empty(
    client: httpx.AsyncClient, desk: Any
) -> None:
    await desk.execute("UPDATE market.quote_latest SET mark = NULL WHERE symbol = 'ETHUSDT'")
    view = await read(client, "/v1/overview")
    assert (view["safe"]["answer"], view["safe"]["exposure_usdt"]) == ("unknown", None)
    assert view["earning"]["next_due_usdt"] is None
    eth = (await read(client, "/v1/pairs"))[1]
    assert (eth["notional_usdt"], eth["basis_usdt"], eth["net_usdt"]) == (None, None, None)
    assert eth["funding_usdt"] == "-1.5"


async def test_an_order_in_doubt_leaves_the_hedge_unknown_and_is_watched(
    client: httpx.AsyncClient, desk: Any
) -> None:
    await attempt(desk, "r1order2", state="unknown")
    view = await read(client, "/v1/overview")
    assert (view["hedged"]["answer"], view["hedged"]["orders_in_doubt"]) == ("unknown", 1)
    assert view["needs"] == [
        {
            "kind": "watching",
            "title": "1 order is in doubt",
            "detail": "The venue's answer was lost. No new order on BTCUSDT until it is known.",
        }
    ]


async def test_a_ledger_that_differs_is_not_safe_and_needs_a_person(
    client: httpx.AsyncClient, desk: Any
) -> None:
    # The venue says 4.99 ETH where the entries hold 5: 0.01 at the mid of 2,010 is 20.1 USDT.
    async with desk.transaction():
        await insert(
            desk, "ledger.posting_group", id=12, key="x", kind="trade", pair="ETHUSDT",
            asset="ETH", venue_balance=Decimal("4.99"), venue_at=at("16:02"), previous_hash="h",
            hash="i", booked_at=WALL,
        )  # fmt: skip
    view = await read(client, "/v1/overview")
    assert view["safe"]["answer"] == "no"
    assert view["safe"]["ledger_difference_usdt"] == "20.1"
    assert view["needs"][0]["detail"] == (
        "ETH by 20.10000000 USDT. Entries are paused, exits go on."
    )


async def test_a_stop_and_a_broken_pair_need_a_person(client: httpx.AsyncClient, desk: Any) -> None:
    await desk.execute("UPDATE execution.position SET state = 'Broken' WHERE pair = 'BTCUSDT'")
    await insert(
        desk, "execution.kill", level=1, reason="Drill", pressed_by="desk", pressed_at=WALL
    )
    needs = (await read(client, "/v1/overview"))["needs"]
    assert [(n["kind"], n["title"]) for n in needs] == [
        ("needs_you", "Stopped at level 1"),
        ("needs_you", "BTC is broken"),
    ]


@pytest.mark.usefixtures("desk")
async def test_the_ranking_gives_each_reason_in_words_with_number_and_limit(
    client: httpx.AsyncClient,
) -> None:
    view = await read(client, "/v1/opportunities")
    assert (view["decision_id"], view["break_even_limit_settlements"]) == (DECISION, 42)
    btc, eth, sol = view["rows"]
    assert btc["sentence"] == (
        "Held: +75.6 bps of funding is expected over 21 days; "
        "leaving and coming back costs 36.0 bps."
    )
    assert eth["sentence"] == "Costs are paid after 61 settlements, limit 42."
    assert (eth["break_even_hours"], eth["annualized_on_notional"]) == ("488", "0.0657")
    assert (eth["rank"], eth["base"], eth["target_notional_usdt"]) == (2, "ETH", "9999.64")
    assert sol["sentence"] == "Not known: the book of one leg of SOL is missing."
    assert (sol["expected_rate"], sol["cost"], sol["break_even_hours"]) == (None, None, None)


@pytest.mark.usefixtures("desk")
async def test_the_ranking_shows_conviction_limits_and_risk_and_nothing_where_none_was_formed(
    client: httpx.AsyncClient,
) -> None:
    btc, eth, _ = (await read(client, "/v1/opportunities"))["rows"]
    assert btc["conviction_parts"] == [
        {"name": "value", "value": "0.5", "weight": "0.30"},
        {"name": "safety", "value": "0.825", "weight": "0.20"},
    ]
    assert [limit["name"] for limit in btc["limits"]] == ["pair_notional", "kelly", "perp_depth"]
    assert (btc["break_even_shorter_settlements"], btc["break_even_shorter_hours"]) == (60, "240")
    assert (btc["loss_probability"], btc["loss_probability_limit"]) == ("0.175", "0.25")
    assert (btc["basis_percentile"], btc["basis_percentile_limit"]) == ("0.625", "0.10")
    assert (btc["hold_left_settlements"], btc["liquidation_up"]) == (3, "3.25")
    assert (btc["signals"]["regime"], btc["signals"]["has_skill"]) == ("high", False)
    assert (eth["conviction"], eth["conviction_parts"], eth["limits"]) == (None, [], [])
    assert eth["signals"] is None


@pytest.mark.usefixtures("desk")
async def test_a_return_is_over_the_hold_on_all_capital_with_what_it_may_miss_by(
    client: httpx.AsyncClient,
) -> None:
    """Trap 33: 1 of spot, 0.02 of margin and 0.005 of reserve are bound; 0.0082 / 1.025."""
    btc, eth, _ = (await read(client, "/v1/opportunities"))["rows"]
    assert (btc["hold_hours"], btc["value"]) == ("504", "0.00396")
    assert btc["return_on_capital"] == "0.003863414634"
    assert btc["return_on_capital_error"] == "0.008"
    assert (eth["return_on_capital"], eth["return_on_capital_error"]) == (None, None)


@pytest.mark.usefixtures("desk")
async def test_a_decision_shows_its_targets_and_what_the_executor_made_of_them(
    client: httpx.AsyncClient,
) -> None:
    view = await read(client, f"/v1/decisions/{DECISION}")
    assert (view["id"], view["inputs_kept"], len(view["rows"])) == (DECISION, True, 3)
    assert view["intents"] == [
        {
            "id": "intentbtc",
            "pair": "BTCUSDT",
            "quantity": "0.25",
            "until": None,
            "reason": "worth_opening",
            "correlation_id": DECISION,
            "plan_id": PLAN_BTC,
            "plan_state": "hedged",
            "plan_reason": "worth_opening",
        }
    ]


@pytest.mark.usefixtures("desk")
async def test_equity_runs_oldest_first_with_the_funding_of_each_settlement(
    client: httpx.AsyncClient,
) -> None:
    view = EquityView.model_validate(await read(client, "/v1/equity"))
    assert [(p.at, p.net_usdt) for p in view.points] == [
        (at("16:01", 10), Decimal(1)),
        (at("16:01"), Decimal(3)),
    ]
    assert view.as_of == at("16:01")
    assert [(s.at, s.funding_usdt) for s in view.settlements] == [
        (at("16:00", 10), Decimal(7)),
        (at("08:00"), Decimal(3)),
        (at("16:00"), Decimal(1)),
    ]


async def test_a_long_equity_curve_is_thinned_but_keeps_both_ends(
    client: httpx.AsyncClient, owner: Any
) -> None:
    await owner.execute(
        "INSERT INTO ledger.equity SELECT timestamptz '2023-11-11' + n * interval '1 hour', "
        "n, 0, 0, 0, 0, now() FROM generate_series(0, 2499) n"
    )
    points = (await read(client, "/v1/equity"))["points"]
    assert 800 <= len(points) <= 1001
    assert (points[0]["equity_usdt"], points[-1]["equity_usdt"]) == ("0", "2499")


@pytest.mark.usefixtures("desk")
async def test_ledger_pages_never_cut_a_group_and_lose_nothing(client: httpx.AsyncClient) -> None:
    rows: list[LedgerEntryView] = []
    path = "/v1/ledger?limit=4"
    while page := TypeAdapter(list[LedgerEntryView]).validate_python(await read(client, path)):
        assert len(page) >= 4 or page[-1].group_id == 1
        rows += page
        path = f"/v1/ledger?limit=4&before={page[-1].group_id}"
    assert len(rows) == 24
    assert [r.group_id for r in rows] == sorted((r.group_id for r in rows), reverse=True)
    coin = [(r.account, r.amount) for r in rows if r.asset == "BTC"]
    assert coin == [
        ("wallet", Decimal("0.25")),
        ("trade", Decimal("-0.2505")),
        ("fees", Decimal("0.0005")),
    ]


@pytest.mark.usefixtures("desk")
async def test_funding_rates_come_newest_first_and_an_instant_stays_together(
    client: httpx.AsyncClient,
) -> None:
    rates = TypeAdapter(list[FundingRateView])
    page = rates.validate_python(await read(client, "/v1/funding-rates?limit=1"))
    assert [(r.symbol, r.rate) for r in page] == [
        ("BTCUSDT", Decimal("0.00025")),
        ("ETHUSDT", Decimal("-0.00015")),
    ]
    before = "2023-11-11T16:00:00Z"
    page = rates.validate_python(await read(client, f"/v1/funding-rates?before={before}"))
    assert [(r.symbol, r.settled_at) for r in page] == [("BTCUSDT", at("08:00"))]
    assert await read(client, "/v1/funding-rates?symbol=SOLUSDT") == []


async def test_orders_show_what_became_of_them(client: httpx.AsyncClient, desk: Any) -> None:
    await attempt(desk, "r1order2", state="rejected", created_at=WALL + timedelta(seconds=1))
    orders = TypeAdapter(list[OrderView]).validate_python(await read(client, "/v1/orders"))
    assert [(o.client_order_id, o.state, o.average_price) for o in orders] == [
        ("r1order2", "rejected", None),
        ("r1order1", "filled", Decimal(40000)),
    ]
    assert orders[1].correlation_id == "cBTC"
    assert await read(client, "/v1/orders?pair=ETHUSDT") == []


async def test_runs_show_their_net_once_they_are_done(
    client: httpx.AsyncClient, owner: Any
) -> None:
    await insert(
        owner, "research.run", id="r1", kind="exact", state="done", parameters="{}",
        result='{"net": "12.50"}', created_at=WALL, done=3, total=4,
    )  # fmt: skip
    (run,) = TypeAdapter(list[RunView]).validate_python(await read(client, "/v1/runs"))
    assert (run.id, run.state, run.net_usdt) == ("r1", "done", Decimal("12.50"))
    assert (run.done, run.total) == (3, 4)


async def test_what_was_passed_over_is_told_by_reason_the_most_expensive_first(
    client: httpx.AsyncClient, desk: Any
) -> None:
    for symbol, reason, hour, earned, followed in (
        ("BTCUSDT", "no_room", "08:01", "0.0015", WALL),
        ("ETHUSDT", "no_room", "08:01", "-0.0005", WALL),
        ("SOLUSDT", "no_room", "08:01", None, WALL),
        ("SOLUSDT", "below_margin", "09:01", "0.002", WALL),
        ("BTCUSDT", "below_margin", "15:01", None, None),
        ("BTCUSDT", "book_missing", "15:01", None, None),
    ):
        await insert(
            desk, "research.skip", symbol=symbol, reason=reason, decided_at=at(hour),
            decision_id="d", hold_hours=504, cost=Decimal("0.0036"), followed_at=followed,
            earned=None if earned is None else Decimal(earned),
        )  # fmt: skip
    told = SkippedView.model_validate(await read(client, "/v1/skipped"))
    assert (told.as_of, told.days, told.hold_hours) == (at("16:01"), 30, Decimal(504))
    assert [tuple(row.model_dump().values()) for row in told.reasons] == [
        ("below_margin", 2, 1, 1, Decimal("0.002"), Decimal("0.002"), Decimal(1)),
        ("no_room", 3, 0, 2, Decimal("0.001"), Decimal("0.0005"), Decimal("0.5")),
        ("book_missing", 1, 1, 0, None, None, None),
    ]
    assert (await client.get("/v1/skipped?days=0")).status_code == 422


async def test_forecasts_are_told_with_what_past_ones_were_worth(
    client: httpx.AsyncClient, desk: Any
) -> None:
    # The rates at 08:00 and 16:00 are 0.0003 and 0.00025: the forecast of 08:00 erred by 0.00001,
    # "the next equals the last" by 0.00005, so its skill is 1 - 1/25.
    await desk.execute("ALTER TABLE research.forecast DISABLE TRIGGER before_the_outcome")
    for hour, mean, last in (("08:00", 0.00026, 0.0003), ("16:00", 0.00002, 0.00025)):
        await insert(
            desk, "research.forecast", symbol="BTCUSDT", made_of=at(hour), horizon=1, mean=mean,
            low=0.00001, high=0.0004, last=last, has_skill=False, settlements=300,
        )  # fmt: skip
    told = ForecastsView.model_validate(await read(client, "/v1/forecasts?symbol=BTCUSDT"))
    (one,) = told.horizons
    assert (one.made_of, one.horizon, one.over) == (at("16:00"), 1, 1)
    assert (one.mean, one.low, one.high) == (
        Decimal("0.00002"), Decimal("0.00001"), Decimal("0.0004"),
    )  # fmt: skip
    assert one.rmse is not None
    assert one.skill is not None
    assert abs(one.rmse - Decimal("0.00001")) < Decimal("1e-15")
    assert abs(one.skill - Decimal("0.96")) < Decimal("1e-12")
    assert one.in_range == 1
    nobody = ForecastsView.model_validate(await read(client, "/v1/forecasts?symbol=XRPUSDT"))
    assert nobody.horizons == []
    assert (await client.get("/v1/forecasts")).status_code == 422


async def test_the_status_tells_both_clocks_and_who_is_silent(
    client: httpx.AsyncClient, desk: Any, clock: ManualClock
) -> None:
    for name, ready in (("collector", True), ("executor", False)):
        await insert(
            desk, "ops.heartbeat", service=name, ready=ready, detail="" if ready else "no lease",
            seen_at=WALL,
        )  # fmt: skip
    await clock.advance(2.5)
    view = await read(client, "/v1/status")
    assert (view["venue"], view["version"], view["replay_speed"]) == ("replay", "1.2.3", "3600")
    assert (view["venue_at"], view["data_age_seconds"]) == ("2023-11-11T16:01:00Z", "2.500000")
    assert view["next_settlement_at"] == "2023-11-12T00:00:00Z"
    assert [(s["name"], s["alive"], s["ready"], s["detail"]) for s in view["services"]] == [
        ("collector", True, True, ""),
        ("strategy", False, False, ""),
        ("executor", True, False, "no lease"),
        ("api", True, True, ""),
    ]
    await clock.advance(2.6)
    services = (await read(client, "/v1/status"))["services"]
    assert (services[0]["name"], services[0]["alive"]) == ("collector", False)


async def test_an_empty_database_gives_unknown_answers_and_no_invented_zero(
    client: httpx.AsyncClient,
) -> None:
    view = await read(client, "/v1/overview")
    assert view["as_of"] is None
    for question in ("hedged", "safe", "earning"):
        assert view[question]["answer"] == "unknown"
    amounts = {**view["hedged"], **view["safe"], **view["earning"]}
    known = {"answer", "orders_in_doubt", "unhedged_seconds_max", "exposure_limit_usdt"}
    assert {name for name, value in amounts.items() if value is not None} == known
    assert (view["needs"], view["latest"]) == ([], [])
    assert await read(client, "/v1/equity") == {"as_of": None, "points": [], "settlements": []}
    assert (await read(client, "/v1/opportunities"))["rows"] == []
    for path in ("pairs", "orders", "ledger", "funding-rates", "runs"):
        assert await read(client, f"/v1/{path}") == []
    status = await read(client, "/v1/status")
    assert (status["venue_at"], status["data_age_seconds"]) == (None, None)


async def test_an_answer_is_kept_until_the_data_changes(
    client: httpx.AsyncClient, desk: Any, clock: ManualClock
) -> None:
    before = await read(client, "/v1/pairs")
    await desk.execute(
        "UPDATE execution.position SET state = 'Unwinding', "
        "updated_at = updated_at + interval '1 second' WHERE pair = 'BTCUSDT'"
    )
    assert await read(client, "/v1/pairs") == before  # the version was read a moment ago
    await clock.advance(0.2)
    assert (await read(client, "/v1/pairs"))[0]["state"] == "Unwinding"
