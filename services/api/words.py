"""Verdicts and numbers in plain words: what, by which number, against which limit."""

from collections.abc import Callable, Mapping
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import Any, Final

from shared.domain.money import ZERO
from shared.domain.profit import WIDE
from shared.domain.universe import Reason

MINUS: Final = "\N{MINUS SIGN}"

Facts = Mapping[str, Any]
"""One appraisal as journaled, with the policy's thresholds under ``limit_`` names."""


def sentence(base: str, facts: Facts) -> str:
    """Return why the pair on ``base`` got its verdict; an unknown reason is said as it is."""
    reason = str(facts.get("reason", ""))
    say = _SENTENCES.get(reason)
    return f"{reason.replace('_', ' ').capitalize()}." if say is None else say(base, facts)


def bps(rate: Decimal | None, places: str = "0.1") -> str:
    """Return a fraction in basis points, such as ``+3.6 bps``."""
    if rate is None:
        return "an unknown rate"
    with localcontext(WIDE):
        rounded = (rate * 10_000).quantize(Decimal(places), ROUND_HALF_UP)
    return f"{_signed(rounded)} bps"


def percent(share: Decimal | None) -> str:
    """Return a share or probability in whole percent, such as ``18 %``."""
    if share is None:
        return "an unknown share"
    with localcontext(WIDE):
        return f"{_grouped((share * 100).quantize(Decimal(1), ROUND_HALF_UP))} %"


def usdt(amount: Decimal, places: str = "0.01") -> str:
    """Return an amount without a plus sign, such as ``12,345.60 USDT``."""
    with localcontext(WIDE):
        rounded = amount.quantize(Decimal(places), ROUND_HALF_UP)
    return f"{_grouped(rounded)} USDT"


def count(number: int, one: str, many: str | None = None) -> str:
    """Return ``1 order``, ``2 orders``."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def listed(names: list[str]) -> str:
    """Return ``BTC``, ``BTC and ETH``, ``BTC, ETH and SOL``."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def decimal_of(value: object) -> Decimal | None:
    """Return a journaled decimal; None stays None."""
    return None if value is None else Decimal(str(value))


def _break_even(base: str, facts: Facts) -> str:
    return (
        f"Costs are paid after {facts.get('break_even_settlements')} settlements, "
        f"limit {facts.get('limit_settlements')}."
    )


def _longs_are_paid(base: str, facts: Facts) -> str:
    rate = decimal_of(facts.get("expected_rate"))
    if rate is None or rate == ZERO:
        return "No funding is expected, so costs are never paid."
    return f"Longs are paid: {_per_interval(rate, facts)} is expected, which a short pays."


def _below_margin(base: str, facts: Facts) -> str:
    value = decimal_of(facts.get("value"))
    asked = decimal_of(facts.get("limit_margin"))
    return f"Worth {bps(value)} {_over(facts)} after costs, asked {bps(asked)}."


def _too_small(base: str, facts: Facts) -> str:
    limit = _limit_words(facts)
    return f"Too small: {limit} allows less than the smallest order of {base}."


def _no_room(base: str, facts: Facts) -> str:
    if facts.get("binding_limit") == "max_pairs":
        return f"No room: {facts.get('limit_pairs')} pairs are held or chosen, which is the limit."
    name = str(facts.get("binding_limit") or "gross_notional")
    if name == "switching":
        return "No room yet: another pair gives way first."
    kind = {"gross_notional": "gross", "cluster_notional": "cluster"}.get(name)
    if kind is None:
        return f"No room: with it {_limit_words(facts)} would be passed."
    amount = decimal_of(facts.get(f"limit_{kind}"))
    limit = f"the {kind} limit" if amount is None else f"the {kind} limit of {usdt(amount, '1')}"
    return f"No room: with it {limit} would be passed."


def _loss_likely(base: str, facts: Facts) -> str:
    chance = percent(decimal_of(facts.get("loss_probability")))
    most = percent(decimal_of(facts.get("limit_loss")))
    return f"Holding it loses money with a chance of {chance}, limit {most}."


def _basis_low(base: str, facts: Facts) -> str:
    place = percent(decimal_of(facts.get("basis_percentile")))
    least = percent(decimal_of(facts.get("limit_basis_percentile")))
    return f"The perpetual is cheap against spot: at {place} of past levels, asked {least}."


def _paid_soon(base: str, facts: Facts) -> str:
    return f"Held until the next payment, then it is left: {_leaving(facts)}."


def _rotated(base: str, facts: Facts) -> str:
    margin = decimal_of(facts.get("limit_switching"))
    least = "" if margin is None else f" by more than {bps(margin).lstrip('+')}"
    return f"Closes: another pair is worth its room better{least}."


