"""A small desk in the store: two pairs held, worked out by hand.

BTC, opened 01:01: 0.2505 bought at 40,000 (10,020 USDT), fee 0.0005 BTC (20 USDT): 0.25 is owned;
0.25 sold short at 40,100 (10,025 USDT), fee 5.5. Funding +3 at 08:00 and +2.5 at 16:00. Now the
spot mid is 41,000 and the mark 41,050:
  basis = (-10,020 + 0.25 * 41,000 + 20) + (10,025 - 0.25 * 41,050) = 250 - 237.5 = 12.5
  net = 5.5 - 25.5 + 12.5 = -7.5
ETH, opened 02:01: 5.005 bought at 2,000 (10,010), fee 0.005 ETH (10 USDT); 5 sold short at 2,002
(10,010), fee 5. Funding -1.5 at 16:00. Spot mid 2,010, mark 2,008:
  basis = (-10,010 + 5 * 2,010 + 10) + (10,010 - 5 * 2,008) = 50 - 30 = 20
  net = -1.5 - 15 + 20 = 3.5
An earlier holding of ETH had received 7 of funding the day before.
The account: 100,000 brought in, net 7 - 7.5 + 3.5 = 3, funding 11, fees 40.5, basis 32.5.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from shared.store.ledger import Entry, Head, PostingGroup, insert_groups

WALL = datetime(2026, 5, 1, 12, tzinfo=UTC)
DECISION = "0123456789abcdefghjk"
PLAN_BTC = "btcplan0000000000000"


def at(clock: str, day: int = 11) -> datetime:
    hour, minute = map(int, clock.split(":"))
    return datetime(2023, 11, day, hour, minute, tzinfo=UTC)


async def insert(connection: Any, table: str, **values: Any) -> None:
    names = ", ".join(f'"{name}"' for name in values)
    places = ", ".join(f"${n}" for n in range(1, len(values) + 1))
    await connection.execute(f"INSERT INTO {table} ({names}) VALUES ({places})", *values.values())


async def seed_desk(connection: Any) -> None:
    for table in ("execution.plan", "execution.attempt"):  # to begin in the states they end in
        await connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER legal_transition")
    await seed_market(connection)
    await seed_decision(connection)
    await seed_execution(connection)
    await insert_groups(connection, Head(), GROUPS, WALL)
    await seed_lives(connection)
    await seed_equity(connection)


async def seed_market(connection: Any) -> None:
    for base, lot in (("BTC", "0.001"), ("ETH", "0.01")):
        symbol = f"{base}USDT"
        for category, step in (("spot", "0.00001"), ("linear", lot)):
            await insert(
                connection, "market.instrument", category=category, symbol=symbol, base=base,
                quote="USDT", status="Trading", tick=Decimal("0.1"), step=Decimal(step),
                min_quantity=Decimal(step), max_quantity=Decimal(1000), min_notional=Decimal(5),
                fetched_at=WALL,
            )  # fmt: skip
        await insert(
            connection, "market.symbol_identity", pair=symbol, base=base, spot_symbol=symbol,
            perp_symbol=symbol, multiplier=Decimal(1), price_ratio=Decimal(1), proven_at=WALL,
        )  # fmt: skip
    await quote(connection, "spot", "BTCUSDT", "40990", "41010")
    await quote(connection, "linear", "BTCUSDT", "41040", "41060", mark="41050", rate="0.0001")
    await quote(connection, "spot", "ETHUSDT", "2009", "2011")
    await quote(connection, "linear", "ETHUSDT", "2007", "2009", mark="2008", rate="-0.0001")
    for symbol, clock, rate in (
        ("BTCUSDT", "08:00", "0.0003"),
        ("BTCUSDT", "16:00", "0.00025"),
        ("ETHUSDT", "16:00", "-0.00015"),
    ):
        await insert(
            connection, "market.funding_settlement", symbol=symbol, settled_at=at(clock),
            rate=Decimal(rate), interval_hours=Decimal(8), received_at=WALL,
        )  # fmt: skip


async def quote(
    connection: Any,
    category: str,
    symbol: str,
    bid: str,
    ask: str,
    *,
    mark: str | None = None,
    rate: str | None = None,
) -> None:
    linear = category == "linear"
    await insert(
        connection, "market.quote_latest", category=category, symbol=symbol, venue_at=at("16:01"),
        bid=Decimal(bid), bid_size=Decimal(10), ask=Decimal(ask), ask_size=Decimal(10),
        mark=None if mark is None else Decimal(mark), index=None,
        predicted_rate=None if rate is None else Decimal(rate),
        next_funding_at=at("00:00", 12) if linear else None,
        funding_interval_hours=Decimal(8) if linear else None, received_at=WALL,
    )  # fmt: skip


def appraisal(pair: str, verdict: str, reason: str, **numbers: Any) -> dict[str, Any]:
    """One appraisal as the strategy journals it: every key is there, null where not known."""
    keys = (
        "last_rate", "expected_rate", "interval_hours", "basis_rate", "expected_funding",
        "fee_cost", "slippage_cost", "basis_cost", "cost", "value", "break_even_settlements",
        "notional", "binding_limit",
    )  # fmt: skip
    empty = dict.fromkeys(keys)
    return {"pair": pair, "verdict": verdict, "reason": reason, **empty, "quantity": "0", **numbers}


COSTS = {"fee_cost": "0.0031", "slippage_cost": "0.0005", "basis_cost": "0", "cost": "0.0036"}
JUDGED = {
    "break_even_shorter_settlements": 60, "break_even_shorter_hours": "240",
    "loss_probability": "0.175", "conviction": "0.8",
    "conviction_parts": {"safety": "0.825", "value": "0.5"},
    "limits": {"pair_notional": "0.25", "kelly": "0.4", "perp_depth": "7"}, "kelly": "0.16",
    "hold_left": 3, "liquidation_up": "3.25",
    "basis_percentile": "0.625", "reserve_rate": "0.005", "return_on_capital": "0.003863414634",
    "signals": {
        "regime": "high", "percentile": "0.8", "persistence": "0.9", "has_skill": False,
        "basis_usual": "0.0004", "hold_deviation": "0.0082",
    },
}  # fmt: skip
APPRAISALS = [
    appraisal(
        "BTCUSDT", "hold", "worth_staying", last_rate="0.00025", expected_rate="0.00012",
        interval_hours="8", basis_rate="0.0012", expected_funding="0.00756", value="0.00396",
        break_even_settlements=30, quantity="0.25", notional="10260", **COSTS, **JUDGED,
    ),
    appraisal(
        "ETHUSDT", "passed_over", "break_even_too_far", last_rate="-0.00015",
        expected_rate="0.00006", interval_hours="8", basis_rate="0", expected_funding="0.00378",
        value="0.00018", break_even_settlements=61, quantity="4.97", notional="9999.64",
        binding_limit="pair_notional", **COSTS,
    ),
    appraisal("SOLUSDT", "passed_over", "book_missing"),
]  # fmt: skip


async def seed_decision(connection: Any, **changes: Any) -> None:
    await insert(
        connection, "strategy.policy", hash="policy1", applied_at=WALL,
        body=json.dumps(
            {
                "entry_margin": "0.0010", "gross_notional": "50000", "max_pairs": 5,
                "loss_probability_max": "0.25", "basis_percentile_min": "0.10",
                "weight_value": "0.30", "weight_safety": "0.20", "maintenance_rate": "0.02",
            }
        ),
    )  # fmt: skip
    await insert(
        connection, "strategy.decision_inputs", hash="inputs1", body=b"{}", created_at=WALL,
    )  # fmt: skip
    verdicts = {
        "hold_hours": "504",
        "break_even_limit_settlements": 42,
        "appraisals": APPRAISALS,
    }
    values: Mapping[str, Any] = {
        "id": DECISION, "decided_at": at("16:01"), "policy_hash": "policy1",
        "inputs_hash": "inputs1", "verdicts": json.dumps(verdicts), "intents": 1,
        "correlation_id": DECISION, "created_at": WALL, **changes,
    }  # fmt: skip
    await insert(connection, "strategy.decision", **values)
    await insert(
        connection, "strategy.intent", id="intentbtc", decision_id=DECISION,
        decided_at=at("16:01"), pair="BTCUSDT", quantity=Decimal("0.25"), reason="worth_opening",
        correlation_id=DECISION, created_at=WALL,
    )  # fmt: skip


async def seed_execution(connection: Any) -> None:
    for pair, base, spot, perp, opened in (
        ("BTCUSDT", "BTC", "0.25", "-0.25", "01:01"),
        ("ETHUSDT", "ETH", "5", "-5", "02:01"),
    ):
        await insert(
            connection, "execution.position", pair=pair, base=base, state="Hedged",
            target_quantity=Decimal(spot), spot_quantity=Decimal(spot),
            perp_quantity=Decimal(perp), spot_value=Decimal(0), perp_value=Decimal(0),
            opened_at=at(opened), correlation_id=f"c{base}", updated_at=WALL,
        )  # fmt: skip
    await insert(
        connection, "execution.plan", id=PLAN_BTC, intent_id="intentbtc", pair="BTCUSDT",
        target_quantity=Decimal("0.25"), first_leg="s", state="hedged", reason="worth_opening",
        spot_at_start=Decimal(0), perp_at_start=Decimal(0), unhedged_seconds=Decimal("0.041"),
        decided_at=at("01:01"), finished_venue_at=at("01:02"), correlation_id="cBTC",
        created_at=WALL, finished_at=WALL,
    )  # fmt: skip
    await attempt(connection, "r1order1", state="filled", filled="0.2505", value="10020")
    for row in (
        ("spot", "s1", "BTCUSDT", "Buy", "0.2505", "40000", "10020", "0.0005", "BTC", "01:01"),
        ("linear", "p1", "BTCUSDT", "Sell", "0.25", "40100", "10025", "5.5", "USDT", "01:01"),
        ("spot", "s2", "ETHUSDT", "Buy", "5.005", "2000", "10010", "0.005", "ETH", "02:01"),
        ("linear", "p2", "ETHUSDT", "Sell", "5", "2002", "10010", "5", "USDT", "02:01"),
    ):
        category, exec_id, symbol, side, quantity, price, value, fee, currency, clock = row
        await insert(
            connection, "execution.fill", category=category, exec_id=exec_id, link_id="r1order1",
            order_id="o", plan_id=PLAN_BTC, leg="s", pair=symbol, symbol=symbol, side=side,
            quantity=Decimal(quantity), price=Decimal(price), value=Decimal(value),
            fee=Decimal(fee), fee_currency=currency, exec_type="Trade", is_maker=False,
            venue_at=at(clock), correlation_id="c", booked_at=WALL,
        )  # fmt: skip


async def attempt(
    connection: Any,
    link_id: str,
    *,
    state: str,
    filled: str = "0",
    value: str = "0",
    created_at: datetime = WALL,
) -> None:
    await insert(
        connection, "execution.attempt", link_id=link_id, plan_id=PLAN_BTC, leg="s", number=1,
        category="spot", symbol="BTCUSDT", side="Buy", quantity=Decimal("0.2505"),
        limit_price=Decimal("40040.0"), reduce_only=False, purpose="first", state=state,
        lease_epoch=1, sends=1, signed_at=WALL, filled_quantity=Decimal(filled),
        filled_value=Decimal(value), correlation_id="cBTC", created_at=created_at, updated_at=WALL,
    )  # fmt: skip


async def seed_lives(connection: Any) -> None:
    for pair, number, opened, closed, held, parts in (
        ("BTCUSDT", 1, at("01:01"), None, "0.25 10000 -0.25 -10025", "5.5 -25.5"),
        ("ETHUSDT", 1, at("12:00", 10), at("17:00", 10), "0 0 0 0", "7 0"),
        ("ETHUSDT", 2, at("02:01"), None, "5 10000 -5 -10010", "-1.5 -15"),
    ):
        coin, coin_cost, perp, perp_cost = map(Decimal, held.split())
        funding, fees = map(Decimal, parts.split())
        await insert(
            connection, "ledger.life", pair=pair, number=number, opened_at=opened,
            closed_at=closed, coin=coin, coin_cost=coin_cost, perp=perp, perp_cost=perp_cost,
            funding=funding, basis=Decimal(0), fees=fees, borrow=Decimal(0), slippage=Decimal(0),
            rounding=Decimal(0),
        )  # fmt: skip


async def seed_equity(connection: Any) -> None:
    for instant, net in ((at("16:01", 10), "1"), (at("16:01"), "3")):
        await insert(
            connection, "ledger.equity", venue_at=instant, equity=100_000 + Decimal(net),
            net=Decimal(net), funding=Decimal(11), fees=Decimal("40.5"), basis=Decimal("32.5"),
            recorded_at=WALL, growth=1 + Decimal(net) / 100_000,
        )  # fmt: skip


def group(
    key: str,
    kind: str,
    clock: str,
    balance: str,
    *lines: tuple[str, str],
    pair: str | None = None,
    exec_id: str | None = None,
    asset: str = "USDT",
    day: int = 11,
) -> PostingGroup:
    entries = tuple(Entry(account, asset, Decimal(amount)) for account, amount in lines)
    return PostingGroup(
        key, kind, pair, exec_id, asset, Decimal(balance), at(clock, day), None, entries
    )


def _funding(
    key: str, clock: str, balance: str, amount: str, pair: str, **more: Any
) -> PostingGroup:
    lines = ("wallet", amount), ("funding", str(-Decimal(amount)))
    return group(key, "funding", clock, balance, *lines, pair=pair, **more)


GROUPS = [
    group(
        "open", "opening", "00:00", "100000", ("wallet", "100000"), ("opening", "-100000"), day=10
    ),
    _funding("e0", "16:00", "100007", "7", "ETHUSDT", day=10),
    group(
        "s1b", "trade", "01:01", "0.25", ("wallet", "0.25"), ("trade", "-0.2505"),
        ("fees", "0.0005"), pair="BTCUSDT", exec_id="s1", asset="BTC",
    ),
    group(
        "s1u", "trade", "01:01", "89987", ("wallet", "-10020"), ("trade", "10020"),
        pair="BTCUSDT", exec_id="s1",
    ),
    group(
        "p1", "trade", "01:01", "89981.5", ("wallet", "-5.5"), ("fees", "5.5"),
        pair="BTCUSDT", exec_id="p1",
    ),
    group(
        "s2b", "trade", "02:01", "5", ("wallet", "5"), ("trade", "-5.005"), ("fees", "0.005"),
        pair="ETHUSDT", exec_id="s2", asset="ETH",
    ),
    group(
        "s2u", "trade", "02:01", "79971.5", ("wallet", "-10010"), ("trade", "10010"),
        pair="ETHUSDT", exec_id="s2",
    ),
    group(
        "p2", "trade", "02:01", "79966.5", ("wallet", "-5"), ("fees", "5"),
        pair="ETHUSDT", exec_id="p2",
    ),
    _funding("b1", "08:00", "79969.5", "3", "BTCUSDT"),
    _funding("b2", "16:00", "79972", "2.5", "BTCUSDT"),
    _funding("e1", "16:00", "79970.5", "-1.5", "ETHUSDT"),
]  # fmt: skip
