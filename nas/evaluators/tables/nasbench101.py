"""A sample of NAS-Bench-101 (Ying et al., ICML 2019): 20,001 cells at 4, 12, 36 and 108 epochs.

Four separate trainings, one repeat each, with validation accuracy only: there is no test column, so
the final account is given in validation error at the largest budget.
"""

from __future__ import annotations

import re
from typing import Final

from nas.core.architecture import Architecture
from nas.core.space import Space
from nas.evaluators.tables.base import Benchmark, Column, Row
from search_spaces.nasbench101.space import NasBench101Space

__all__ = ["NASBENCH101"]

_HASH: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)


def _row_key(row: Row) -> str:
    if not _HASH.fullmatch(row["hash"]):
        raise ValueError(f"hash {row['hash']!r} is not 32 hexadecimal digits")
    return row["hash"]


def _row_architecture(space: Space, row: Row) -> Architecture:
    return space.parse(f"{row['adjacency']}:{row['ops']}")


def _key(space: Space, architecture: Architecture) -> str:
    assert isinstance(space, NasBench101Space)
    return space.hash(architecture)


NASBENCH101: Final = Benchmark(
    name="nasbench101",
    file="nb101_20k.csv.gz",
    rows=20_001,
    space="nasbench101",
    columns=(
        *(
            Column(f"val_e{epochs}", "error", 0.0, 1.0, 1.0, "cifar10", float(epochs))
            for epochs in (4, 12, 36, 108)
        ),
        Column("params", "params", 227_274, 49_979_274),
    ),
    key_columns=("hash",),
    row_key=_row_key,
    row_architecture=_row_architecture,
    key=_key,
    whole=False,
    verify=50,
    source="Ying et al., ICML 2019",
)
