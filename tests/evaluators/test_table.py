"""Tables: what is read, what is refused, what is charged."""

from __future__ import annotations

import gzip
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas.core.architecture import Candidate, Recipe
from nas.core.config import RunConfig
from nas.core.errors import CandidateError, ConfigError, DataError, NasError
from nas.core.metrics import METRICS
from nas.core.protocols import Context, Evaluator
from nas.core.work import Evaluate, Spent
from nas.evaluators import EVALUATORS, looking_up
from nas.evaluators.table import TableEvaluator, TableView, view_of
from nas.evaluators.tables import BENCHMARKS
from nas.evaluators.tables.read import read_table
from search_spaces import get_space

from .tables import HEADER, Edit, put, quality, write_lines, write_nasbench201

SPACE: Any = get_space("nasbench201")
CELL = Candidate(SPACE.members["all-conv-3x3"])  # 333333


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_nasbench201(tmp_path_factory.mktemp("tables") / "nasbench201")


def config(folder: Path, space: str = "nasbench201", **more: Any) -> RunConfig:
    return RunConfig(space=space, strategy="random", evaluator=f"table:{folder}", **more)


def evaluator(folder: Path, space: str = "nasbench201", **settings: Any) -> TableEvaluator:
    spec = config(folder, space, evaluator_settings=settings).model_dump(mode="json")
    return TableEvaluator(spec)


# -- figures -----------------------------------------------------------------------------------


def test_figures_are_those_of_the_row(made: Path) -> None:
    table = evaluator(made)
    assert isinstance(table, Evaluator)
    reply = table.evaluate(Evaluate(CELL, 200), Context())
    row = 3 * sum(5**place for place in range(6))
    assert reply.figures["error"] == pytest.approx(1 - (50 + 42 + (row % 3) / 100) / 100)
    assert reply.figures["params"] == 73_306 + 6 * 150_000
    assert reply.figures["macs"] == (73_306 + 6 * 150_000) * 100
    assert set(reply.figures) == {"error", "params", "macs", "epochs"} <= set(METRICS)
    assert reply.spent == Spent(epochs=200.0)
    assert table.evaluate(Evaluate(CELL), Context()).figures == reply.figures  # None: the largest
    short = table.evaluate(Evaluate(CELL, 12), Context())
    assert short.figures["error"] > reply.figures["error"]
    assert (short.spent.epochs, short.figures["epochs"]) == (12.0, 12.0)
    other = evaluator(made, dataset="cifar100").evaluate(Evaluate(CELL, 200), Context())
    assert other.figures["error"] > 0.5
    assert other.figures["params"] == reply.figures["params"] + 5850


def test_test_figures_are_read_on_the_test_split_only_and_cost_nothing(made: Path) -> None:
    table = evaluator(made)
    seen = table.evaluate(Evaluate(CELL, 200), Context())
    read = table.evaluate(Evaluate(CELL, 200, split="test"), Context())
    assert "test_error" not in seen.figures
    assert read.figures["test_error"] == pytest.approx(seen.figures["error"] + 0.01)
    assert {**read.figures, "test_error": 0} == {**seen.figures, "test_error": 0}
    assert read.spent == Spent()


@pytest.mark.parametrize(
    ("charge", "since", "epochs"),
    [("continued", None, 200), ("continued", 12, 188), ("anew", None, 200), ("anew", 12, 200)],
)
def test_what_a_promotion_costs(
    made: Path, charge: str, since: float | None, epochs: float
) -> None:
    table = evaluator(made, charge=charge)
    reply = table.evaluate(Evaluate(CELL, 200, since=since, horizon=200), Context())
    assert reply.spent.epochs == epochs


def test_what_is_known_without_training_is_free(made: Path) -> None:
    table = evaluator(made)
    reply = table.evaluate(Evaluate(CELL, 0), Context())
    assert reply.figures == view_of(config(made)).free(CELL)
    assert reply.figures == {"params": 973_306.0, "macs": 97_330_600.0, "zen": 42.0}
    assert reply.spent == Spent()


def test_figures_are_decimal_numbers(made: Path) -> None:
    """One minus what the file says, to the last digit, and not the nearest of 1 - x / 100."""
    table, view = read_table(str(made)), view_of(config(made))
    texts = {
        name: [line.split(",")[HEADER.index(name)] for line in lines(made)[1:400]]
        for name in ("c10_val_e200", "flops_c10_M")
    }
    errors = view.values("error", 200)
    assert errors is not None
    for text, value in zip(texts["c10_val_e200"], errors, strict=False):
        assert Decimal(repr(float(value))) == 1 - Decimal(text) / 100
    for text, value in zip(texts["flops_c10_M"], table.figures["flops_c10_M"], strict=False):
        assert int(value) == value == Decimal(text) * 10**6


