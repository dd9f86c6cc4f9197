"""Random choice trees for property tests, and a space around any of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from nas.core.choices import Categorical, Choice, Integer, Real, Subset
from nas.core.space import Space
from nas.core.tree import ChoiceTree

WORDS = ("skip", "conv", "pool", "zero", "dil")
POOLS: tuple[tuple[Any, ...], ...] = (
    WORDS,
    (1, 2, 3, 5),
    (True, False),
    (0.5, 1.0, 2.0),
    ("é", ""),
)


class ToySpace(Space):
    """A space that can do everything but build."""

    def __init__(self, tree: ChoiceTree, name: str = "toy") -> None:
        super().__init__(name, tree)

    def graph(self, architecture: Any) -> Any:
        raise AssertionError("not needed here")

    def network(self, architecture: Any, *args: Any, **scale: Any) -> Any:
        raise AssertionError("not needed here")


class _Maker:
    """Draws choices with names that are unique in one tree."""

    def __init__(self, draw: st.DrawFn, reals: bool) -> None:
        self.draw, self.reals, self.made = draw, reals, 0

    def name(self) -> str:
        self.made += 1
        return f"{self.draw(st.sampled_from('abz'))}/{self.made}"

    def choices(self, depth: int, most: int) -> tuple[Choice, ...]:
        return tuple(self.choice(depth) for _ in range(self.draw(st.integers(0, most))))

    def choice(self, depth: int) -> Choice:
        kinds = ["categorical", "subset", "integer", *(["real"] if self.reals else [])]
        return getattr(self, self.draw(st.sampled_from(kinds)))(depth)  # type: ignore[no-any-return]

    def options(self) -> tuple[Any, ...]:
        pool = self.draw(st.sampled_from(POOLS))
        count = self.draw(st.integers(1, min(3, len(pool))))
        return tuple(self.draw(st.permutations(pool)))[:count]

    def categorical(self, depth: int) -> Categorical:
        name, options = self.name(), self.options()
        if depth == 0:
            return Categorical(name, options)
        shared = self.choices(depth - 1, 1)
        under = {}
        for option in options:
            own = self.choices(depth - 1, 1)
            under[option] = (*own, *shared) if self.draw(st.booleans()) else own
        return Categorical(name, options, under)

    def subset(self, depth: int) -> Subset:
        name, options = self.name(), self.options()
        smallest = self.draw(st.integers(0, len(options)))
        largest = self.draw(st.integers(smallest, len(options)))
        under = {o: self.choices(depth - 1, 1) for o in options} if depth else {}
        return Subset(name, options, under, smallest, largest)

    def integer(self, depth: int) -> Integer:
        low, step = self.draw(st.integers(-3, 3)), self.draw(st.integers(1, 3))
        return Integer(self.name(), low, low + step * self.draw(st.integers(0, 3)), step)

    def real(self, depth: int) -> Real:
        low = self.draw(st.sampled_from((1e-5, 0.5, 1)))
        return Real(self.name(), low, low * 1000, log=self.draw(st.booleans()))


@st.composite
def trees(draw: st.DrawFn, reals: bool = True, depth: int = 2, most: int = 3) -> ChoiceTree:
    """Trees of up to `most` choices at the root and `depth` levels of conditional ones."""
    maker = _Maker(draw, reals)
    return ChoiceTree(tuple(maker.choice(depth) for _ in range(draw(st.integers(1, most)))))


def rng(seed: int) -> np.random.Generator:
    """A seeded generator."""
    return np.random.default_rng(seed)


def shuffled(choices: tuple[Choice, ...], generator: np.random.Generator) -> tuple[Choice, ...]:
    """The same choices put together in another order, at every level."""
    order = [choices[i] for i in generator.permutation(len(choices))]
    return tuple(_rebuilt(choice, generator) for choice in order)


def _rebuilt(choice: Choice, generator: np.random.Generator) -> Choice:
    if not isinstance(choice, Categorical | Subset):
        return choice
    rebuilt: dict[str, Choice] = {}  # a shared child stays one
    for child in choice.descendants():
        rebuilt[child.name] = shuffled((child,), generator)[0]
    keys = list(choice.under)
    under = {}
    for i in generator.permutation(len(keys)):
        below = choice.under[keys[i]]
        under[keys[i]] = tuple(rebuilt[below[j].name] for j in generator.permutation(len(below)))
    if isinstance(choice, Categorical):
        return Categorical(choice.name, choice.options, under)
    return Subset(choice.name, choice.options, under, choice.smallest, choice.largest)