def _opening(base: str, facts: Facts) -> str:
    return (
        f"Opens: costs are paid after {facts.get('break_even_settlements')} settlements, limit "
        f"{facts.get('limit_settlements')}; worth {bps(decimal_of(facts.get('value')))} "
        f"{_over(facts)} after costs."
    )


def _staying(base: str, facts: Facts) -> str:
    funding = decimal_of(facts.get("expected_funding"))
    return f"Held: {bps(funding)} of funding is expected {_over(facts)}; {_leaving(facts)}."


def _left(base: str, facts: Facts) -> str:
    funding = decimal_of(facts.get("expected_funding"))
    return f"Closes: {bps(funding)} of funding is expected {_over(facts)}; {_leaving(facts)}."


def _leaving(facts: Facts) -> str:
    parts = [decimal_of(facts.get("fee_cost")), decimal_of(facts.get("slippage_cost"))]
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return "what leaving and coming back costs is not known"
    with localcontext(WIDE):
        cost = sum(known, ZERO) * 10_000
        rounded = cost.quantize(Decimal("0.1"), ROUND_HALF_UP)
    return f"leaving and coming back costs {_grouped(rounded)} bps"


def _identity(base: str, facts: Facts) -> str:
    limit = decimal_of(facts.get("limit_basis"))
    bound = "too much" if limit is None else f"more than {bps(limit, '1').lstrip('+')}"
    return f"Spot and perpetual of {base} differ by {bound}: they may not be one coin."


def _history(base: str, facts: Facts) -> str:
    wanted = facts.get("limit_history")
    return f"Fewer than {wanted} settlements of {base} are known, too few for a forecast."


def _said(text: str) -> Callable[[str, Facts], str]:
    return lambda base, facts: text.format(base=base)


_SENTENCES: Final[Mapping[str, Callable[[str, Facts], str]]] = {
    Reason.BOOK_MISSING: _said("Not known: the book of one leg of {base} is missing."),
    Reason.BOOK_UNSOUND: _said("Not known: the book of one leg of {base} is crossed or empty."),
    Reason.BOOK_STALE: _said("Not known: a book of {base} is older than the decision."),
    Reason.PRICE_MISSING: _said("Not known: no mark or index price of {base}."),
    Reason.FUNDING_MISSING: _said("Not known: the last settlement of {base} has not come in."),
    Reason.NOT_TRADING: _said("One leg of {base} does not trade now."),
    Reason.IDENTITY_DOUBTFUL: _identity,
    Reason.HISTORY_SHORT: _history,
    Reason.SIGNALS_MISSING: _said("Not known: the past of {base} is too short for a forecast."),
    Reason.BASIS_MISSING: _said("Not known: {base}'s prices at the last settlement are missing."),
    Reason.LONGS_ARE_PAID: _longs_are_paid,
    Reason.BREAK_EVEN_TOO_FAR: _break_even,
    Reason.BELOW_MARGIN: _below_margin,
    Reason.BASIS_LOW: _basis_low,
    Reason.LOSS_TOO_LIKELY: _loss_likely,
    Reason.ADL_ALERT: _said(
        "Not entered: the insurance pool of {base} is short, so winning positions may be closed."
    ),
    Reason.ADL_UNKNOWN: _said("Not known: whether the insurance pool of {base} is short."),
    Reason.SETTLEMENT_NEAR: _said("The next settlement is so near that an order might miss it."),
    Reason.TOO_SMALL: _too_small,
    Reason.NO_ROOM: _no_room,
    Reason.WORTH_OPENING: _opening,
    Reason.WORTH_STAYING: _staying,
    Reason.PAID_SOON: _paid_soon,
    Reason.NOT_KNOWN: _said("Held: its numbers are not known now, so nothing is changed."),
    Reason.WORTH_LEAVING: _left,
    Reason.ROTATED: _rotated,
    Reason.DELISTING: _said("Closes: trading of {base} ends."),
}


def _over(facts: Facts) -> str:
    hours = decimal_of(facts.get("hold_hours"))
    if hours is None:
        return "over the hold"
    if hours % 24 == 0 and hours >= 48:
        return f"over {_grouped(hours / 24)} days"
    return f"over {_grouped(hours)} h"


def _per_interval(rate: Decimal, facts: Facts) -> str:
    hours = facts.get("interval_hours")
    return bps(rate, "0.01") if hours is None else f"{bps(rate, '0.01')} per {hours} h"


def _limit_words(facts: Facts) -> str:
    name = str(facts.get("binding_limit") or "the limit")
    return name if name.startswith("the ") else f"the {name.replace('_', ' ')}"


def _signed(value: Decimal) -> str:
    if value == ZERO:
        return f"{abs(value):f}"
    return f"+{_grouped(value)}" if value > ZERO else _grouped(value)


def _grouped(value: Decimal) -> str:
    text = f"{abs(value):,f}" if value else f"{abs(value):f}"
    return f"{MINUS}{text}" if value < ZERO else text
