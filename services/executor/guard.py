"""What forbids opening: our books or positions differ from the venue's, or a stranger trades."""

from typing import Final

LASTING: Final = 2


class Guard:
    """Named differences; while any stands nothing new is opened."""

    def __init__(self) -> None:
        self._differences: dict[str, str] = {}
        self._seen: dict[str, int] = {}

    @property
    def differs(self) -> bool:
        """Whether any difference stands."""
        return bool(self._differences)

    @property
    def details(self) -> list[str]:
        """Every standing difference in words."""
        return [f"{name}: {detail}" for name, detail in sorted(self._differences.items())]

    @property
    def lasts(self) -> bool:
        """Whether a difference was found twice in a row: waiting does not mend it."""
        return any(count >= LASTING for count in self._seen.values())

    def report(self, name: str, detail: str | None, *, passes: bool = False) -> bool:
        """Set or, with None, clear one difference; return whether it is new.

        One that ``passes`` mends itself, as a venue that does not answer: it never ``lasts``.
        """
        if detail is None:
            self._differences.pop(name, None)
            self._seen.pop(name, None)
            return False
        is_new = name not in self._differences
        self._differences[name] = detail
        self._seen[name] = 0 if passes else self._seen.get(name, 0) + 1
        return is_new
