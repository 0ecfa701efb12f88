"""The list of planted bugs stays true to the tree: each text is there once, each test exists."""

import ast
from collections import Counter
from dataclasses import replace

import pytest

from tests.mutants.listed import MUTANTS
from tests.mutants.planted import Mutant
from tests.mutants.run import ROOT, planted


def _names(mutant: Mutant) -> str:
    return mutant.name


@pytest.mark.parametrize("mutant", MUTANTS, ids=_names)
def test_each_bug_can_still_be_planted(mutant: Mutant) -> None:
    before = (ROOT / mutant.file).read_text()
    after = planted(before, mutant)
    assert after != before
    compile(after, mutant.file, "exec")


@pytest.mark.parametrize("mutant", MUTANTS, ids=_names)
def test_each_tier_exists(mutant: Mutant) -> None:
    if mutant.is_simulated:
        first, count = map(int, mutant.tier.split("/"))
        assert first > 0
        assert 0 < count <= 100
        return
    file, name = mutant.tier.split("::")
    tree = ast.parse((ROOT / file).read_text())
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    assert name.split("[")[0] in {n.name for n in tree.body if isinstance(n, functions)}


def test_there_are_enough_and_each_has_its_own_name() -> None:
    assert len(MUTANTS) >= 30  # RELIABILITY 3.7
    assert max(Counter(mutant.name for mutant in MUTANTS).values()) == 1


def test_a_text_that_is_not_there_once_is_an_error() -> None:
    mutant = replace(MUTANTS[0], old="a", new="b")
    assert planted("cat", mutant) == "cbt"
    for text in ("", "aa"):
        with pytest.raises(ValueError, match="times, not once"):
            planted(text, mutant)
