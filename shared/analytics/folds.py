"""Walk-forward folds: choose on what is past, be judged on what comes after."""

from dataclasses import dataclass
from itertools import pairwise

from shared.domain.errors import require


@dataclass(frozen=True, slots=True)
class Fold:
    """Two half-open ranges of observations: choose on ``train``, be judged on ``test``.

    The observations between the end of ``train`` and the start of ``test`` belong to neither.
    """

    train: tuple[int, int]
    test: tuple[int, int]


def walk_forward(
    count: int, folds: int, *, purge: int = 0, embargo: int = 0, window: int | None = None
) -> list[Fold]:
    """Return ``folds`` folds over observations 0 .. count - 1, oldest first.

    The observations are cut into ``folds`` + 1 blocks as equal as they can be; each block after the
    first is a test. What is opened in training may be held for ``purge`` observations and so be
    paid inside the test, and ``embargo`` more are left out because neighbours resemble each other:
    training ends that many before its test starts. It begins at 0, or ``window`` before its end.
    Raises: InvariantViolation when a training range would be empty.
    Source: Lopez de Prado, Advances in Financial Machine Learning (2018), 7.4 and 12.2.
    """
    require(folds >= 1 and purge >= 0 and embargo >= 0, "folds, purge and embargo are counts")
    edges = [count * i // (folds + 1) for i in range(folds + 2)]
    made = []
    for start, stop in pairwise(edges[1:]):
        last = start - purge - embargo
        first = 0 if window is None else max(0, last - window)
        require(
            first < last and start < stop,
            f"{count} observations are too few for {folds} folds with {purge + embargo} left out",
        )
        made.append(Fold((first, last), (start, stop)))
    return made
