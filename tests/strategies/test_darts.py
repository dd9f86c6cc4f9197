"""The order of DARTS's questions and what it makes of the answers, with an engine that is made up.

Schedules and counts are those that the published code of DARTS-PT shows when it is run with a
counting evaluator (Wang et al., ICLR 2021; space S5 is its form of the DARTS space).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from nas.core.architecture import Architecture
from nas.core.errors import CandidateError, ConfigError, UnsupportedError
from nas.core.objective import parse_objectives
from nas.core.problem import Problem
from nas.core.work import Call, Outcome
from nas.oneshot.measuring import Loss, rank
from nas.strategies import STRATEGIES
from nas.strategies.darts import Darts, decision_epochs
from nas.testing.toys import ToySpace
from search_spaces import get_space
from search_spaces.cell import legal_operations

DARTS_SPACES = ("darts", "darts-s1", "darts-s2", "darts-s3", "darts-s4", "darts-s5")
Table = Callable[[str], tuple[float, float]]
"""Name of what is missing ("edge operation" or "edge") to the error and loss without it."""


def chance(seed: int = 0) -> Table:
    """Figures that depend on the name only, drawn coarsely so that ties abound."""

    def figures(name: str) -> tuple[float, float]:
        rng = np.random.default_rng([seed, *name.encode()])
        return float(rng.integers(0, 4)) / 4, float(rng.integers(0, 4)) / 4

    return figures


@dataclass
class Engine:
    """Answers a strategy's calls as a supernet would, from a table.

    Attributes:
        log: Tuning epoch (-1 before tuning), method, what was asked about.
        evaluations: Variants measured, by method.
        announced: Topics and payloads.
    """

    space: Any
    settings: Mapping[str, Any]
    table: Table = field(default_factory=chance)
    fails: Callable[[Call, int], bool] = lambda call, index: False
    log: list[tuple[int, str, str]] = field(default_factory=list)
    evaluations: dict[str, int] = field(default_factory=lambda: {"drops": 0, "edge_drops": 0})
    announced: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    eigenvalues: Sequence[float] = ()
    mixture: Mapping[str, Any] | None = None
    _epoch: int = -1
    _count: int = 0
    _curvatures: int = 0

    @property
    def paper(self) -> bool:
        return dict(self.settings.get("selection", {})).get("mode") == "paper"

    def run(self, seed: int = 0) -> Architecture:
        problem = Problem(
            self.space,
            parse_objectives(["error"]),
            announce=lambda topic, payload: self.announced.append((topic, dict(payload))),
        )
        generator = Darts(self.settings).run(problem, np.random.default_rng(seed))
        answer: Any = None
        while True:
            try:
                request = generator.send(answer)
            except StopIteration as end:
                (candidate,) = end.value
                return candidate.architecture  # type: ignore[no-any-return]
            answer = [self.answer(call) for call in request]

    def answer(self, call: Any) -> Outcome:
        assert isinstance(call, Call)
        assert call.session == "supernet"
        self._count += 1
        if self.fails(call, self._count):
            return Outcome(call, "failed", error="it blew up")
        subject = str(call.arguments.get("edge", call.arguments.get("node", "")))
        self.log.append((self._epoch, call.method, subject))
        return Outcome(call, value=getattr(self, f"_{call.method}")(**call.arguments))

    def _train(self) -> dict[str, Any]:
        if self._epoch >= 0:
            self._epoch += 1
        return {"train_loss": 1.0, **self._mixture()}

    def _begin_tuning(self) -> None:
        self._epoch = 0

    def _mixture(self) -> dict[str, Any]:
        tables: dict[str, list[list[float]]] = {}
        for edge in self.space.edges:
            count = len(edge.operations)
            tables.setdefault(edge.group, []).append([1 / count] * count)
        return {"mixture": self.mixture or tables, "edge_weights": None}

    def _curvature(self) -> dict[str, float]:
        self._curvatures += 1
        return {"eigenvalue": self.eigenvalues[self._curvatures - 1] if self.eigenvalues else 1.0}

    def _drops(self, edge: str) -> dict[str, Any]:
        (found,) = [e for e in self.space.edges if e.name == edge]
        self.evaluations["drops"] += len(found.operations)
        legal = legal_operations(self.space)[edge]
        eligible = [o for o in found.operations if self.paper or o in legal]
        return self._measured({o: f"{edge} {o}" for o in found.operations}, eligible)

    def _edge_drops(self, group: str, node: int, edges: Sequence[str]) -> dict[str, Any]:
        assert all(name.startswith(f"{group}/{node}<-") for name in edges)
        self.evaluations["edge_drops"] += len(edges)
        return self._measured({name: name for name in edges}, list(edges))

    def _measured(self, names: Mapping[str, str], eligible: Sequence[str]) -> dict[str, Any]:
        variants = {key: Loss(*self.table(name)) for key, name in names.items()}
        criterion = dict(self.settings.get("selection", {})).get("criterion", "error")
        ranking = rank(variants, eligible, criterion, ties=not self.paper)
        return {
            "variants": {k: {"error": v.error, "loss": v.loss} for k, v in variants.items()},
            "ranking": list(ranking),
            "images": 100,
            "complete": True,
            "confidence": 0.0,
        }

    def _keep(self, edge: str, operation: str) -> None:
        (found,) = [e for e in self.space.edges if e.name == edge]
        assert operation in found.operations

    def _remove(self, edge: str) -> None:
        assert edge in {e.name for e in self.space.edges}


def engine(name: str, table: Table | None = None, **selection: Any) -> Engine:
    settings = {"epochs": 3, "selection": {"interval": 5, **selection}, "alarm": {"action": "off"}}
    return Engine(get_space(name), settings, table or chance())


def points(engine: Engine) -> list[int]:
    """Tuning epochs before which something was decided."""
    return sorted({epoch for epoch, method, _ in engine.log if method.endswith("drops")})


def trains(engine: Engine) -> int:
    return sum(method == "train" for epoch, method, _ in engine.log if epoch >= 0)


# -- schedule and cost ------------------------------------------------------------------------

PUBLISHED = [
    ("darts-s5", list(range(0, 81, 5)), 81, 196, 44),
    ("darts", list(range(0, 81, 5)), 81, 224, 44),
    ("darts-s1", list(range(0, 81, 5)), 81, 56, 44),
    ("darts-s2", list(range(0, 81, 5)), 81, 56, 44),
    ("darts-s3", list(range(0, 81, 5)), 81, 84, 44),
    ("darts-s4", list(range(0, 81, 5)), 81, 56, 44),
    ("nasbench201", [0, 5, 10, 15, 20, 24], 25, 30, 0),
]


@pytest.mark.parametrize(("name", "at", "tuning", "operations", "edges"), PUBLISHED)
def test_paper_mode_keeps_the_published_schedule_and_cost(
    name: str, at: list[int], tuning: int, operations: int, edges: int
) -> None:
    made = engine(name, mode="paper")
    made.run()
    assert points(made) == at
    assert trains(made) == tuning
    assert made.evaluations == {"drops": operations, "edge_drops": edges}


@pytest.mark.parametrize(
    ("name", "at", "operations", "edges"),
    [
        ("darts-s5", list(range(0, 81, 5)), 196, 24),
        ("darts", list(range(0, 81, 5)), 224, 24),
        ("nasbench201", list(range(0, 26, 5)), 30, 0),
    ],
)
def test_paired_mode_measures_topology_once_and_does_not_tune_after_the_end(
    name: str, at: list[int], operations: int, edges: int
) -> None:
    made = engine(name, mode="paired")
    made.run()
    assert points(made) == at
    assert trains(made) == at[-1]
    assert made.evaluations == {"drops": operations, "edge_drops": edges}
    assert made.log[-1][1] in ("keep", "remove")


@pytest.mark.parametrize("mode", ["paper", "paired"])
def test_a_point_decides_one_item_of_each_kind_of_cell(mode: str) -> None:
    made = engine("darts-s5", mode=mode)
    made.run()
    decided = [payload for topic, payload in made.announced if topic == "decision"]
    groups = [payload["group"] for payload in decided]
    assert groups == ["normal", "reduce"] * 17
    assert [payload["what"] for payload in decided] == ["operation"] * 28 + ["topology"] * 6
    assert {payload["node"] for payload in decided[28:]} == {1, 2, 3}
    by_epoch: dict[int, int] = {}
    for epoch, method, _ in made.log:
        by_epoch[epoch] = by_epoch.get(epoch, 0) + (method == "drops")
    assert all(count in (0, 2) for count in by_epoch.values())


def test_every_edge_is_decided_once_in_a_random_order() -> None:
    made = engine("darts")
    made.run()
    asked = [edge for _, method, edge in made.log if method == "drops"]
    names = [edge.name for edge in made.space.edges]
    assert sorted(asked) == sorted(names)
    normal = [edge for edge in asked if edge.startswith("normal")]
    assert normal != [name for name in names if name.startswith("normal")]
    kept = [edge for _, method, edge in made.log if method == "keep"]
    assert kept == asked


@pytest.mark.parametrize("interval", [1, 2, 7])
@pytest.mark.parametrize("name", ["darts", "nasbench201"])
@pytest.mark.parametrize("mode", ["paper", "paired"])
def test_expected_epochs_are_what_is_spent(name: str, mode: str, interval: int) -> None:
    made = engine(name, mode=mode, interval=interval)
    made.run()
    spent = sum(method == "train" for _, method, _ in made.log)
    assert Darts(made.settings).expected(made.space) == {"epochs": spent}


def test_expected_epochs_without_tuning() -> None:
    magnitude = Darts({"epochs": 7, "selection": {"method": "magnitude"}})
    assert magnitude.expected(get_space("darts")) == {"epochs": 7.0}
    assert Darts({"epochs": 7}).expected(ToySpace()) == {"epochs": 7.0}


def test_decision_epochs_of_a_single_decision() -> None:
    assert decision_epochs(1, 5, paper=True, topology=False) == [0]
    assert decision_epochs(2, 1, paper=True, topology=False) == [0, 0]
    assert decision_epochs(3, 5, paper=False, topology=False) == [0, 5, 10]


def test_the_same_chance_makes_the_same_decisions() -> None:
    first, second, other = engine("darts"), engine("darts"), engine("darts")
    assert first.run(seed=4) == second.run(seed=4)
    assert first.log == second.log
    assert first.announced == second.announced
    other.run(seed=5)
    assert other.log != first.log


# -- what is chosen ---------------------------------------------------------------------------


def planted(winners: Mapping[str, str], edges: Sequence[str], *, loss_only: bool = False) -> Table:
    """A table in which removing an edge's winner, or one of `edges`, hurts most."""

    def figures(name: str) -> tuple[float, float]:
        edge, _, operation = name.partition(" ")
        hurts = winners[edge] == operation if operation else edge in edges
        return (0.5, 3.0 + hurts) if loss_only else (0.3 + 0.4 * hurts, 1.0)

    return figures


