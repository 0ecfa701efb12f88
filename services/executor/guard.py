"""What forbids opening: our books or positions differ from the venue's, or a stranger trades."""


class Guard:
    """Named differences; while any stands nothing new is opened."""

    def __init__(self) -> None:
        self._differences: dict[str, str] = {}

    @property
    def differs(self) -> bool:
        """Whether any difference stands."""
        return bool(self._differences)

    @property
    def details(self) -> list[str]:
        """Every standing difference in words."""
        return [f"{name}: {detail}" for name, detail in sorted(self._differences.items())]

    def report(self, name: str, detail: str | None) -> bool:
        """Set or, with None, clear one difference; return whether it is new."""
        if detail is None:
            self._differences.pop(name, None)
            return False
        is_new = name not in self._differences
        self._differences[name] = detail
        return is_new
