"""Reading and writing the field's notations, hostile text included."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.core.errors import SpaceError
from search_spaces import get_space

DARTS_V2 = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), "
    "('sep_conv_3x3', 1), ('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), "
    "('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0), "
    "('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), "
    "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], "
    "reduce_concat=[2, 3, 4, 5])"
)
CELL = "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|none~2|"

DARTS = get_space("darts")
BENCH = get_space("nasbench201")


def test_published_text_is_the_member() -> None:
    arch = DARTS.parse(DARTS_V2)
    assert arch == DARTS.members["DARTS_V2"]
    again = DARTS.format(arch)
    assert DARTS.parse(again) == arch
    assert DARTS.format(DARTS.parse(again)) == again


@pytest.mark.parametrize(
    "text",
    [
        f"DARTS_V2 = {DARTS_V2}  # 3.3 M",
        DARTS_V2.replace("[2, 3, 4, 5]", "range(2, 6)"),
        DARTS_V2.replace("[2, 3, 4, 5]", "(2, 3, 4, 5)"),
        DARTS_V2.replace("'", '"'),
        DARTS_V2.replace(", ", ",\n   "),
        DARTS_V2.replace("normal=", "", 1).replace("normal_concat=", "", 1),
    ],
)
def test_other_spellings(text: str) -> None:
    assert DARTS.parse(text) == DARTS.members["DARTS_V2"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Genotype()",
        "Genotype",
        "1",
        "None",
        DARTS_V2 + DARTS_V2,
        DARTS_V2 + "; 1",
        DARTS_V2.replace("Genotype", "Gen"),
        DARTS_V2.replace("Genotype", "os.system"),
        DARTS_V2.replace("Genotype", "__import__('os').system"),
        DARTS_V2[:-1],
        DARTS_V2.replace("dil_conv_3x3", "sep_conv_7x7"),
        DARTS_V2.replace("dil_conv_3x3", "none"),
        DARTS_V2.replace("('dil_conv_3x3', 2)", "('dil_conv_3x3', 0)"),
        DARTS_V2.replace("('dil_conv_3x3', 2)", "('dil_conv_3x3', 5)"),
        DARTS_V2.replace("('dil_conv_3x3', 2)", "('dil_conv_3x3', True)"),
        DARTS_V2.replace("('dil_conv_3x3', 2)", "('dil_conv_3x3', 2, 1.0)"),
        DARTS_V2.replace("('dil_conv_3x3', 2)", "'dil_conv_3x3'"),
        DARTS_V2.replace(", ('dil_conv_3x3', 2)", ""),
        DARTS_V2.replace("normal_concat=[2, 3, 4, 5]", "normal_concat=[3, 4, 5]"),
        DARTS_V2.replace("normal_concat=[2, 3, 4, 5]", "normal_concat=range(2, 10**9)"),
        DARTS_V2.replace("normal_concat=[2, 3, 4, 5]", "normal_concat=range(9999999999)"),
        DARTS_V2.replace("normal_concat=[2, 3, 4, 5], ", ""),
        DARTS_V2.replace("reduce_concat", "normal_concat"),
        DARTS_V2.replace("reduce_concat", "other"),
        DARTS_V2.replace("normal=[", "normal=[x for x in ["),
        DARTS_V2.replace("normal=[", "*[", 1),
        DARTS_V2.replace("normal=", "**", 1),
        "(" * 4000,
        "[" * 90 + "]" * 90,
        "not " * 1000 + "1",
        "Genotype(" * 400,
        "Genotype(normal=" + "9" * 3000 + ")",
        "x" * 10_000_000,
        "\x00",
        "é",
        "\\",
        "0and 1",
        "lambda: 0",
        CELL,
    ],
)
def test_hostile_genotypes(text: str) -> None:
    start = time.perf_counter()
    with pytest.raises(SpaceError) as error:
        DARTS.parse(text)
    assert len(str(error.value)) < 400
    assert "\n" not in str(error.value)
    assert time.perf_counter() - start < 1.0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "|",
        "+",
        "++",
        CELL[:-1].replace("none~2", "none"),
        CELL.replace("none", "max_pool_3x3"),
        CELL.replace("none~2", "none~3"),
        CELL.replace("none~2", "none~1"),
        CELL.replace("|none~2", ""),
        CELL + "+|none~0|none~1|none~2|none~3|",
        CELL.replace("|none~2|", "|none~2|none~2|"),
        CELL.replace("none", "nóne"),
        "|a~0" * 1_000_000,
        DARTS_V2,
    ],
)
def test_hostile_cells(text: str) -> None:
    with pytest.raises(SpaceError) as error:
        BENCH.parse(text)
    assert len(str(error.value)) < 400


def test_cell_text() -> None:
    arch = BENCH.parse(f"  {CELL}\n")
    assert BENCH.format(arch) == CELL
    assert BENCH.operations(arch)["cell/3<-2"] == "none"
    swapped = CELL.replace("|nor_conv_3x3~0|avg_pool_3x3~1|", "|avg_pool_3x3~1|nor_conv_3x3~0|")
    assert BENCH.parse(swapped) == arch


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(["darts", "darts-s1", "darts-s4", "nasbench201"]))
def test_round_trip(seed: int, name: str) -> None:
    space = get_space(name)
    arch = space.sample(np.random.default_rng(seed))
    assert space.parse(space.format(arch)) == arch


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=200) | st.text("GenotypeNormalrduc_[](),='0123456789 \n", max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    for space in (DARTS, BENCH):
        with pytest.raises(SpaceError):
            space.parse(text)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(DARTS_V2) - 1), st.text("'[](),=0123456789ab_ ", max_size=3))
def test_edited_text_is_read_or_refused(position: int, insert: str) -> None:
    text = DARTS_V2[:position] + insert + DARTS_V2[position + 1 :]
    try:
        arch = DARTS.parse(text)
    except SpaceError:
        return
    assert DARTS.from_dict(arch.to_dict()) == arch
