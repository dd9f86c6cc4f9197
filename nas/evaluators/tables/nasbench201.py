"""NAS-Bench-201 (Dong and Yang, ICLR 2020) with CIFAR-10 and CIFAR-100, trained 12 and 200 epochs.

The two budgets are separate trainings, each with a schedule of its own. Validation figures are of
networks trained on the training half only; CIFAR-10's test figures are of networks trained on all
50,000 images, as the benchmark recommends for the final account.
"""

from __future__ import annotations

import re
from typing import Final

from nas.core.architecture import Architecture
from nas.core.space import Space
from nas.evaluators.tables.base import Benchmark, Column, Extra, Row
from search_spaces.nasbench201.space import OPERATIONS, NasBench201Space

__all__ = ["NASBENCH201"]

_DIGITS: Final = re.compile(r"[0-4]{6}", re.ASCII)


def _row_key(row: Row) -> str:
    ops = row["ops"]
    if not _DIGITS.fullmatch(ops):
        raise ValueError(f"ops {ops!r} are not six digits from 0 to 4 (read them as text)")
    return ops


def _row_architecture(space: Space, row: Row) -> Architecture:
    assert isinstance(space, NasBench201Space)
    if "arch_str" in row:
        return space.parse(row["arch_str"])
    names = (OPERATIONS[int(digit)] for digit in row["ops"])
    return space.from_operations(dict(zip((e.name for e in space.edges), names, strict=True)))


def _key(space: Space, architecture: Architecture) -> str:
    assert isinstance(space, NasBench201Space)
    operations = space.operations(architecture).values()
    return "".join(str(OPERATIONS.index(name)) for name in operations)


def _percent(name: str, metric: str, dataset: str, budget: int) -> Column:
    return Column(name, metric, 0.0, 100.0, 0.01, dataset, float(budget))


_GPUS: Final = ("1080ti", "2080ti", "titanx", "titanxp")
_OTHERS: Final = (
    *("silver_4114", "silver_4210r", "gold_6240"),
    *("samsung_a50", "samsung_s7", "essential_ph_1", "pixel3", "edgetpu"),
)

NASBENCH201: Final = Benchmark(
    name="nasbench201",
    file="nb201_cifar.csv.gz",
    rows=15_625,
    space="nasbench201",
    columns=(
        _percent("c10_val_e12", "error", "cifar10", 12),
        _percent("c10_val_e200", "error", "cifar10", 200),
        _percent("c10_test_e12", "test_error", "cifar10", 12),
        _percent("c10_test_e200", "test_error", "cifar10", 200),
        Column("params_c10", "params", 1e4, 1e7, dataset="cifar10"),
        Column("flops_c10_M", "macs", 1.0, 1e4, 1e6, dataset="cifar10"),
        Column("zen_c10", "zen", -1e9, 1e9, dataset="cifar10", proxy=True),
        _percent("c100_val_e12", "error", "cifar100", 12),
        _percent("c100_val_e200_1seed", "error", "cifar100", 200),
        _percent("c100_test_e12", "test_error", "cifar100", 12),
        _percent("c100_test_e200", "test_error", "cifar100", 200),
        Column("params_c100", "params", 1e4, 1e7, dataset="cifar100"),
        Column("flops_c100_M", "macs", 1.0, 1e4, 1e6, dataset="cifar100"),
        Column("zen_c100", "zen", -1e9, 1e9, dataset="cifar100", proxy=True),
    ),
    key_columns=("ops",),
    row_key=_row_key,
    row_architecture=_row_architecture,
    key=_key,
    whole=True,
    verify=61,
    extra=Extra(
        folder="nb201_latency",
        file="nb201_latency.csv.gz",
        key_columns=("ops",),
        key=_row_key,
        columns={
            **{
                f"{gpu}_{batch}": ((f"{gpu}_{batch}", "latency_ms", 1.0),)
                for gpu in _GPUS
                for batch in (1, 32, 256)
            },
            **{name: ((name, "latency_ms", 1.0),) for name in _OTHERS},
            "edgegpu": (("edgegpu", "latency_ms", 1.0), ("edgegpu_energy_mJ", "energy_j", 1e-3)),
        },
    ),
    source="Dong and Yang, ICLR 2020",
)
