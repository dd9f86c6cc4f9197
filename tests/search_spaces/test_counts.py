"""Parameters and multiply-accumulates against published tables and additive models."""

from __future__ import annotations

import csv
import gzip
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from nas.core.architecture import Architecture
from nas.measure import count_macs, count_parameters
from search_spaces import get_space
from search_spaces.darts.space import DartsSpace
from search_spaces.nasbench201.space import NasBench201Space

CIFAR = {"channels": 36, "layers": 20}
IMAGENET = {"channels": 48, "layers": 14}

# Name: CIFAR parameters, with auxiliary head, multiply-adds; ImageNet parameters, multiply-adds.
TABLE = {
    "DARTS_V1": (3_169_414, 3_645_840, 500_987_520, 4_510_432, 505_864_704),
    "DARTS_V2": (3_349_342, 3_825_768, 528_359_040, 4_718_752, 529_911_552),
    "PC_DARTS_cifar": (3_634_678, 4_111_104, 556_670_592, 5_270_560, 571_137_408),
    "PC_DARTS_image": (3_721_510, 4_197_936, 570_466_944, 5_342_464, 581_627_328),
    "GDAS_V1": (3_368_782, 3_845_208, 519_428_736, 4_969_216, 537_597_888),
    "DrNAS_cifar10": (4_099_294, 4_575_720, 635_135_616, 5_738_464, 633_832_320),
    "SDARTS_RS": (3_606_166, 4_082_592, 562_393_728, 5_120_320, 566_762_688),
    "SDARTS_ADV": (3_344_806, 3_821_232, 526_755_456, 4_768_864, 531_567_360),
    "SGAS_Cri1_CIFAR_1": (3_750_238, 4_226_664, 589_709_952, 5_247_040, 586_839_360),
    "darts_pt_s5_0": (2_851_246, 3_327_672, 449_119_872, 4_228_576, 465_805_440),
    "darts_pt_s5_1": (3_053_206, 3_529_632, 471_680_640, 4_510_816, 490_962_432),
    "darts_pt_s5_2": (2_658_142, 3_134_568, 413_149_824, 4_035_712, 438_098_880),
    "darts_pt_s5_3": (3_328_174, 3_804_600, 517_714_560, 4_779_712, 527_456_064),
    "blank_pt_s5_2": (2_581_894, 3_058_320, 411_435_648, 3_922_624, 431_814_336),
    "blank_pt_s5_3": (3_404_854, 3_881_280, 533_003_904, 4_871_968, 539_752_320),
}
SMALL_TABLE = {
    "darts-s1": ("darts_pt_s1_1", 1_870_822, 300_263_040),
    "darts-s2": ("darts_pt_s2_1", 3_092_518, 475_274_880),
    "darts-s3": ("darts_pt_s3_1", 3_422_134, 526_866_048),
    "darts-s4": ("darts_pt_s4_1", 4_701_718, 711_665_280),
}
QUICK = ("DARTS_V2",)

OPERATIONS = ("sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5")
# Scale: base, price of each operation in normal cells, in reduction cells, of a strided skip.
PARAMETERS = {
    (36, 20): (
        1_370_134,
        (359_856, 408_240, 179_928, 204_120),
        (56_592, 63_504, 28_296, 31_752),
        26_352,
    ),
    (16, 20): (274_554, (79_296, 100_800, 39_648, 50_400), (12_352, 15_424, 6_176, 7_712), 5_312),
    (16, 8): (100_730, (26_432, 33_600, 13_216, 16_800), (12_352, 15_424, 6_176, 7_712), 5_312),
    (48, 14): (
        2_427_232,
        (416_640, 459_648, 208_320, 229_824),
        (98_496, 107_712, 49_248, 53_856),
        46_656,
    ),
}
MACS = (
    227_272_320,
    (54_743_040, 67_129_344, 27_371_520, 33_564_672),
    (5_806_080, 6_690_816, 2_903_040, 3_345_408),
    2_654_208,
)


def darts(name: str = "darts") -> DartsSpace:
    space = get_space(name)
    assert isinstance(space, DartsSpace)
    return space


def nasbench() -> NasBench201Space:
    space = get_space("nasbench201")
    assert isinstance(space, NasBench201Space)
    return space


def on_meta(space: DartsSpace | NasBench201Space, arch: Architecture, *args, **scale):
    with torch.device("meta"):
        return space.network(arch, *args, **scale)


def additive(space: DartsSpace, arch: Architecture, model) -> int:
    base, normal, reduce, strided_skip = model
    total = base
    for edge, operation in space.operations(arch).items():
        prices = normal if edge.startswith("normal") else reduce
        if operation in OPERATIONS:
            total += prices[OPERATIONS.index(operation)]
        elif operation == "skip_connect" and edge.startswith("reduce") and edge[-1] in "01":
            total += strided_skip
    return total


