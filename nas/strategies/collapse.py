"""The collapse alarm: signs that a differentiable search is drifting to empty cells.

Three signs are watched: parameter-free operations among the strongest (DARTS+, Liang et al. 2019,
stops at skips), the entropy of the mixture, and growth of the dominant Hessian eigenvalue of the
validation loss in the alphas (RobustDARTS, Zela et al., ICLR 2020, section 4.1).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from nas.core.config import Settings
from search_spaces.cell import CellSpace


class AlarmSettings(Settings):
    """When the alarm rings.

    Attributes:
        action: "warn" goes on, "stop" ends the search there and goes to selection, "off"
            measures nothing.
        every: Epochs between measurements of the eigenvalue; 0 for never.
        growth: The eigenvalue's mean over a window of 5 measurements may grow by this factor
            over the mean of the window 4 measurements earlier.
        not_before: Epoch before which the eigenvalue cannot ring.
        skips: Share of skip connections among a cell's strongest operations that rings.
    """

    action: Literal["warn", "stop", "off"] = "warn"
    every: int = Field(2, ge=0)
    growth: float = Field(1.3, gt=1)
    not_before: int = Field(10, ge=0)
    skips: float = Field(0.5, gt=0, le=1)


WINDOW = 5
LAG = 4


class CollapseAlarm:
    """Watches the mixture of a supernet.

    Attributes:
        figures: What was seen last: `skips` and `entropy` (nats, mean over edges) by kind of
            cell, `eigenvalue` where it was measured.
    """

    def __init__(self, settings: AlarmSettings, space: CellSpace) -> None:
        self.figures: dict[str, Any] = {}
        self._settings = settings
        self._space = space
        self._eigenvalues: list[float] = []

    def due(self, epoch: int) -> bool:
        """Whether the eigenvalue is to be measured after this epoch."""
        every = self._settings.every
        return self._settings.action != "off" and every > 0 and (epoch + 1) % every == 0

    def watch(
        self,
        epoch: int,
        weights: Mapping[str, Any],
        eigenvalue: float | None,
    ) -> list[str]:
        """Take in the weights after an epoch; the reasons to be alarmed, none as a rule.

        Args:
            epoch: Counted from 0.
            weights: `mixture` and `edge_weights`, as the session "supernet" answers.
            eigenvalue: Where it was measured.
        """
        if self._settings.action == "off":
            return []
        reasons = []
        mixture = weights["mixture"]
        strongest = self._space.strongest(mixture, weights["edge_weights"])
        operations = self._space.operations(strongest)
        groups = dict.fromkeys(edge.group for edge in self._space.edges)
        skips: dict[str, int] = {}
        for group in groups:
            chosen = [o for name, o in operations.items() if name.startswith(f"{group}/")]
            skips[group] = sum(operation == "skip_connect" for operation in chosen)
            # Where skip is one of two operations, half of them is what chance gives.
            if skips[group] / len(chosen) > self._settings.skips and group != "reduce":
                reasons.append(f"{skips[group]} of {len(chosen)} operations of {group} are skips")
        entropy = {group: _entropy(mixture[group]) for group in groups}
        self.figures = {"skips": skips, "entropy": entropy}
        if eigenvalue is not None:
            self.figures["eigenvalue"] = eigenvalue
            self._eigenvalues.append(eigenvalue)
            if epoch >= self._settings.not_before and self._grown():
                reasons.append(f"the alphas' dominant eigenvalue grew to {eigenvalue:.3g}")
        return reasons

    def _grown(self) -> bool:
        values = self._eigenvalues
        if len(values) < WINDOW + LAG:
            return False
        now = sum(values[-WINDOW:]) / WINDOW
        before = sum(values[-WINDOW - LAG : -LAG]) / WINDOW
        return before > 0 and now / before > self._settings.growth


def _entropy(rows: Sequence[Sequence[float]]) -> float:
    """Mean entropy of the rows that hold weight, in nats."""
    live = [row for row in rows if sum(row) > 0]
    total = -sum(p * math.log(p) for row in live for p in row if p > 0)
    return total / len(live) if live else 0.0