@pytest.mark.parametrize("name", DARTS_SPACES)
@pytest.mark.parametrize("mode", ["paper", "paired"])
@pytest.mark.parametrize("criterion", ["error", "loss"])
def test_a_planted_winner_is_found(name: str, mode: str, criterion: str) -> None:
    space = get_space(name)
    rng = np.random.default_rng(1)
    target = space.sample(rng)
    kept = space.operations(target)  # type: ignore[attr-defined]
    legal = legal_operations(space)  # type: ignore[arg-type]
    winners = {
        edge.name: kept.get(edge.name, str(rng.choice(legal[edge.name])))
        for edge in space.edges  # type: ignore[attr-defined]
    }
    table = planted(winners, list(kept), loss_only=criterion == "loss")
    made = engine(name, table, mode=mode, criterion=criterion)
    assert made.run() == target


def test_a_planted_winner_is_found_on_nasbench201() -> None:
    space = get_space("nasbench201")
    target = space.members["optimum-cifar10"]
    winners = space.operations(target)  # type: ignore[attr-defined]
    assert engine("nasbench201", planted(winners, [])).run() == target


@pytest.mark.parametrize("mode", ["paper", "paired"])
def test_among_equals_the_first_operation_and_the_first_edges_win(mode: str) -> None:
    made = engine("darts-s5", lambda name: (0.5, 1.0), mode=mode)
    found = made.space.operations(made.run())
    assert set(found.values()) == {made.space.edges[0].operations[0]}
    wanted = {f"{g}/{n}<-{s}" for g in ("normal", "reduce") for n in range(4) for s in (0, 1)}
    assert set(found) == wanted


