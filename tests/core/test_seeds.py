"""Derived seeds are part of every stored run: they must never change."""

from __future__ import annotations

from nas.core.seeds import derive


def test_seeds_are_as_they_have_always_been() -> None:
    assert derive(0, "weights") == 5_308_020_828_624_478_041
    assert derive(7, "pictures", "train", 3) == derive(7, "pictures", "train", "3")
    assert derive(7, "evaluate", "abc", joint="\x1f") >> 32 == 60_894_208


def test_seeds_are_spread() -> None:
    seeds = {derive(run, "part", part) for run in range(20) for part in range(200)}
    assert len(seeds) == 4000
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert derive(0, "ab", "c") != derive(0, "a", "bc")
