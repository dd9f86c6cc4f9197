"""Search strategies by name; importing this imports none of them."""

from __future__ import annotations

from nas.core.registry import Registry
from nas.strategies.base import Strategy

__all__ = ["STRATEGIES", "Strategy"]

STRATEGIES: Registry[type[Strategy]] = Registry("strategy", "nas.strategies")
STRATEGIES.add(
    "darts", "nas.strategies.darts:Darts", "a supernet, operations chosen by perturbation"
)
STRATEGIES.add(
    "random", "nas.strategies.random:Random", "uniform sampling, the baseline of all others"
)
STRATEGIES.add(
    "regularized-evolution",
    "nas.strategies.regularized_evolution:RegularizedEvolution",
    "mutation and tournament, the oldest dies",
)
STRATEGIES.add("asha", "nas.strategies.asha:Asha", "successive halving that waits for nobody")
STRATEGIES.add(
    "bananas", "nas.strategies.bananas:Bananas", "mutants ranked by an ensemble's samples"
)
STRATEGIES.add(
    "fbnetv3",
    "nas.strategies.fbnetv3.strategy:FbnetV3",
    "a pretrained predictor chooses batches, then finds the best for every limit",
)
STRATEGIES.add(
    "eagan",
    "nas.strategies.eagan.strategy:Eagan",
    "GANs in two stages: generators that share weights, then discriminators in pairs",
)
STRATEGIES.add("hyperband", "nas.strategies.hyperband:Hyperband", "brackets of successive halving")
STRATEGIES.add(
    "local-search",
    "nas.strategies.local_search:LocalSearch",
    "goes to better neighbours, restarts at optima",
)
STRATEGIES.add(
    "nsga2", "nas.strategies.nsga2:Nsga2", "evolution of a front by domination and crowding"
)
STRATEGIES.add(
    "rank-nosh",
    "nas.strategies.rank_nosh:RankNosh",
    "a pyramid of training budgets, and a ranker that learns from pairs",
)