def test_paired_lets_the_loss_decide_between_equal_errors_paper_does_not() -> None:
    def table(name: str) -> tuple[float, float]:
        return 0.5, 2.0 if "sep_conv_3x3" in name or name.endswith("<-1") else 1.0

    paired, paper = engine("darts-s5", table), engine("darts-s5", table, mode="paper")
    assert set(paired.space.operations(paired.run()).values()) == {"sep_conv_3x3"}
    assert set(paper.space.operations(paper.run()).values()) == {"max_pool_3x3"}


def test_topology_keeps_the_two_edges_that_are_missed_most() -> None:
    worth = {0: 0.2, 1: 0.5, 2: 0.3, 3: 0.9, 4: 0.8}

    def table(name: str) -> tuple[float, float]:
        return (0.1 if " " in name else worth[int(name[-1])]), 1.0

    for mode in ("paper", "paired"):
        made = engine("darts", table, mode=mode)
        kept = set(made.space.operations(made.run()))
        for group in ("normal", "reduce"):
            for node, sources in enumerate([(0, 1), (1, 2), (1, 3), (3, 4)]):
                assert {f"{group}/{node}<-{s}" for s in sources} <= kept


def test_removed_edges_are_told_to_the_supernet() -> None:
    made = engine("darts")
    kept = made.space.operations(made.run())
    removed = [edge for _, method, edge in made.log if method == "remove"]
    assert sorted([*removed, *kept]) == sorted(edge.name for edge in made.space.edges)


