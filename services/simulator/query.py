"""Parameters of one request, read the way the venue reads them; what is wrong is 10001."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl

from shared.venue.rules import Refused

Row = TypeVar("Row")

DAY_MS: Final = 86_400_000
WEEK_MS: Final = 7 * DAY_MS
DIGITS_MAX: Final = 20  # more are no amount of anything, and too many to reckon with
TEXT_MAX: Final = 64


def whole(raw: str) -> int | None:
    """Return the number that ``raw`` writes in digits; None for all else (``²`` is a digit too)."""
    fits = raw.isascii() and raw.isdigit() and len(raw) <= DIGITS_MAX
    return int(raw) if fits else None


@dataclass(frozen=True, slots=True)
class Query:
    """The fields of a query string or a JSON body; ``admitted`` items of a batch fit the limit."""

    fields: Mapping[str, Any]
    admitted: int = 1

    @classmethod
    def of_string(cls, raw: bytes) -> "Query":
        """Read a raw query string; a repeated field takes its last value."""
        return cls(dict(parse_qsl(raw.decode("utf-8", "replace"), keep_blank_values=True)))

    @classmethod
    def of_body(cls, raw: bytes) -> "Query":
        """Read a JSON body; raises Refused when it is no object."""
        try:
            fields = json.loads(raw or b"{}", parse_float=str)
        except (ValueError, RecursionError):
            fields = None
        if not isinstance(fields, dict):
            raise Refused(10001, "params error: the body is no JSON object")
        return cls(fields)

    def text(self, name: str, default: str = "") -> str:
        """Return a field as text; ``default`` when it is absent or blank."""
        value = self.fields.get(name)
        return default if value is None or value == "" else str(value)

    def items(self, most: int) -> list["Query"]:
        """Return the requests of a batch, from 1 to ``most``; each takes the batch's category."""
        given = self.fields.get("request")
        if not isinstance(given, list) or not all(isinstance(item, dict) for item in given):
            raise Refused(10001, "params error: request is no list of objects")
        if not 1 <= len(given) <= most:
            raise Refused(10001, f"params error: a batch takes 1 to {most} requests")
        return [Query({**item, "category": self.category()}) for item in given]

    def required(self, name: str) -> str:
        """Return a field that must be there."""
        value = self.text(name)
        if not value:
            raise Refused(10001, f"params error: {name} is required")
        return value

    def amount(self, name: str) -> Decimal | None:
        """Return a decimal; None when it is absent or blank."""
        raw = self.text(name)
        if not raw:
            return None
        try:
            value = Decimal(raw)
        except InvalidOperation:
            value = Decimal("NaN")
        fits = value.is_finite() and abs(value.adjusted()) <= DIGITS_MAX and len(raw) <= TEXT_MAX
        if not fits:
            raise Refused(10001, f"params error: {name} is invalid")
        return value

    def integer(self, name: str, default: int) -> int:
        """Return a whole number of at least zero."""
        raw = self.text(name)
        if not raw:
            return default
        value = whole(raw)
        if value is None:
            raise Refused(10001, f"params error: {name} is invalid")
        return value

    def limit(self, default: int, most: int) -> int:
        """Return the page size asked for, from 1 to ``most``."""
        limit = self.integer("limit", default)
        if not 1 <= limit <= most:
            raise Refused(10001, "params error: limit is invalid")
        return limit

    def flag(self, name: str) -> bool:
        """Return a truth value; absent is false."""
        return self.text(name).lower() in ("true", "1")

    def category(self) -> str:
        """Return spot or linear, the only products of this venue."""
        category = self.required("category")
        if category not in ("spot", "linear"):
            raise Refused(10001, f"params error: category {category} is not listed here")
        return category

    def span(self, now_ms: int, window_ms: int, code: int) -> tuple[int, int]:
        """Return the instants asked for, first and last; at most seven days apart.

        One bound alone reaches ``window_ms`` from there; none means the newest ``window_ms``.
        """
        start, end = self.integer("startTime", -1), self.integer("endTime", -1)
        if start < 0 and end < 0:
            return now_ms - window_ms, now_ms
        if start < 0:
            return end - window_ms, end
        if end < 0:
            return start, start + window_ms
        if not 0 <= end - start <= WEEK_MS:
            raise Refused(code, "the time range must be within 7 days")
        return start, end

    def before(self, count: int) -> int:
        """Return how many of ``count`` rows, oldest first, the cursor leaves to show."""
        cursor = self.text("cursor").replace("%3A", ":").partition(":")[0]
        if not cursor:
            return count
        place = whole(cursor)
        if place is None:
            raise Refused(10001, "params error: cursor is invalid")
        return min(place, count)


def newest(
    query: Query, rows: Sequence[Row], fits: Callable[[Row], bool], limit: int, oldest: int = 0
) -> tuple[list[Row], str]:
    """Return a page of what fits, newest first, and the cursor to the next."""
    found: list[tuple[int, Row]] = []
    for place in range(query.before(len(rows)) - 1, oldest - 1, -1):
        if fits(rows[place]):
            found.append((place, rows[place]))
            if len(found) > limit:
                break
    shown = found[:limit]
    cursor = f"{shown[-1][0]}%3A{shown[-1][0]}" if len(found) > limit else ""
    return [row for _, row in shown], cursor


def page(rows: Sequence[Row], query: Query, limit: int) -> tuple[Sequence[Row], str]:
    """Return the rows that the cursor asks for, in their own order, and the cursor to the next."""
    first = query.integer("cursor", 0)
    more = str(first + limit) if first + limit < len(rows) else ""
    return rows[first : first + limit], more
