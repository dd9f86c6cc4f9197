"""DARTS: differentiable search in a supernet, and selection by perturbation.

Search: Liu et al., "DARTS: Differentiable Architecture Search", ICLR 2019; variants SDARTS-RS
(Chen & Hsieh, ICML 2020) and PC-DARTS (Xu et al., ICLR 2020). Selection: Wang et al.,
"Rethinking Architecture Selection in Differentiable NAS", ICLR 2021 (DARTS-PT): an operation is
worth what the supernet loses without it; its alpha says little about that.

This file decides *what* is done in which order. The numerics live beside the supernet, in
`nas.oneshot`, and are asked for by calls to the session "supernet".
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from nas.core.architecture import Architecture, Candidate
from nas.core.config import Settings
from nas.core.errors import CandidateError, ConfigError, UnsupportedError
from nas.core.problem import Problem
from nas.core.space import Space
from nas.core.work import Call, Outcome, Request
from nas.strategies.base import Strategy
from nas.strategies.collapse import AlarmSettings, CollapseAlarm
from search_spaces.cell import CellSpace, legal_operations
from search_spaces.edges import Edge

Steps = Generator[Request, Any, None]
SESSION = "supernet"
PARTIAL_WARMUP = 0.3
"""PC-DARTS: share of the epochs before alphas learn, else cheap operations win early (its 4.2)."""


class WeightSettings(Settings):
    """SGD of the supernet's weights; the defaults are the paper's (section 3.1)."""

    learning_rate: float = Field(0.025, gt=0)
    final_learning_rate: float = Field(0.001, ge=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(3e-4, ge=0)
    clip_norm: float = Field(5.0, gt=0)
    batch_size: int = Field(64, ge=2)


class AlphaSettings(Settings):
    """Adam of the architecture parameters; the defaults are the paper's (section 3.1).

    Attributes:
        order: "first"; "second" with the paper's finite difference; "second-exact" with the
            Hessian-vector product.
        fixed: Leave the alphas as they were initialised (DARTS-PT, section 6.1); only selection
            by perturbation makes sense then.
        warmup_epochs: Epochs before the first alpha step; None for 0, and for "pc-darts" for
            three tenths of the epochs (as published, 15 of 50).
    """

    order: Literal["first", "second", "second-exact"] = "first"
    learning_rate: float = Field(3e-4, gt=0)
    betas: tuple[float, float] = (0.5, 0.999)
    weight_decay: float = Field(1e-3, ge=0)
    fixed: bool = False
    warmup_epochs: int | None = Field(None, ge=0)


class PictureSettings(Settings):
    """Augmentation of both halves while the supernet trains.

    Attributes:
        flip: Mirror half of the pictures; None as the recipe does, which leaves grey ones alone.
        crop_padding: Shift by up to so many pixels; None as the recipe does, by the pictures'
            size (the paper's 4 for 32 pixels).
        cutout: Side of the erased square, 0 for none.
    """

    flip: bool | None = None
    crop_padding: int | None = Field(None, ge=0)
    cutout: int = Field(0, ge=0)


class VariantSettings(Settings):
    """Variants of the relaxation.

    Attributes:
        name: "darts"; "sdarts-rs" trains weights under randomly perturbed mixtures; "pc-darts"
            mixes a part of the channels and weighs edges.
        epsilon: SDARTS-RS: half-width of the uniform perturbation in the first and last epoch.
        tuning_epsilon: The same while decisions are tuned.
        channels: PC-DARTS: one of so many channels goes through the operations.
    """

    name: Literal["darts", "sdarts-rs", "pc-darts"] = "darts"
    epsilon: tuple[float, float] = (0.03, 0.3)
    tuning_epsilon: float = Field(0.3, ge=0, le=1)
    channels: int = Field(4, ge=2)


class SelectionSettings(Settings):
    """How the architecture is read off the supernet.

    Attributes:
        method: "perturbation" (DARTS-PT) or "magnitude" (the largest alphas, DARTS).
        mode: "paired" compares on the same pictures, stops when sure, measures each node's
            edges once and cannot choose an operation that the space does not have; "paper" is
            the published procedure.
        criterion: Figure of the supernet that is compared.
        interval: Epochs of tuning between decision points; each decides one item per kind of
            cell. The paper tunes 5.
        learning_rate: Constant rate of the weights while tuning; None for a tenth of the
            search's (as published).
        confidence: "paired" stops measuring once the choice is this sure.
        at_least: "paired" looks at least at so many pictures.
        at_most: "paired" decides after so many pictures, sure or not; None for all there are.
        batch_size: Pictures in a batch of measuring; None for the search's batch size.
    """

    method: Literal["perturbation", "magnitude"] = "perturbation"
    mode: Literal["paired", "paper"] = "paired"
    criterion: Literal["error", "loss"] = "error"
    interval: int = Field(5, ge=1)
    learning_rate: float | None = Field(None, gt=0)
    confidence: float = Field(0.95, gt=0, lt=1)
    at_least: int = Field(256, ge=2)
    at_most: int | None = Field(5000, ge=2)
    batch_size: int | None = Field(None, ge=2)


class DartsSettings(Settings):
    """Settings of the strategy `darts`.

    Attributes:
        epochs: Epochs of search before selection.
        fast: Use the space's fast supernet rather than the plain one (same function).
    """

    epochs: int = Field(50, ge=1)
    fast: bool = True
    weights: WeightSettings = WeightSettings()
    alphas: AlphaSettings = AlphaSettings()
    pictures: PictureSettings = PictureSettings()
    variant: VariantSettings = VariantSettings()
    selection: SelectionSettings = SelectionSettings()
    alarm: AlarmSettings = AlarmSettings()

    @model_validator(mode="after")
    def _alphas_mean_something(self) -> DartsSettings:
        if self.alphas.fixed and self.selection.method == "magnitude":
            raise ConfigError(
                "alphas.fixed leaves the alphas at chance, by which selection.method=magnitude"
                " would choose",
                "use selection.method=perturbation",
            )
        if not self.alphas.fixed and self.warmup >= self.epochs:
            raise ConfigError(
                f"alphas.warmup_epochs={self.warmup} of epochs={self.epochs} leave none in which"
                " the alphas learn",
                "warm up for less, search for more, or say alphas.fixed=true",
            )
        return self

    @property
    def warmup(self) -> int:
        """Epochs of the search before the first alpha step."""
        if self.alphas.warmup_epochs is not None:
            return self.alphas.warmup_epochs
        return round(PARTIAL_WARMUP * self.epochs) if self.variant.name == "pc-darts" else 0


def decision_epochs(decisions: int, interval: int, *, paper: bool, topology: bool) -> list[int]:
    """Tuning epoch before which each decision point lies.

    The published procedure tunes once more after the last decision, and where a space has no
    topology to decide it squeezes the last point in before the end: 0, 5, 10, 15, 20, 24 for
    the six edges of NAS-Bench-201.
    """
    epochs = [index * interval for index in range(decisions)]
    if paper and not topology and decisions > 1:
        epochs[-1] -= 1
    return epochs


@dataclass
class Decisions:
    """What has been decided so far.

    Attributes:
        kept: Edge to its operation.
        removed: Edges that are gone.
        rankings: Edge to its operations, most missed first.
        weights: The supernet's `mixture` and `edge_weights` after its last epoch.
    """

    space: CellSpace
    kept: dict[str, str] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)
    rankings: dict[str, list[str]] = field(default_factory=dict)
    weights: Mapping[str, Any] | None = None

    @property
    def groups(self) -> list[str]:
        """Kinds of cells."""
        return list(dict.fromkeys(edge.group for edge in self.space.edges))

    def open_edges(self, group: str) -> list[Edge]:
        """Edges of a kind of cell without an operation yet."""
        return [e for e in self.space.edges if e.group == group and e.name not in self.kept]

    def open_nodes(self, group: str) -> list[int]:
        """Nodes of a kind of cell that more edges enter than an architecture has."""
        wanted = self.space.inputs_per_node
        if wanted is None:
            return []
        nodes = dict.fromkeys(e.node for e in self.space.edges if e.group == group)
        return [n for n in nodes if len(self.entering(group, n)) > wanted]

    def entering(self, group: str, node: int) -> list[str]:
        """Names of the edges that still enter a node."""
        edges = [e for e in self.space.edges if e.group == group and e.node == node]
        return [e.name for e in edges if e.name not in self.removed]

    def architecture(self) -> Architecture:
        """The member that was decided on.

        The published procedure may decide for `none` on a kept edge, which no architecture of
        some spaces has; the edge then gets its most missed operation that exists.
        """
        legal = legal_operations(self.space)
        operations = {
            name: next(o for o in (operation, *self.rankings[name]) if o in legal[name])
            for name, operation in self.kept.items()
            if name not in self.removed
        }
        return self.space.from_operations(operations)

    def so_far(self) -> Architecture | None:
        """What is decided, the rest by magnitude; None before the first epoch is over."""
        if self.weights is None:
            return None
        mixture = {
            group: [list(row) for row in rows] for group, rows in self.weights["mixture"].items()
        }
        for edge in self.space.edges:
            row = mixture[edge.group][edge.row]
            kept = self.kept.get(edge.name)
            if edge.name in self.removed or kept is not None:
                row[:] = [
                    float(name == kept and edge.name not in self.removed)
                    for name in edge.operations
                ]
        return self.space.strongest(mixture, self.weights["edge_weights"])


class Darts(Strategy):
    """Differentiable search in a supernet, operations chosen by perturbation."""

    Settings: ClassVar[type[DartsSettings]] = DartsSettings
    settings: DartsSettings
    sessions: ClassVar[Mapping[str, str]] = {SESSION: "supernet"}

    def expected(self, space: Space) -> Mapping[str, float]:
        """Epochs of search and of tuning between decisions."""
        epochs = float(self.settings.epochs)
        if isinstance(space, CellSpace) and self.settings.selection.method == "perturbation":
            epochs += self._schedule(Decisions(space))[1]
        return {"epochs": epochs}

    def run(
        self, problem: Problem, rng: np.random.Generator
    ) -> Generator[Request, Any, list[Candidate]]:
        """Train the supernet, decide, and return the one architecture found.

        If the budget ends it before, what is not decided yet is chosen by magnitude.
        """
        space = problem.space
        if not isinstance(space, CellSpace):
            raise UnsupportedError(
                f"space {space.name!r} has no supernet", "use a strategy that samples, e.g. random"
            )
        decisions = Decisions(space)
        try:
            yield from self._train(problem, decisions)
            if self.settings.selection.method == "magnitude":
                architecture = yield from self._magnitude(space)
            else:
                yield from self._select(problem, decisions, rng)
                architecture = decisions.architecture()
        except GeneratorExit:
            found = decisions.so_far()
            if found is None:
                raise
            architecture = found
        return [problem.candidate(architecture)]

    def _train(self, problem: Problem, decisions: Decisions) -> Steps:
        """The search itself, watched for collapse."""
        alarm = CollapseAlarm(self.settings.alarm, decisions.space)
        for epoch in range(self.settings.epochs):
            weights = decisions.weights = yield from _ask("train")
            eigenvalue = None
            if alarm.due(epoch):
                eigenvalue = (yield from _ask("curvature"))["eigenvalue"]
            reasons = alarm.watch(epoch, weights, eigenvalue)
            problem.announce("watch", {"step": epoch, **alarm.figures, "reasons": reasons})
            if reasons and self.settings.alarm.action == "stop":
                break

    def _magnitude(self, space: CellSpace) -> Generator[Request, Any, Architecture]:
        weights = yield from _ask("mixture")
        return space.strongest(weights["mixture"], weights["edge_weights"])

    def _select(self, problem: Problem, decisions: Decisions, rng: np.random.Generator) -> Steps:
        """Decide operations, then topology, tuning in between."""
        points, total = self._schedule(decisions)
        operations = max(len(decisions.open_edges(group)) for group in decisions.groups)
        yield from _ask("begin_tuning")
        for epoch in range(total + 1):
            for point in (index for index, at in enumerate(points) if at == epoch):
                for group in decisions.groups:
                    if point < operations:
                        yield from self._decide_operation(problem, decisions, group, rng)
                    else:
                        yield from self._decide_topology(problem, decisions, group, rng)
            if epoch < total:
                decisions.weights = yield from _ask("train")

    def _schedule(self, decisions: Decisions) -> tuple[list[int], int]:
        """Tuning epoch of each decision point, and tuning epochs in all."""
        selection = self.settings.selection
        operations = max(len(decisions.open_edges(group)) for group in decisions.groups)
        topology = max(len(decisions.open_nodes(group)) for group in decisions.groups)
        paper = selection.mode == "paper"
        points = decision_epochs(
            operations + topology, selection.interval, paper=paper, topology=topology > 0
        )
        return points, points[-1] + int(paper)

    def _decide_operation(
        self, problem: Problem, decisions: Decisions, group: str, rng: np.random.Generator
    ) -> Steps:
        edges = decisions.open_edges(group)
        if not edges:
            return
        edge = edges[rng.integers(len(edges))]
        measurement = yield from _ask("drops", edge=edge.name)
        decisions.rankings[edge.name] = measurement["ranking"]
        kept = decisions.kept[edge.name] = measurement["ranking"][0]
        yield from _ask("keep", edge=edge.name, operation=kept)
        problem.announce(
            "decision",
            {"what": "operation", "group": group, "edge": edge.name, "kept": [kept], **measurement},
        )

    def _decide_topology(
        self, problem: Problem, decisions: Decisions, group: str, rng: np.random.Generator
    ) -> Steps:
        """Leave a random node its most missed edges.

        The published procedure removes one edge, measures the others again *with the removed
        one still present*, and so on; "paired" measures once.
        """
        nodes = decisions.open_nodes(group)
        if not nodes:
            return
        node, wanted = nodes[rng.integers(len(nodes))], decisions.space.inputs_per_node
        entering = decisions.entering(group, node)
        paper = self.settings.selection.mode == "paper"
        remaining, measurement = list(entering), {}
        while len(remaining) > (wanted or 0):
            measurement = yield from _ask("edge_drops", group=group, node=node, edges=remaining)
            kept = measurement["ranking"][: -1 if paper else wanted]
            remaining = [name for name in remaining if name in kept]
        gone = [name for name in entering if name not in remaining]
        decisions.removed.update(gone)
        for name in gone:
            yield from _ask("remove", edge=name)
        problem.announce(
            "decision",
            {"what": "topology", "group": group, "node": node, "kept": remaining, **measurement},
        )


def _ask(method: str, **arguments: Any) -> Generator[Request, Any, Any]:
    """The supernet's answer; one that failed, at whatever it was, ends the strategy."""
    outcome: Outcome
    (outcome,) = yield [Call(SESSION, method, **arguments)]
    if not outcome.ok:
        raise CandidateError(f"the supernet failed: {outcome.error}", "try a lower learning rate")
    return outcome.value