def none_wins(name: str) -> tuple[float, float]:
    """Removing `none` hurts most, then the third operation."""
    return (0.9 if name.endswith(" none") else 0.5 if "skip_connect" in name else 0.2), 1.0


def test_none_cannot_win_in_paired_mode_where_no_member_has_it() -> None:
    for name in ("darts", "darts-s3"):
        made = engine(name, none_wins)
        made.run()
        kept = [payload["kept"] for topic, payload in made.announced if topic == "decision"]
        assert ["none"] not in kept
        first = next(payload for topic, payload in made.announced if topic == "decision")
        assert "none" in first["variants"]  # it is measured: it is the supernet as it is


def test_none_may_win_where_members_have_it() -> None:
    made = engine("nasbench201", none_wins)
    assert set(made.space.operations(made.run()).values()) == {"none"}


def test_paper_mode_replaces_none_by_the_next_most_missed() -> None:
    made = engine("darts", none_wins, mode="paper")
    operations = made.space.operations(made.run())
    decided = [p["kept"] for _, p in made.announced if p.get("what") == "operation"]
    assert decided == [["none"]] * 28  # so the supernet was tuned with it, as published
    assert set(operations.values()) == {"skip_connect"}


@pytest.mark.parametrize("mode", ["paper", "paired"])
@pytest.mark.parametrize("name", DARTS_SPACES)
def test_the_genotype_is_valid_and_survives_printing(name: str, mode: str) -> None:
    for seed in range(6):
        made = engine(name, chance(seed), mode=mode, interval=1)
        found = made.run(seed)
        assert made.space.from_dict(found.to_dict()) == found
        operations = made.space.operations(found)
        assert len(operations) == 16
        assert "none" not in operations.values()
        for group in ("normal", "reduce"):
            for node in range(4):
                entering = [e for e in operations if e.startswith(f"{group}/{node}<-")]
                assert len(entering) == 2
        text = made.space.format(found)
        assert "concat=range(2, 6)" in text
        assert made.space.parse(text) == found


def test_magnitude_takes_the_largest_weights_and_measures_nothing() -> None:
    space: Any = get_space("darts")
    target = space.sample(np.random.default_rng(3))
    operations = space.operations(target)
    mixture: dict[str, list[list[float]]] = {}
    for edge in space.edges:
        row = [0.1] * len(edge.operations)
        row[0] = 0.9  # none, which never counts
        if edge.name in operations:
            row[edge.operations.index(operations[edge.name])] = 0.3
        mixture.setdefault(edge.group, []).append(row)
    made = Engine(
        space,
        {"epochs": 4, "selection": {"method": "magnitude"}, "alarm": {"action": "off"}},
        mixture=mixture,
    )
    assert made.run() == target
    assert [method for _, method, _ in made.log] == ["train"] * 4 + ["mixture"]


# -- trouble ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "number"),
    [
        ("train", 1),
        ("train", 4),
        ("train", 60),
        ("begin_tuning", 1),
        ("drops", 1),
        ("keep", 3),
        ("edge_drops", 2),
        ("remove", 1),
    ],
)
def test_a_supernet_that_fails_ends_the_search_whenever_it_does(method: str, number: int) -> None:
    made = engine("darts", mode="paper")
    seen = 0

    def fails(call: Call, index: int) -> bool:
        nonlocal seen
        seen += call.method == method
        return call.method == method and seen == number

    made.fails = fails
    with pytest.raises(CandidateError, match="it blew up"):
        made.run()
    assert seen == number


