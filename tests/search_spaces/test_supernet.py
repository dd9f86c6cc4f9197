"""The plain supernet: mixture, masks, decisions, and equality with discrete networks."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import torch
from torch import Tensor

from nas.core.errors import SpaceError
from search_spaces import get_space
from search_spaces.choose import Fixed, MixedEdge
from search_spaces.plain import PlainSupernet, copy_decided_weights
from search_spaces.supernet import EDGES, masked

SCALES = {
    "darts": {"channels": 4, "layers": 3},
    "darts-s1": {"channels": 4, "layers": 3},
    "darts-s3": {"channels": 4, "layers": 3},
    "darts-s5": {"channels": 4, "layers": 3},
    "nasbench201": {"channels": 4, "layers": 1},
}
SHAPE = (3, 8, 8)


def make(name: str, **more) -> PlainSupernet:
    torch.manual_seed(0)
    scale = SCALES.get(name, {"channels": 4, "layers": 3})
    supernet = get_space(name).supernet(SHAPE, 5, fast=False, **scale, **more).double()
    assert isinstance(supernet, PlainSupernet)
    with torch.no_grad():
        for alpha in supernet.alpha_parameters():
            alpha.normal_()
    return supernet


def images(batch: int = 4) -> Tensor:
    return torch.randn(
        batch, *SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    )


def decide(supernet: PlainSupernet, operations: dict[str, str]) -> None:
    for edge in supernet.edges:
        if edge.name in operations:
            supernet.keep(edge.name, operations[edge.name])
        else:
            supernet.remove(edge.name)


@pytest.mark.parametrize("name", SCALES)
def test_mixture_is_the_softmax_of_alphas(name: str) -> None:
    supernet = make(name)
    for group, table in supernet.mixture().items():
        assert torch.allclose(table, supernet.alphas[group].softmax(-1))
        assert all(len(e.operations) == table.shape[1] for e in supernet.edges)


@pytest.mark.parametrize("name", SCALES)
def test_given_mixture_is_used_as_it_is(name: str) -> None:
    supernet, x = make(name), images()
    assert torch.equal(supernet(x), supernet(x, supernet.mixture()))
    halved = {group: table / 2 for group, table in supernet.mixture().items()}
    assert not torch.allclose(supernet(x), supernet(x, halved))


def test_initial_alphas_are_small() -> None:
    supernet = get_space("darts").supernet(fast=False, channels=4, layers=1)
    assert all(0 < alpha.abs().max() < 0.01 for alpha in supernet.alpha_parameters())


@pytest.mark.parametrize("name", SCALES)
def test_parameters_are_divided(name: str) -> None:
    supernet = make(name)
    alphas, weights = supernet.alpha_parameters(), supernet.weight_parameters()
    assert len(alphas) + len(weights) == len(list(supernet.parameters()))
    assert not {id(p) for p in alphas} & {id(p) for p in weights}


@pytest.mark.parametrize("name", ["darts", "darts-s1", "darts-s3", "nasbench201"])
def test_masked_operation_equals_absent_operation(name: str) -> None:
    supernet, x = make(name), images()
    edges = supernet.edges[-1:] if name == "darts" else (supernet.edges[0], supernet.edges[-1])
    for edge in edges:
        found = supernet.removals(x, edge.name)
        assert tuple(found) == edge.operations
        mixed = [
            module
            for module in supernet.network.modules()
            if isinstance(module, MixedEdge) and module.edge == edge
        ]
        for operation, logits in found.items():
            taken = [module.operations.pop(operation) for module in mixed]
            assert torch.equal(logits, supernet(x))
            for module, back in zip(mixed, taken, strict=True):
                module.operations[operation] = back


@pytest.mark.parametrize("name", SCALES)
def test_removing_none_changes_nothing(name: str) -> None:
    supernet, x = make(name), images()
    edge = supernet.edges[0]
    if "none" in edge.operations:
        assert torch.equal(supernet.removals(x, edge.name)["none"], supernet(x))


def test_edge_removals_zero_whole_edges() -> None:
    supernet, x = make("darts"), images()
    found = supernet.edge_removals(x, "reduce", 2)
    assert list(found) == [f"reduce/2<-{source}" for source in range(4)]
    mixture = dict(supernet.mixture())
    mixture["reduce"] = mixture["reduce"].clone()
    mixture["reduce"][supernet.edge("reduce/2<-3").row] = 0
    assert torch.equal(found["reduce/2<-3"], supernet(x, mixture))
    supernet.remove("reduce/2<-1")
    assert list(supernet.edge_removals(x, "reduce", 2)) == [
        "reduce/2<-0",
        "reduce/2<-2",
        "reduce/2<-3",
    ]


@pytest.mark.parametrize("name", ["darts", "darts-s4", "nasbench201"])
def test_measuring_changes_no_state(name: str) -> None:
    supernet, x = make(name), images()
    before = {key: tensor.clone() for key, tensor in supernet.state_dict().items()}
    buffers = {key: tensor.clone() for key, tensor in supernet.named_buffers()}
    generator = torch.get_rng_state()
    first = supernet.removals(x, supernet.edges[2].name)
    supernet.edge_removals(x, supernet.edges[2].group, supernet.edges[2].node)
    assert torch.equal(torch.get_rng_state(), generator)
    assert all(torch.equal(before[key], t) for key, t in supernet.state_dict().items())
    assert all(torch.equal(buffers[key], t) for key, t in supernet.named_buffers())
    assert all(not logits.requires_grad for logits in first.values())
    again = supernet.removals(x, supernet.edges[2].name)
    assert all(torch.equal(first[key], again[key]) for key in first)


def test_train_and_eval_mode_agree() -> None:
    supernet, x = make("darts"), images()
    assert torch.equal(supernet.train()(x), supernet.eval()(x))


@pytest.mark.parametrize("name", SCALES)
def test_decided_rows_get_exactly_zero_gradient(name: str) -> None:
    supernet, x = make(name), images()
    kept, removed = supernet.edges[0], supernet.edges[-1]
    supernet.keep(kept.name, kept.operations[-1])
    supernet.remove(removed.name)
    supernet(x).square().sum().backward()
    gradients = {edge.name: supernet.alphas[edge.group].grad[edge.row] for edge in supernet.edges}
    assert torch.all(gradients[kept.name] == 0)
    assert torch.all(gradients[removed.name] == 0)
    assert any(torch.any(g != 0) for g in gradients.values())
    mixture = supernet.mixture()
    assert mixture[kept.group][kept.row].tolist() == [0.0] * (len(kept.operations) - 1) + [1.0]
    assert torch.all(mixture[removed.group][removed.row] == 0)


def test_decided_operations_are_gone() -> None:
    supernet = make("darts")
    before = len(supernet.weight_parameters())
    supernet.keep("normal/3<-4", "skip_connect")
    after = len(supernet.weight_parameters())
    assert after < before
    supernet.remove("normal/3<-4")
    assert supernet.live("normal/3<-4") == ()
    assert supernet.decided() == {"normal/3<-4": None}
    left = [
        module.operations
        for module in supernet.network.modules()
        if isinstance(module, MixedEdge) and module.edge.name == "normal/3<-4"
    ]
    assert left
    assert all(len(operations) == 0 for operations in left)


@pytest.mark.parametrize("name", SCALES)
def test_decided_supernet_equals_the_discrete_network(name: str) -> None:
    space, supernet, x = get_space(name), make(name), images()
    for seed in range(1 if name.startswith("darts-s5") else 2):
        arch = space.sample(np.random.default_rng(seed))
        operations = space.operations(arch)
        decided = copy.deepcopy(supernet)
        decide(decided, operations)
        assert space.from_decided(decided.decided()) == arch
        network = space.build(Fixed(operations, search=True), SHAPE, 5, **SCALES[name]).double()
        real = {edge: op for edge, op in operations.items() if op != "none"}
        for source in (supernet, decided):
            copy_decided_weights(source, network, real)
            assert (network(x) - decided(x)).abs().max() < 1e-12


def test_copying_to_another_scale_is_refused() -> None:
    space, supernet = get_space("darts"), make("darts")
    operations = space.operations(space.members["DARTS_V2"])
    for choose, layers in ((Fixed(operations, search=True), 4), (Fixed(operations), 3)):
        network = space.build(choose, SHAPE, 5, channels=4, layers=layers)
        with pytest.raises(SpaceError):
            copy_decided_weights(supernet, network, operations)


class TestDecisions:
    def test_impossible_ones(self) -> None:
        supernet = make("darts")
        with pytest.raises(SpaceError, match="conv_9x9"):
            supernet.keep("normal/0<-0", "conv_9x9")
        with pytest.raises(SpaceError, match="unknown edge"):
            supernet.keep("normal/0<-7", "none")
        supernet.keep("normal/0<-0", "none")
        supernet.keep("normal/0<-0", "none")
        with pytest.raises(SpaceError, match="cannot keep"):
            supernet.keep("normal/0<-0", "skip_connect")
        supernet.remove("normal/0<-0")
        with pytest.raises(SpaceError, match="cannot keep"):
            supernet.keep("normal/0<-0", "none")
        with pytest.raises(SpaceError):
            supernet.edge_removals(images(), "normal", 9)

    def test_checkpoint(self) -> None:
        supernet, x = make("darts-s3"), images()
        supernet.keep("normal/1<-0", "sep_conv_3x3")
        supernet.remove("reduce/3<-1")
        structure = json.loads(json.dumps(supernet.structure()))
        other = make("darts-s3")
        other.load_structure(structure)
        other.load_state_dict(supernet.state_dict())
        assert torch.equal(other(x), supernet(x))
        assert other.decided() == supernet.decided()
        other.load_structure(structure)
        with pytest.raises(SpaceError):
            other.load_structure({"decided": {}})
        with pytest.raises(SpaceError):
            make("darts-s1").load_structure({"decided": {"normal/0<-0": "sep_conv_5x5"}})


class TestPartialChannels:
    def test_edge_weights(self) -> None:
        supernet = make("darts", variant="pc-darts", partial=2)
        supernet.remove("normal/2<-1")
        weights = supernet.mixture()["normal" + EDGES]
        sums = [part.sum().item() for part in weights.split([2, 3, 4, 5])]
        assert sums == pytest.approx([1.0] * 4)
        assert weights[supernet.edge("normal/2<-1").row] == 0
        node = supernet.betas["normal"][5:9]
        live = torch.tensor([True, False, True, True])
        assert torch.allclose(weights[5:9][live], node[live].softmax(0))
        supernet(images()).square().sum().backward()
        gradient = supernet.betas["normal"].grad
        assert gradient[supernet.edge("normal/2<-1").row] == 0
        assert gradient[5] != 0
        for source in (0, 2, 3):
            supernet.remove(f"normal/2<-{source}")
        assert torch.all(supernet.mixture()["normal" + EDGES][5:9] == 0)
        assert torch.isfinite(supernet(images())).all()

    def test_operations_see_a_part_of_the_channels(self) -> None:
        full, part = make("darts"), make("darts", variant="pc-darts", partial=4)
        edges = [
            next(m for m in net.network.modules() if isinstance(m, MixedEdge))
            for net in (full, part)
        ]
        sizes = [e.operations["sep_conv_3x3"].pointwise1.weight.shape[0] for e in edges]
        assert sizes == [4, 1]

    def test_the_rest_passes_by(self) -> None:
        supernet = make("darts", variant="pc-darts", partial=2)
        edge = next(
            m
            for m in supernet.network.modules()
            if isinstance(m, MixedEdge) and m.edge.name == "normal/0<-0"
        )
        mixture = {k: torch.zeros_like(v) for k, v in supernet.mixture().items()}
        mixture["normal" + EDGES][0] = 1
        edge.weights.set(mixture)
        x = torch.randn(2, 4, 4, 4, dtype=torch.float64)
        y = edge(x)
        assert torch.equal(y[:, [1, 3]], x[:, 2:])
        assert torch.all(y[:, [0, 2]] == 0)

    def test_masking_an_edge_masks_what_passes_by(self) -> None:
        supernet = make("darts", variant="pc-darts", partial=2)
        mixture = masked(supernet.mixture(), supernet.edge("normal/3<-0"))
        assert mixture["normal" + EDGES][supernet.edge("normal/3<-0").row] == 0
        assert len(supernet.edge_removals(images(), "normal", 3)) == 5

    @pytest.mark.parametrize("shape", [(3, 8, 8), (3, 9, 7), (1, 130, 128)])
    def test_shapes(self, shape: tuple[int, int, int]) -> None:
        supernet = get_space("darts-s5").supernet(
            shape, 5, variant="pc-darts", channels=4, layers=3, fast=False
        )
        assert len(supernet.alpha_parameters()) == 4
        assert supernet(torch.randn(2, *shape)).shape == (2, 5)


def test_noise_is_the_same_for_all_variants() -> None:
    supernet, x = make("darts-s4"), images()
    edge = supernet.edges[0]
    mixture = supernet.mixture()
    torch.manual_seed(7)
    found = supernet.removals(x, edge.name)
    for operation, logits in found.items():
        torch.manual_seed(7)
        assert torch.equal(logits, supernet(x, masked(mixture, edge, operation)))


def test_perturbed_mixture_keeps_gradients_of_alphas() -> None:
    supernet, x = make("darts"), images()
    mixture = {k: (v + 0.1 * torch.rand_like(v)) for k, v in supernet.mixture().items()}
    supernet(x, mixture).square().sum().backward()
    assert supernet.alphas["normal"].grad.abs().sum() > 0
    assert supernet._weights._rows == {}, "the graph must not outlive the pass"


def test_first_order_gradient_against_differences() -> None:
    # The network has kinks, but a tiny step on a fixed batch stays between them.
    supernet, x = make("nasbench201"), images()
    target = torch.tensor([0, 1, 2, 3])

    def loss() -> Tensor:
        return torch.nn.functional.cross_entropy(supernet(x), target)

    (gradient,) = torch.autograd.grad(loss(), supernet.alpha_parameters())
    alpha = supernet.alphas["cell"]
    step = 1e-6
    with torch.no_grad():
        for row, column in ((0, 0), (2, 3), (5, 4)):
            values = []
            for sign in (1, -1):
                alpha[row, column] += sign * step
                values.append(loss().item())
                alpha[row, column] -= sign * step
            difference = (values[0] - values[1]) / (2 * step)
            assert difference == pytest.approx(gradient[row, column].item(), rel=1e-4, abs=1e-8)
