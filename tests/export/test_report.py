from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from nas.core.architecture import Architecture
from nas.export.report import ReportData, comparison_of, render_report, write_report
from nas.export.sections import duration, verdict
from search_spaces import get_space

VOID = {"meta", "link", "br", "img", "input", "hr"}
SECTIONS = [
    "notes",
    "best",
    "comparison",
    "front",
    "seeds",
    "curves",
    "alphas",
    "decisions",
    "collapse",
    "exports",
    "reproduce",
    "settings",
]
EVIL = "<script>alert('x')</script>&\""


class Page(HTMLParser):
    """Checks that tags close in order and collects what the tests ask about."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.sections: list[str] = []
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.stack == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        named = dict(attrs)
        if tag == "section":
            self.sections.append(named.get("id") or "")
        self.links += [named[k] or "" for k in ("href", "src", "xlink:href") if k in named]
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def comparison(difference: float, low: float, high: float) -> dict[str, Any]:
    return {
        "metric": "test_error",
        "arms": {"search": [0.02, 0.03], "random": [0.04, 0.05, 0.06]},
        "intervals": {"search": [0.025, 0.02, 0.03]},
        "difference": difference,
        "low": low,
        "high": high,
        "confidence": 0.95,
    }


@pytest.fixture
def full(
    member: Callable[..., Architecture], decision: dict[str, Any], points: list[dict[str, Any]]
) -> ReportData:
    architecture = member("darts")
    table = {"group": EVIL, "rows": [EVIL], "columns": ["none", EVIL], "values": [[0.5, None]]}
    return ReportData(
        name=EVIL,
        status="done",
        space="darts",
        strategy="darts",
        data="digits",
        seed=0,
        best={
            "architecture": architecture.to_dict(),
            "figures": {"test_error": 0.02, "params": 1e5, "macs": 1e7},
            "scale": {"channels": 16},
            "notation": get_space("darts").format(architecture),
        },
        spent={"epochs": 10.0, "evaluations": 3, "seconds": 300.0, "macs": 1e12},
        settings={"a": {"b": EVIL}, "c": [1, 2], "d": None},
        versions={"torch": "2"},
        front={"points": points, "hypervolume": 0.5},
        curves={EVIL: {"series": {EVIL: [[0, 1.0], [1, 0.5]]}}, "empty": {"series": {"a": []}}},
        alphas=[table],
        decisions=[{**decision, "reason": EVIL}, {"edge": "e", "operation": None}],
        collapse=[{"step": 1, "skips": {"normal": 3}, "eigenvalue": 0.1, "alarm": EVIL}],
        comparison=comparison(0.025, 0.01, 0.04),
        seeds=[{"seed": 0, "arm": "search", "figures": {"test_error": 0.02}, "label": EVIL}],
        exports=[
            {"form": form, "path": f"best/model.{form}", "bytes": 5000, "difference": 1e-7}
            for form in ("json", "python", "onnx", "pt2", "svg")
        ],
        commands={"reproduce": f"nas search {EVIL}"},
        notes=[EVIL],
        input_shape=(1, 8, 8),
    )


def test_every_section_is_there(full: ReportData) -> None:
    page = Page(render_report(full))
    assert page.sections == SECTIONS
    assert {"svg", "table", "details", "style"} <= page.tags


def test_the_front_s_heading_is_about_the_goal(full: ReportData) -> None:
    assert "<h2>Error against cost</h2>" in render_report(full)
    assert full.front is not None
    points = [{"id": "0", "figures": {"drawn_distance": 2.5, "params": 4.0}}]
    front = {**full.front, "points": points, "goal": "drawn_distance"}
    assert "<h2>Drawn distance against cost</h2>" in render_report(replace(full, front=front))


def test_nothing_of_the_data_becomes_markup(full: ReportData) -> None:
    text = render_report(full)
    assert "script" not in Page(text).tags
    assert "<script" not in text
    assert Page(text).text.count("<script>alert") >= 8


def test_nothing_is_loaded_from_elsewhere(full: ReportData) -> None:
    text = render_report(full)
    page = Page(text)
    assert page.links == []
    assert not {"link", "img", "iframe", "script", "object"} & page.tags
    assert "url(" not in text
    assert "@import" not in text
    assert text.replace("http://www.w3.org/2000/svg", "").count("http") == 0


def test_what_is_absent_is_left_out() -> None:
    page = Page(render_report(ReportData("empty")))
    assert page.sections == []
    assert "None" not in page.text


@pytest.mark.parametrize("section", ["comparison", "front", "exports"])
def test_sections_are_independent(full: ReportData, section: str) -> None:
    from dataclasses import replace

    empty: Any = () if section == "exports" else None
    page = Page(render_report(replace(full, **{section: empty})))
    assert page.sections == [name for name in SECTIONS if name != section]


def test_recipes_are_told(full: ReportData) -> None:
    """Of the best network, and of the front's where they are not all the same."""
    from dataclasses import replace

    assert full.best
    points = (full.front or {})["points"]
    assert "Trained with" not in Page(render_report(full)).text
    recipe = {"learning_rate": 0.05, "schedule": {"name": EVIL}}
    best = {**full.best, "recipe": recipe}
    page = Page(render_report(replace(full, best=best)))
    assert f"Trained with learning_rate 0.05, schedule.name {EVIL}." in page.text
    assert "script" not in page.tags

    def table(*rates: float | None) -> str:
        told = [
            {**point, **({} if rate is None else {"recipe": {"learning_rate": rate}})}
            for point, rate in zip(points, rates, strict=False)
        ]
        return Page(render_report(ReportData("x", front={"points": told}))).text

    assert "learning_rate 0.25" in table(0.5, 0.25)
    assert "learning_rate 0.25" in table(0.25, None)
    assert "learning_rate 0.25" in table(0.25)
    assert "recipe" not in table(0.25, 0.25)
    assert "recipe" not in table(None, None)


