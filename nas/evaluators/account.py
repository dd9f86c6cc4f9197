"""What is known of an evaluator before any work: the figures it gives, and what they mean."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from nas.core.errors import PluginError
from nas.measure import MEASURES

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Account", "Inputs"]


@dataclass(frozen=True)
class Account:
    """What an evaluator declares of itself, as class attributes of these names.

    Attributes:
        reports: Names of the figures it gives; None for whatever it likes.
        measures: Whether it gives any of `nas.measure.MEASURES`, too, that objectives name.
        goal: The figure that says how good a candidate is, less is better: what a search sees. On
            data that no search sees it is `test_` and this name, reported with `split="test"`.
        in_full: Whether what a search found is trained in full after it, at several scales and
            seeds beside random search's pick. Asks of the evaluator that it heeds a work's split
            and its candidate's scale, and leaves the weights of works with `split="test"` in
            their scratch folder (`nas.evaluators.WEIGHTS`).
    """

    reports: tuple[str, ...] | None = None
    measures: bool = False
    goal: str = "error"
    in_full: bool = False

    @property
    def tested(self) -> str:
        """Name of the goal on data that no search sees."""
        return f"test_{self.goal}"

    @classmethod
    def of(cls, name: str, member: Any) -> Account:
        """What a registered class or function says of itself.

        Raises:
            PluginError: It says something else than it can.
        """
        told = {f.name: getattr(member, f.name) for f in fields(cls) if hasattr(member, f.name)}
        reports, goal = told.get("reports"), told.get("goal", "error")
        listed = isinstance(reports, list | tuple) and all(isinstance(r, str) for r in reports)
        if reports is not None and not listed:
            raise PluginError(
                f"evaluator {name!r} reports {reports!r}", "expected names of figures"
            )
        if not isinstance(goal, str) or not goal:
            raise PluginError(
                f"evaluator {name!r} has the goal {goal!r}", "expected a figure's name"
            )
        return cls(**told)

    def given(self) -> tuple[str, ...] | None:
        """Names of all figures that objectives can be about; None for any."""
        if self.reports is None:
            return None
        return (*self.reports, *(MEASURES.names() if self.measures else ()))


@dataclass(frozen=True)
class Inputs:
    """What networks of a run are made for, and real inputs to compare exported ones on.

    Attributes:
        shape: Of one input; channels, height and width of an image.
        classes: Length of a classifier's logits.
        examples: A batch of what networks take, `(B, *shape)` unless it is only a part of them that
            is exported; or None.
        part: Attribute of a network that is the part to export, which the weights are of; empty for
            the whole.
    """

    shape: tuple[int, ...]
    classes: int
    examples: Tensor | None = None
    part: str = ""
