"""Strategies compared at equal cost: many seeds, regret over what was spent, paired tests.

`arms` says what is compared, `runner` has it done (in parallel, resumable), `trace` is what is kept
of a search, `curves` and `account` turn traces into figures, `files` writes them down.
"""

from __future__ import annotations