def test_the_verdict_says_which_way_it_fell() -> None:
    better = verdict(comparison(0.025, 0.01, 0.04))
    worse = verdict(comparison(-0.025, -0.04, -0.01))
    unclear = verdict(comparison(0.005, -0.01, 0.02))
    assert better.startswith("The search found better networks than random choice")
    assert "2.50\u00a0points" in better
    assert worse.startswith("Random choice found better networks than the search")
    assert "higher by 2.50\u00a0points" in worse
    assert unclear.startswith("No difference between the search and random choice")
    assert "\u22121.00\u00a0points to 2.00\u00a0points" in unclear
    assert all("2 search and 3 random networks" in text for text in (better, worse, unclear))


def test_a_run_s_baseline_is_turned_round() -> None:
    """There the difference is search minus random."""
    numbers = {"difference": -0.02, "low": -0.03, "high": -0.01, "confidence": 0.95}
    arms = {"arms": {"search": [0.1, 0.2], "random": [0.12, 0.22]}}
    costs = {"search_macs": 2e12, "random_macs": 3e12, "search_seconds": 300.0}
    turned = comparison_of(
        {"metric": "test_error", **numbers, **arms, **costs, "random_candidates": 7}
    )
    assert (turned["difference"], turned["low"], turned["high"]) == (0.02, 0.01, 0.03)
    assert verdict(turned).startswith("The search found better networks")
    assert "2\u00a0T multiply-adds and 5 min of computing, random" in turned["cost"]
    assert "3\u00a0T for 7 architectures" in turned["cost"]
    single = comparison_of({"arms": {"search": [0.1], "random": [0.2]}, "difference": -0.1})
    assert "too few networks" in verdict(single)
    assert "too few networks" in Page(render_report(ReportData("x", comparison=single))).text


def test_the_page_is_the_same_every_time(full: ReportData, tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", full)
    assert (tmp_path / "report.html").read_text() == render_report(full)


def test_times_as_people_say_them() -> None:
    assert [duration(s) for s in (5, 300, 9000)] == ["5 s", "5 min", "2.5 h"]