def lines(folder: Path) -> list[str]:
    with gzip.open(folder / "nb201_cifar.csv.gz", "rt") as handle:
        return handle.read().splitlines()


def test_a_candidate_the_table_does_not_know(made: Path) -> None:
    table = evaluator(made)
    for candidate in (
        Candidate(CELL.architecture, Recipe({"epochs": 3})),
        Candidate(CELL.architecture, None, {"channels": 4}),
    ):
        with pytest.raises(CandidateError, match="neither recipes nor scales"):
            table.evaluate(Evaluate(candidate, 200), Context())


# -- devices -----------------------------------------------------------------------------------


def write_devices(folder: Path, edit: Edit = lambda lines: None) -> Path:
    extra = BENCHMARKS[0].extra
    assert extra is not None
    columns = [name for group in extra.columns.values() for name, _, _ in group]
    rows = [["index", "ops", *columns]]
    for index in range(15_625):
        ops = np.base_repr(index, 5).rjust(6, "0")
        times = ["" if name == "edgetpu" and index % 2 else f"{index + 1}" for name in columns]
        rows.append([str(index), ops, *times])
    edit(rows)
    folder.mkdir(parents=True, exist_ok=True)
    write_lines(folder / "nb201_latency.csv.gz", rows)
    return folder


@pytest.fixture(scope="module")
def devices(made: Path) -> Path:
    return write_devices(made.parent / "nb201_latency")


def test_latency_and_energy(made: Path, devices: Path) -> None:
    place = 1 + int("333333", 5)
    table = evaluator(made, latency_device="edgegpu")
    figures = table.evaluate(Evaluate(CELL, 12), Context()).figures
    assert figures["latency_ms"] == place
    assert figures["energy_j"] == place / 1000
    assert {"latency_ms", "energy_j"} <= set(table.reports)
    moved = evaluator(made, latency_device="pixel3", latency_file=str(devices))
    assert "energy_j" not in moved.reports
    assert view_of(config(made)).free(CELL).keys() == {"params", "macs", "zen"}


def test_cells_not_measured_are_left_out(made: Path, devices: Path) -> None:
    chosen = config(made, evaluator_settings={"latency_device": "edgetpu"})
    view = view_of(chosen)
    assert view.pool is not None
    assert view.pool.size == 7813
    assert "7,813 of 15,625 cells" in view.coverage
    known = list(view.pool.enumerate())
    table = TableEvaluator(chosen.model_dump(mode="json"))
    figures = table.evaluate(Evaluate(Candidate(known[5]), 12), Context()).figures
    assert figures["latency_ms"] % 2 == 1
    with pytest.raises(CandidateError, match="no latency_ms"):
        table.evaluate(Evaluate(Candidate(view.table.architectures[1]), 12), Context())
    assert view_of(config(made)).pool is None
    assert view_of(config(made)).coverage == ""


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda rows: rows.pop(), "15,624 rows"),
        (lambda rows: rows[3].__setitem__(4, "0"), "not positive"),
        (lambda rows: rows[3].__setitem__(4, "fast"), "no number"),
        (lambda rows: rows[3].__setitem__(4, "nan"), "'nan'"),
        (lambda rows: rows[3].__setitem__(1, "000009"), "row 3 is no known architecture"),
        (lambda rows: rows[0].__setitem__(2, "gpu"), "no column"),
    ],
)
def test_damaged_devices(made: Path, tmp_path: Path, edit: Edit, words: str) -> None:
    folder = write_devices(tmp_path, edit)
    settings = {"latency_device": "pixel3", "latency_file": str(folder)}
    with pytest.raises(DataError, match=words):
        view_of(config(made, evaluator_settings=settings))


