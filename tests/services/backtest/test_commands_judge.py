"""``walk-forward``, ``compare`` and ``report`` as their user runs them."""

import json
import re
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from services.carry.cli import app
from shared.domain.errors import Misconfigured

WALK = ["backtest", "walk-forward", "--symbols", "BTCUSDT,SOLUSDT", "--holds", "45"]


class Page(HTMLParser):
    """What a page would fetch, its ids, and the text of its body."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.ids: list[str] = []
        self.text = ""
        self._silent = False
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self._silent = tag in ("script", "style")
        self.fetched += [v for k, v in given.items() if k in ("src", "href", "srcset") and v]
        self.ids += [v for k, v in given.items() if k == "id" and v]

    def handle_endtag(self, tag: str) -> None:
        self._silent = False

    def handle_data(self, data: str) -> None:
        self.text += "" if self._silent else data + " "


def invoke(*arguments: str) -> str:
    done = CliRunner().invoke(app, list(arguments))
    assert done.exit_code == 0, done.output + repr(done.exception)
    return done.stdout


def cents(text: str) -> int:
    return int(Decimal(text.replace("−", "-").replace(",", "")).scaleb(2))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a month and a walk-forward, stored by the commands themselves."""
    place = tmp_path_factory.mktemp("reports")
    span = ["--from", "2023-11-08", "--to", "2023-12-08", "--symbols", "BTCUSDT,SOLUSDT"]
    invoke("backtest", "run", *span, "--report", str(place / "run.html"))
    invoke(*WALK, "--report", str(place / "walk.html"))
    return place


def stored(folder: Path, name: str) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((folder / f"{name}.json").read_text())
    return record


def test_a_walk_forward_stores_a_verdict_its_reasons_and_every_setting(folder: Path) -> None:
    walk = stored(folder, "walk")
    assert len(walk["sets"]) == 3 * (5 * 5 - 1)
    assert len(walk["folds"]) == 5
    judged = walk["judgement"]
    failing = [f["check"] for f in judged["findings"] if not f["holds"]]
    assert judged["reasons"] == failing
    assert (judged["verdict"] == "robust") is (failing == [])
    profits = sum((Decimal(f["profit"]) for f in walk["folds"]), Decimal(0))
    assert abs(profits - Decimal(walk["net"])) < Decimal("0.000001")
    assert abs(sum(map(Decimal, walk["daily"]["net"]), -profits)) < Decimal("0.00001")


def test_folds_follow_each_other_and_training_ends_before_its_test(folder: Path) -> None:
    folds = stored(folder, "walk")["folds"]
    assert [f["test"][1] for f in folds[:-1]] == [f["test"][0] for f in folds[1:]]
    for fold in folds:
        assert fold["train"][0] < fold["train"][1] < fold["test"][0]


@pytest.mark.parametrize("name", ["run", "walk"])
def test_a_page_fetches_nothing_and_names_each_id_once(folder: Path, name: str) -> None:
    source = (folder / f"{name}.html").read_text()
    page = Page(source)
    assert page.fetched == []
    assert "default-src 'none'" in source
    assert len(page.ids) == len(set(page.ids))
    assert len(source) < 2_600_000


def test_the_run_page_shows_the_runs_own_figures(folder: Path) -> None:
    run, page = stored(folder, "run"), Page((folder / "run.html").read_text())
    assert sum(Decimal(run["parts"][p]) for p in ("funding", "basis", "fees", "slippage")) == (
        Decimal(run["net"])
    )
    assert "Parts add up" in page.text
    assert f"{Decimal(run['net']):+,.2f}".replace("-", "−") in page.text
    assert "Not judged" in page.text
    assert "What flatters this result" in page.text