@pytest.mark.parametrize("name", TABLE)
def test_published_costs_by_arithmetic(name: str) -> None:
    space, (params, _, macs, large_params, large_macs) = darts(), TABLE[name]
    cost = space.cost(space.members[name], **CIFAR)
    assert (cost.params, cost.macs) == (params, macs)
    cost = space.cost(space.members[name], (3, 224, 224), 1000, **IMAGENET)
    assert (cost.params, cost.macs) == (large_params, large_macs)


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n in QUICK else pytest.mark.slow) for n in TABLE]
)
def test_published_costs_of_built_networks(name: str) -> None:
    space, (params, with_auxiliary, macs, large_params, large_macs) = darts(), TABLE[name]
    network = on_meta(space, space.members[name], auxiliary=True, **CIFAR)
    assert count_parameters(network) == params
    assert count_parameters(network, exclude_auxiliary=False) == with_auxiliary
    assert count_macs(network, (3, 32, 32)) == macs
    network = on_meta(space, space.members[name], (3, 224, 224), 1000, **IMAGENET)
    assert count_parameters(network) == large_params
    assert count_macs(network, (3, 224, 224)) == large_macs


@pytest.mark.parametrize("name", SMALL_TABLE)
def test_published_costs_of_small_spaces(name: str) -> None:
    space, (member, params, macs) = darts(name), SMALL_TABLE[name]
    cost = space.cost(space.members[member], **CIFAR)
    assert (cost.params, cost.macs) == (params, macs)


@pytest.mark.parametrize("scale", PARAMETERS)
def test_additive_model_of_darts(scale: tuple[int, int]) -> None:
    space, rng = darts(), np.random.default_rng(0)
    channels, layers = scale
    shape, classes = ((3, 224, 224), 1000) if channels == 48 else ((3, 32, 32), 10)
    for arch in [space.sample(rng) for _ in range(100)]:
        cost = space.cost(arch, shape, classes, channels=channels, layers=layers)
        assert cost.params == additive(space, arch, PARAMETERS[scale])
        if scale == (36, 20):
            assert cost.macs == additive(space, arch, MACS)


def test_range_of_darts_parameters() -> None:
    space = darts()
    arch = space.sample(np.random.default_rng(0))
    everywhere = {
        name: space.from_operations(dict.fromkeys(space.operations(arch), name))
        for name in ("max_pool_3x3", "sep_conv_5x5")
    }
    assert space.cost(everywhere["max_pool_3x3"]).params == 1_370_134
    assert space.cost(everywhere["sep_conv_5x5"]).params == 5_144_086


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 33, 47), (4, 130, 150)])
def test_arithmetic_equals_built_darts_networks(shape: tuple[int, int, int]) -> None:
    space, rng = darts(), np.random.default_rng(1)
    for layers in (1, 2, 5):
        arch = space.sample(rng)
        cost = space.cost(arch, shape, 7, channels=6, layers=layers)
        network = on_meta(space, arch, shape, 7, channels=6, layers=layers)
        assert (cost.params, cost.macs) == (count_parameters(network), count_macs(network, shape))


@pytest.mark.parametrize(
    ("name", "scale", "params"),
    [
        ("darts", {}, 1_930_618),
        ("darts-s5", {}, 1_930_618),
        ("darts-s1", {}, 405_146),
        ("darts-s2", {}, 665_466),
        ("darts-s3", {}, 665_466),
        ("darts-s4", {}, 624_506),
        ("darts", {"channels": 16, "layers": 5}, 1_275_834),
        ("darts", {"channels": 8, "layers": 8}, 597_890),
        ("darts", {"channels": 8, "layers": 5}, 394_210),
        ("darts", {"channels": 4, "layers": 3}, 72_854),
        pytest.param("darts", {"channels": 36, "layers": 20}, 19_932_310, marks=pytest.mark.slow),
    ],
)
def test_weights_of_supernets(name: str, scale: dict[str, int], params: int) -> None:
    with torch.device("meta"):
        supernet = darts(name).supernet(fast=False, **scale)
    assert sum(p.numel() for p in supernet.weight_parameters()) == params


@pytest.mark.parametrize(
    ("scale", "macs"),
    [
        pytest.param({"channels": 8, "layers": 5}, 61_629_696, marks=pytest.mark.slow),
        pytest.param({"channels": 16, "layers": 5}, 186_698_240, marks=pytest.mark.slow),
        pytest.param({"channels": 16, "layers": 8}, 300_255_744, marks=pytest.mark.slow),
    ],
)
def test_macs_of_supernets(scale: dict[str, int], macs: int) -> None:
    with torch.device("meta"):
        supernet = darts().supernet(fast=False, **scale)
    assert count_macs(supernet, (3, 32, 32)) == macs


