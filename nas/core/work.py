"""What a strategy asks for, and what it is told.

A strategy is a generator. It yields a list of works and is sent the list of
their outcomes, in order; or it yields `Start(works)`, which returns at once,
and `Next()`, which gives whichever outcome comes first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from operator import index
from typing import Any, Literal, TypeAlias, get_args

from nas.core.architecture import Candidate, same_content
from nas.core.canonical import canonical_json, content_id, frozen, plain
from nas.core.errors import ConfigError

Split: TypeAlias = Literal["validation", "test"]


@dataclass(frozen=True)
class Spent:
    """A cost; every part is additive and at least zero.

    Attributes:
        epochs: Passes over the training split of one network (a supernet counts as one network);
            a pass counts as often as the optimizer asks for the gradient of a batch.
        evaluations: Finished or failed `Evaluate` works.
        seconds: Wall-clock time of the workers, summed.
        macs: Multiply-accumulates, a backward pass counted as two forward passes: a cost that
            is equal on every machine, for comparisons at equal training cost.
    """

    epochs: float = 0.0
    evaluations: int = 0
    seconds: float = 0.0
    macs: float = 0.0

    def __add__(self, other: Spent) -> Spent:
        return Spent(
            self.epochs + other.epochs,
            self.evaluations + other.evaluations,
            self.seconds + other.seconds,
            self.macs + other.macs,
        )

    def to_dict(self) -> dict[str, float]:
        """Plain JSON data."""
        return {
            "epochs": self.epochs,
            "evaluations": self.evaluations,
            "seconds": self.seconds,
            "macs": self.macs,
        }


@dataclass(frozen=True, eq=False)
class Evaluate:
    """Work out a candidate's figures.

    Attributes:
        candidate: What to evaluate.
        budget: Epochs (or the table's unit) of training; None for the recipe's own.
        horizon: Epochs that learning-rate schedule and drop-path are laid out for, at least
            `budget`; None for the budget itself, a training complete in itself. Trainings of one
            horizon are prefixes of each other, so a longer one can go on where a shorter ended.
        since: A smaller budget of the same candidate, seed and horizon whose training this may
            continue; it changes what the evaluation costs, never its figures.
        seed: Seed of this evaluation; None derives one from the run's seed and the candidate.
        split: "validation" is all a search may see; "test" is for the final report only.
        tags: Free labels, e.g. `{"arm": "random"}`; they are kept in the history and are no part
            of the identity, so an equal evaluation under another tag is not paid twice.
    """

    candidate: Candidate
    budget: float | None = None
    seed: int | None = None
    split: Split = "validation"
    tags: Mapping[str, Any] = field(default_factory=dict)
    horizon: float | None = None
    since: float | None = None

    def __post_init__(self) -> None:
        # NumPy numbers and whole-number budgets must not make another identity.
        for name in ("budget", "horizon", "since"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, float(value))
        if self.seed is not None:
            object.__setattr__(self, "seed", index(self.seed))
        object.__setattr__(self, "tags", frozen(self.tags))

    @cached_property
    def key(self) -> str:
        """Identity: equal for works that must have equal figures (the evaluator aside)."""
        identity: list[Any] = [self.candidate.id, self.budget, self.seed, self.split]
        if self.horizon is not None and self.horizon != self.budget:
            identity.append(self.horizon)
        return f"evaluate:{content_id(identity)}"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data that `work_from_dict` reads."""
        return {
            "kind": "evaluate",
            "candidate": self.candidate.to_dict(),
            "budget": self.budget,
            "seed": self.seed,
            "split": self.split,
            "tags": plain(self.tags),
            **({} if self.horizon is None else {"horizon": self.horizon}),
            **({} if self.since is None else {"since": self.since}),
        }

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Evaluate):
            return NotImplemented
        return self.key == other.key and same_content(self.tags, other.tags)

    def __hash__(self) -> int:
        return hash(self.key)

    def __reduce__(self) -> tuple[Any, ...]:
        tags = plain(self.tags)
        rest = (self.horizon, self.since)
        return Evaluate, (self.candidate, self.budget, self.seed, self.split, tags, *rest)


@dataclass(frozen=True, init=False, eq=False)
class Call:
    """Let a session do one step; `Call("supernet", "train", epochs=1)`.

    Attributes:
        session: Name of the session, one of the strategy's `sessions`.
        method: What it is asked to do.
        arguments: JSON-able keyword arguments.
    """

    session: str
    method: str
    arguments: Mapping[str, Any]

    def __init__(self, session: str, method: str, /, **arguments: Any) -> None:
        object.__setattr__(self, "session", session)
        object.__setattr__(self, "method", method)
        object.__setattr__(self, "arguments", frozen(arguments))

    @cached_property
    def key(self) -> str:
        """What was asked; two equal calls in a row are still two calls."""
        text = canonical_json([self.session, self.method, self.arguments])
        return f"call:{content_id(text)}"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data that `work_from_dict` reads."""
        return {
            "kind": "call",
            "session": self.session,
            "method": self.method,
            "arguments": plain(self.arguments),
        }

    def __eq__(self, other: object) -> bool:
        return self.key == other.key if isinstance(other, Call) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.key)

    def __reduce__(self) -> tuple[Any, ...]:
        return work_from_dict, (self.to_dict(),)


Work: TypeAlias = Evaluate | Call


def work_from_dict(data: Mapping[str, Any]) -> Work:
    """The work that `to_dict` described.

    Raises:
        ConfigError: The data is nothing that `to_dict` gives.
    """
    try:
        if data["kind"] == "call":
            return Call(data["session"], data["method"], **data["arguments"])
        if data["kind"] != "evaluate" or data["split"] not in get_args(Split):
            raise ConfigError("work is of an unknown kind or split", "is it from a newer version?")
        return Evaluate(
            Candidate.from_dict(data["candidate"]),
            data["budget"],
            data["seed"],
            data["split"],
            data.get("tags", {}),
            data.get("horizon"),
            data.get("since"),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"work cannot be read: {type(error).__name__}: {error}") from None


@dataclass(frozen=True)
class Start:
    """Begin these works and go on at once; their outcomes come through `Next`."""

    works: Sequence[Work]


@dataclass(frozen=True)
class Next:
    """Wait for whichever started work is done first."""


Request: TypeAlias = Sequence[Work] | Start | Next


@dataclass(frozen=True)
class Outcome:
    """What became of a work.

    Attributes:
        work: The work.
        status: "ok", or "failed" (diverged, out of memory, too slow, crashed).
        figures: Metric name to finite number (see `nas.core.metrics.METRICS`).
        value: A call's answer, JSON-able; None for evaluations.
        curve: Figure name to its value after each epoch.
        error: Why it failed, in one line; empty if it did not.
        spent: What it cost.
    """

    work: Work
    status: Literal["ok", "failed"] = "ok"
    figures: Mapping[str, float] = field(default_factory=dict)
    value: Any = None
    curve: Mapping[str, Sequence[float]] = field(default_factory=dict)
    error: str = ""
    spent: Spent = field(default_factory=Spent)

    @property
    def ok(self) -> bool:
        """Whether there are figures (or an answer)."""
        return self.status == "ok"

    @property
    def candidate(self) -> Candidate:
        """The evaluated candidate.

        Raises:
            TypeError: The work was a call to a session.
        """
        if not isinstance(self.work, Evaluate):
            raise TypeError("a call has no candidate")
        return self.work.candidate

    @property
    def budget(self) -> float | None:
        """The evaluation's budget."""
        return self.work.budget if isinstance(self.work, Evaluate) else None
