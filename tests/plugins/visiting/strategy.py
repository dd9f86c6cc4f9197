"""A strategy of another package: go to a random neighbour if it is better."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np

from nas.core.problem import Problem
from nas.core.work import Evaluate, Request
from nas.strategies import Strategy


class Climb(Strategy):
    def run(self, problem: Problem, rng: np.random.Generator) -> Generator[Request, Any, None]:
        (here,) = yield [Evaluate(c) for c in problem.sample(1, rng)]
        while True:
            (there,) = yield [Evaluate(problem.mutate(here.candidate, rng))]
            here = problem.best([here, there])