@pytest.mark.parametrize(
    ("name", "alphas"),
    [
        ("darts", 224),
        ("darts-s5", 196),
        ("darts-s1", 56),
        ("darts-s2", 56),
        ("darts-s4", 56),
        ("darts-s3", 84),
        ("nasbench201", 30),
    ],
)
def test_number_of_alphas(name: str, alphas: int) -> None:
    space = get_space(name)
    with torch.device("meta"):
        supernet = space.supernet(fast=False, channels=4, layers=1)
    assert sum(p.numel() for p in supernet.alpha_parameters()) == alphas


NB201_TABLE = [
    (
        "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|"
        "+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|",
        802_426,
        113_951_360,
    ),
    (
        "|skip_connect~0|+|none~0|nor_conv_3x3~1|+|avg_pool_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|",
        802_426,
        113_951_360,
    ),
    ("all-conv-3x3", 1_531_546, 220_119_680),
    ("all-conv-1x1", 241_306, 31_376_000),
    ("all-skip", 73_306, 7_783_040),
    ("optimum-cifar100", 1_288_506, 184_730_240),
]


@pytest.mark.parametrize(("text", "params", "macs"), NB201_TABLE)
def test_costs_of_nasbench201_cells(text: str, params: int, macs: int) -> None:
    space = nasbench()
    arch = space.members[text] if text in space.members else space.parse(text)
    network = on_meta(space, arch)
    assert (count_parameters(network), count_macs(network, (3, 32, 32))) == (params, macs)
    cost = space.cost(arch)
    assert (cost.params, cost.macs) == (params, macs)


def test_costs_of_nasbench201_on_other_data() -> None:
    space = nasbench()
    arch = space.parse(NB201_TABLE[0][0])
    assert space.cost(arch, (3, 32, 32), 100).params == 808_276
    assert space.cost(arch, (3, 32, 32), 100).macs == 113_957_120
    assert space.cost(arch, (3, 16, 16), 120).params == 809_576
    network = on_meta(space, arch, (3, 16, 16), 120)
    assert (count_parameters(network), count_macs(network, (3, 16, 16))) == (809_576, 28_495_360)


def test_additive_model_of_nasbench201() -> None:
    space, rng = nasbench(), np.random.default_rng(0)
    for arch in [space.sample(rng) for _ in range(100)]:
        names = list(space.operations(arch).values())
        n3, n1 = names.count("nor_conv_3x3"), names.count("nor_conv_1x1")
        cost = space.cost(arch)
        assert cost.params == 73_306 + 243_040 * n3 + 28_000 * n1
        assert cost.macs == 7_783_040 + 35_389_440 * n3 + 3_932_160 * n1
        cost = space.cost(arch, (3, 16, 16), 120)
        assert cost.macs == 1_953_280 + 8_847_360 * n3 + 983_040 * n1


def test_weights_of_nasbench201_supernet() -> None:
    # The reference has 6,720 more: biases of convolutions right before a normalisation.
    with torch.device("meta"):
        supernet = nasbench().supernet(fast=False)
    assert sum(p.numel() for p in supernet.weight_parameters()) == 1_692_826 - 6_720


def benchmark_rows() -> list[dict[str, str]]:
    here = Path(__file__).resolve().parents[2]
    folder = Path(os.environ.get("NAS_TEST_DATA", here.parent / "shared" / "data"))
    file = folder / "nasbench201" / "nb201_cifar.csv.gz"
    if not file.is_file():
        pytest.skip(f"needs {file.name} of NAS-Bench-201 under NAS_TEST_DATA")
    with gzip.open(file, "rt", newline="") as text:
        return list(csv.DictReader(text))


def test_every_cell_of_the_benchmark() -> None:
    space = nasbench()
    classes: dict[str, str] = {}
    for row in benchmark_rows():
        arch = space.parse(row["arch_str"])
        assert space.format(arch) == row["arch_str"]
        cost, cost100 = space.cost(arch), space.cost(arch, num_classes=100)
        assert (cost.params, cost100.params) == (int(row["params_c10"]), int(row["params_c100"]))
        assert cost.macs + 10 == round(float(row["flops_c10_M"]) * 1e6)
        representative = space.canonical(arch).id
        assert classes.setdefault(row["unique_id"], representative) == representative
    assert len(set(classes.values())) == len(classes) == 6_466


def test_counting_leaves_the_network_as_it_was() -> None:
    space = darts()
    network = space.network(space.members["DARTS_V2"], channels=4, layers=2)
    network.cells[0].eval()
    modes = [module.training for module in network.modules()]
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    count_macs(network, (3, 32, 32))
    assert [module.training for module in network.modules()] == modes
    assert all(torch.equal(before[name], t) for name, t in network.state_dict().items())