def test_the_switches_add_up_to_what_is_left(folder: Path) -> None:
    source = (folder / "run.html").read_text()
    net = int(re.findall(r'id="priced" data-cents="(-?\d+)"', source)[0])
    prices = [int(v) for v in re.findall(r'id="flat-\w+" data-cents="(-?\d+)" checked', source)]
    left = re.findall(r'id="priced" data-cents="-?\d+">([^<]+)<', source)[0]
    assert len(prices) == 4
    assert cents(left) == net + sum(prices)


def test_a_page_is_made_again_byte_by_byte_without_running(folder: Path) -> None:
    again = folder / "again.html"
    said = invoke("backtest", "report", str(folder / "run.json"), "--report", str(again))
    assert str(again) in said
    assert again.read_bytes() == (folder / "run.html").read_bytes()


def test_a_run_takes_its_verdict_from_a_walk_forward(folder: Path) -> None:
    joined = folder / "joined.html"
    files = [str(folder / f"{name}.json") for name in ("run", "walk")]
    told = json.loads(
        invoke(
            "backtest", "report", files[0], "--walk-forward", files[1],
            "--report", str(joined), "--json",
        )
    )  # fmt: skip
    assert told == {"id": stored(folder, "run")["id"], "page": str(joined)}
    page = Page(joined.read_text())
    assert "checks hold for the searched rule" in page.text
    assert "Settings around it" in page.text
    assert "Not judged" not in page.text


def test_two_stored_runs_are_compared(folder: Path) -> None:
    files = [str(folder / f"{name}.json") for name in ("run", "walk")]
    told = json.loads(invoke("backtest", "compare", *files, "--json"))
    assert told["names"] == files
    assert told["parameters"]["spans"] == [None, "9 21 63"]
    shown = invoke("backtest", "compare", *files)
    assert "than the first" in shown or "from the first" in shown or "too few" in shown


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["walk-forward", "--spans", "nine"], "no list of counts"),
        (["walk-forward", "--entries", "much"], "no list of rates"),
        (["walk-forward", "--folds", "40"], "weeks are too few for 40 folds"),
        (["walk-forward", "--exits", "0.5"], "leave below where they enter"),
        (["walk-forward", "--from", "2024-01-01", "--to", "2023-01-01"], "is not before"),
        (["walk-forward", "--data", "nowhere"], "cannot be read"),
        (["report", "nowhere.json"], "is no file"),
        (["compare", "a/b", "c/d"], "is no file"),
    ],
)
def test_bad_input_is_one_sentence_that_names_it(arguments: list[str], said: str) -> None:
    done = CliRunner().invoke(app, ["backtest", *arguments])
    assert isinstance(done.exception, Misconfigured), done.output
    assert said in str(done.exception)


def test_a_file_that_is_no_stored_run_is_refused(tmp_path: Path) -> None:
    for text, said in (("{", "is no JSON"), ('{"net": "1"}', "is no stored run")):
        path = tmp_path / "other.json"
        path.write_text(text)
        done = CliRunner().invoke(app, ["backtest", "report", str(path)])
        assert said in str(done.exception)


def test_a_run_of_another_version_is_told_from_a_broken_one(tmp_path: Path, folder: Path) -> None:
    whole = stored(folder, "run")
    path = tmp_path / "old.json"
    path.write_text(json.dumps({name: v for name, v in whole.items() if name != "start"}))
    for arguments in (["report", str(path)], ["compare", str(path), str(folder / "run.json")]):
        done = CliRunner().invoke(app, ["backtest", *arguments])
        assert isinstance(done.exception, Misconfigured)
        assert "lacks 'start': another version wrote it" in str(done.exception)


def test_a_folder_means_the_one_run_in_it(tmp_path: Path, folder: Path) -> None:
    done = CliRunner().invoke(app, ["backtest", "report", str(folder)])
    assert "holds 2 stored runs: name the file" in str(done.exception)
    (tmp_path / "only.json").write_bytes((folder / "run.json").read_bytes())
    page = tmp_path / "page.html"
    invoke("backtest", "report", str(tmp_path), "--report", str(page))
    assert page.exists()