@pytest.mark.parametrize("name", ["darts", "darts-s3", "nasbench201"])
@pytest.mark.parametrize("mode", ["paper", "paired"])
def test_a_budget_that_ends_leaves_what_is_decided_and_the_rest_by_magnitude(
    name: str, mode: str
) -> None:
    space: Any = get_space(name)
    for asked in (1, 3, 9, 40, 77, 120, 170):
        made = engine(name, mode=mode, interval=1)
        problem = Problem(space, parse_objectives(["error"]))
        generator = Darts(made.settings).run(problem, np.random.default_rng(0))
        answer: Any = None
        for _ in range(asked):
            try:
                request = generator.send(answer)
            except StopIteration:
                break
            answer = [made.answer(call) for call in request]
        else:
            generator.send(answer)
            with pytest.raises(StopIteration) as end:
                generator.throw(GeneratorExit())
            (candidate,) = end.value.value
            operations = space.operations(candidate.architecture)
            kept = {edge for _, method, edge in made.log if method == "keep"}
            gone = {edge for _, method, edge in made.log if method == "remove"}
            assert not gone & set(operations)
            if name == "nasbench201":
                assert kept <= set(operations)


def test_a_budget_that_ends_before_the_first_epoch_finds_nothing() -> None:
    problem = Problem(get_space("darts"), parse_objectives(["error"]))
    generator = Darts().run(problem, np.random.default_rng(0))
    next(generator)
    with pytest.raises(GeneratorExit):
        generator.throw(GeneratorExit())


def test_choosing_by_alphas_that_are_left_at_chance_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"alphas\.fixed"):
        Darts({"alphas": {"fixed": True}, "selection": {"method": "magnitude"}})


@pytest.mark.parametrize("warmup", [4, 5])
def test_alphas_that_would_never_learn_are_refused(warmup: int) -> None:
    with pytest.raises(ConfigError, match=r"alphas\.warmup_epochs"):
        Darts({"epochs": 4, "alphas": {"warmup_epochs": warmup}})
    fixed = Darts({"epochs": 4, "alphas": {"warmup_epochs": warmup, "fixed": True}})
    assert fixed.settings.warmup == warmup


@pytest.mark.parametrize(("epochs", "warmup"), [(1, 0), (8, 2), (50, 15)])
def test_partial_channels_warm_up_as_published(epochs: int, warmup: int) -> None:
    partial = {"name": "pc-darts"}
    assert Darts({"epochs": epochs, "variant": partial}).settings.warmup == warmup
    assert Darts({"epochs": epochs}).settings.warmup == 0
    given = {"epochs": 50, "variant": partial, "alphas": {"warmup_epochs": 3}}
    assert Darts(given).settings.warmup == 3


def test_a_space_without_edges_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="supernet"):
        Engine(ToySpace(), {}).run()


# -- the alarm, as the strategy uses it -------------------------------------------------------


def skips(space: Any) -> dict[str, list[list[float]]]:
    tables: dict[str, list[list[float]]] = {}
    for edge in space.edges:
        row = [0.9 if name == "skip_connect" else 0.01 for name in edge.operations]
        tables.setdefault(edge.group, []).append(row)
    return tables


@pytest.mark.parametrize(("action", "epochs"), [("warn", 6), ("stop", 1), ("off", 6)])
def test_the_alarm_warns_or_ends_the_search_and_goes_to_selection(action: str, epochs: int) -> None:
    space: Any = get_space("darts")
    made = Engine(
        space,
        {"epochs": 6, "selection": {"interval": 1}, "alarm": {"action": action}},
        mixture=skips(space),
    )
    made.run()
    searched = [method for epoch, method, _ in made.log if epoch < 0 and method == "train"]
    assert len(searched) == epochs
    assert sum(method == "drops" for _, method, _ in made.log) == 28
    watched = [payload for topic, payload in made.announced if topic == "watch"]
    assert [payload["step"] for payload in watched] == list(range(epochs))
    rang = [bool(payload["reasons"]) for payload in watched]
    assert rang == [action != "off"] * epochs
    if action == "warn":
        assert "8 of 8 operations of normal are skips" in watched[0]["reasons"]
        measured = [epoch for epoch, payload in enumerate(watched) if "eigenvalue" in payload]
        assert measured == [1, 3, 5]


def test_registered() -> None:
    assert STRATEGIES.get("darts") is Darts