# -- bad input ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda lines: lines.pop(7), "15,624 rows, expected 15,625"),
        (lambda lines: lines.append(lines[7]), "15,626 rows"),
        (lambda lines: lines.__setitem__(8, lines[7]), "rows 7 and 8 are the same"),
        (put(9, "ops", "12345"), "row 9 is no known architecture"),
        (put(9, "ops", "000005"), "row 9 is no known architecture"),
        (put(1, "ops", "444449"), "row 1 is no known architecture"),
        (put(4, "c10_val_e200", "nan"), "c10_val_e200 of row 4 is 'nan'"),
        (put(4, "c100_test_e12", ""), "c100_test_e12 of row 4 is empty"),
        (put(4, "c10_val_e12", "high"), "no number"),
        (put(4, "c10_val_e12", "-1"), "expected 0 to 100"),
        (put(4, "c10_val_e12", "100.5"), "expected 0 to 100"),
        (put(4, "params_c10", "3"), "expected 10000"),
        (lambda lines: lines[5].pop(), "row 5 has 16 cells, expected 17"),
        (lambda lines: lines[0].__setitem__(9, "accuracy"), "no column 'c10_val_e200'"),
        (lambda lines: lines[0].__setitem__(2, "codes"), "no column 'ops'"),
        (lambda lines: lines[0].__setitem__(2, "index"), "names a column twice"),
        (lambda lines: lines.clear(), "header is empty"),
    ],
)
def test_damaged_tables(tmp_path: Path, edit: Edit, words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        read_table(str(write_nasbench201(tmp_path, edit)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("column", ["c10_val_e12", "c100_test_e200"])
def test_fractions_where_per_cent_are_declared(tmp_path: Path, column: str) -> None:
    def to_fractions(lines: list[list[str]]) -> None:
        place = HEADER.index(column)
        for line in lines[1:]:
            line[place] = f"{float(line[place]) / 100:.6f}"

    folder = write_nasbench201(tmp_path / "table", to_fractions)
    with pytest.raises(
        DataError, match=rf"{column} is at most 0\.\d+: fractions, expected per cent"
    ):
        view_of(config(folder))


def test_a_row_that_names_another_cell_than_it_says(tmp_path: Path) -> None:
    text = SPACE.format(SPACE.members["resnet"])
    with pytest.raises(DataError, match="row 1 has the key '000000' of another cell"):
        read_table(str(write_nasbench201(tmp_path, put(1, "arch_str", text))))


def test_folders_that_hold_no_table(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        read_table(str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match="no known table"):
        read_table(str(tmp_path))
    file = tmp_path / "nb201_cifar.csv.gz"
    file.write_bytes(b"no gzip")
    with pytest.raises(DataError, match="cannot be read"):
        read_table(str(tmp_path))
    with pytest.raises(DataError, match="is no folder"):
        read_table(str(file))


def test_a_table_cut_short(made: Path, tmp_path: Path) -> None:
    whole = (made / "nb201_cifar.csv.gz").read_bytes()
    (tmp_path / "nb201_cifar.csv.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="cannot be read"):
        read_table(str(tmp_path))


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    first = read_table(str(write_nasbench201(tmp_path)))
    assert read_table(str(tmp_path)) is first
    write_nasbench201(tmp_path, put(4, "c10_val_e12", "12.125"))
    assert read_table(str(tmp_path)).figures["c10_val_e12"][3] == 0.87875


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"evaluator_settings": {"dataset": "cifar1000"}}, "did you mean cifar100"),
        ({"evaluator_settings": {"data": "cifar10"}}, "did you mean dataset"),
        ({"evaluator_settings": {"charge": "twice"}}, "'continued' or 'anew'"),
        ({"evaluator_settings": {"latency_device": "pixel"}}, "did you mean pixel3"),
        ({"network": {"channels": 8}}, "network.channels is set"),
        ({"objectives": ("latency_ms:min",)}, "latency_device to one of 1080ti_1"),
        ({"objectives": ("energy_j:min",)}, "latency_device to one of edgegpu"),
        ({"objectives": ("loss:min",)}, "does not report the objective 'loss'"),
        ({"objectives": ("params:min<=10",)}, "the best in the table is 73306"),
        ({"objectives": ("macs:max>=1e12",)}, "cannot be reached"),
        ({"evaluator": "table"}, "expected table:FOLDER"),
    ],
)
def test_what_does_not_fit_is_said_before_work(
    made: Path, more: dict[str, Any], words: str
) -> None:
    values = {"space": "nasbench201", "strategy": "random", "evaluator": f"table:{made}", **more}
    with pytest.raises(ConfigError, match=words) as caught:
        TableEvaluator.check(RunConfig(**values))
    assert caught.value.exit_code == 2


def test_other_spaces_budgets_and_limits(made: Path) -> None:
    with pytest.raises(ConfigError, match="use --space nasbench201"):
        TableEvaluator.check(config(made, "darts"))
    with pytest.raises(ConfigError, match=r"no figures at 100 epochs of cifar10; it has 12, 200"):
        TableEvaluator.check(config(made), (12.0, 100.0))
    with pytest.raises(ConfigError, match="no figures at 50 epochs"):
        evaluator(made).evaluate(Evaluate(CELL, 50), Context())
    limited = config(made, objectives=("error:min", "params:min<=73306"))
    changes = TableEvaluator.check(limited, (0.0, 12.0, 200.0))
    assert changes["evaluator"] == f"table:{made.resolve()}"
    assert changes["evaluator_settings"]["dataset"] == "cifar10"


def test_reachable_values_are_those_of_the_table(made: Path) -> None:
    view = view_of(config(made))
    assert view.reachable("params", "min") == 73_306
    assert view.reachable("params", "max") == 973_306
    best = min(1 - (50 + quality([3] * 6) + k / 100) / 100 for k in range(3))
    assert view.reachable("error", "min") == pytest.approx(best, abs=1e-3)
    assert view.reachable("loss", "min") is None


def test_the_registry_knows_who_looks_up() -> None:
    assert looking_up("table:somewhere") is TableEvaluator is EVALUATORS.get("table")
    assert looking_up("train") is None
    assert looking_up("module:function") is None


def test_reading_a_table_imports_no_torch(made: Path) -> None:
    code = (
        "import sys; from nas.core.config import RunConfig;"
        "from nas.evaluators.table import view_of;"
        f"c = RunConfig(space='nasbench201', strategy='random', evaluator='table:{made}');"
        "view_of(c).reports; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# -- the published tables ----------------------------------------------------------------------


def published(shared_data: Callable[..., Path], name: str, **settings: Any) -> TableView:
    spaces = {"nasbench101_sample": "nasbench101"}
    folder = shared_data(name)
    return view_of(config(folder, spaces.get(name, name), evaluator_settings=settings))


def test_the_published_optima(shared_data: Callable[..., Path]) -> None:
    for dataset, test in (("cifar10", 0.056267), ("cifar100", 0.264867)):
        view = published(shared_data, "nasbench201", dataset=dataset)
        column = view.table.column("test_error", dataset, 200)
        assert column is not None
        assert column.min() == pytest.approx(test, abs=2e-6)  # 94.37 and 73.51 %
        best = view.table.architectures[int(column.argmin())]
        assert best == SPACE.members[f"optimum-{dataset}"]
        assert view.tested


def test_counts_of_the_space_are_those_of_the_table(shared_data: Callable[..., Path]) -> None:
    view = published(shared_data, "nasbench201")
    for number in range(0, 15_625, 500):
        cost = SPACE.cost(view.table.architectures[number])
        free = view.free(Candidate(view.table.architectures[number]))
        assert free["params"] == cost.params
        assert abs(free["macs"] - cost.macs) <= 10  # the benchmark counts the classifier's bias


def test_the_sample_of_nasbench101(shared_data: Callable[..., Path]) -> None:
    view = published(shared_data, "nasbench101_sample")
    assert view.budgets == (4.0, 12.0, 36.0, 108.0)
    assert not view.tested
    assert view.pool is not None
    assert view.pool.size == 20_001
    assert "20,001 of 423,624 cells" in view.coverage
    table = evaluator(view.table.folder, "nasbench101")
    rng = np.random.default_rng(0)
    for _ in range(20):
        candidate = Candidate(view.pool.mutate(view.pool.sample(rng), rng))
        figures = table.evaluate(Evaluate(candidate, 108, since=36), Context()).figures
        assert figures["params"] == view.pool.cost(candidate.architecture).params  # type: ignore[attr-defined]
    with pytest.raises(CandidateError, match="is not in the table"):
        table.evaluate(Evaluate(Candidate(_unknown(view, rng)), 108), Context())
    with pytest.raises(ConfigError, match="no test figures"):
        table.evaluate(Evaluate(candidate, 108, split="test"), Context())
    with pytest.raises(NasError, match="no figures of devices"):
        published(shared_data, "nasbench101_sample", latency_device="pixel3")


def _unknown(view: TableView, rng: np.random.Generator) -> Any:
    assert view.pool is not None
    while True:
        architecture = view.table.space.sample(rng)
        if view.pool.known(architecture) is None:
            return architecture


def test_published_latencies(shared_data: Callable[..., Path]) -> None:
    shared_data("nb201_latency")
    view = published(shared_data, "nasbench201", latency_device="pixel3")
    assert view.pool is None
    first = view.table.architectures[0]
    assert view.free(Candidate(first))["latency_ms"] == 3.6058  # HW-NAS-Bench's own example
    assert published(shared_data, "nasbench201", latency_device="edgetpu").pool.size == 8786  # type: ignore[union-attr]
