"""Networks that hold every operation: a path of one is the network of its own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nas.core.errors import SpaceError
from nas.training.averaging import Average
from search_spaces import get_space
from search_spaces.gan.generator import Generator
from search_spaces.gan.sharing import copy_weights, draw, recalibrate
from search_spaces.gan.space import GanSpace

SHAPE = (1, 16, 16)
SCALE = {"generator_channels": 4, "latent": 6, "discriminator_channels": 4}


def space_of(name: str) -> GanSpace:
    space = get_space(name)
    assert isinstance(space, GanSpace)
    return space


@pytest.fixture
def gan() -> GanSpace:
    return space_of("gan")


def shared(gan: GanSpace, seed: int = 0, **scale: object) -> nn.Module:
    torch.manual_seed(seed)
    made = gan.supernet(SHAPE, **{**SCALE, **scale}).double()
    nn.init.normal_(made.generator.norm.running_mean)
    return made


def latents(batch: int, seed: int = 1) -> Tensor:
    chance = torch.Generator().manual_seed(seed)
    return torch.randn(batch, 6, generator=chance, dtype=torch.float64)


@pytest.mark.parametrize("spectral_norm", [True, pytest.param(False, marks=pytest.mark.slow)])
@torch.no_grad()
def test_a_path_is_the_network_of_its_own(gan: GanSpace, spectral_norm: bool) -> None:
    both = shared(gan, spectral_norm=spectral_norm)
    rng, z, largest = np.random.default_rng(0), latents(4), 0.0
    for number in range(300 if not spectral_norm else 30):
        member = (
            list(gan.members.values())[number] if number < len(gan.members) else gan.sample(rng)
        )
        paths = gan.paths(member)
        own = gan.network(member, SHAPE, **SCALE, spectral_norm=spectral_norm).double()
        copy_weights(both, own)
        training = number % 2 == 0  # and then running statistics change in both
        both.train(training)
        own.train(training)
        images, expected = both.generator(z, paths["generator"]), own(z)
        scores = both.discriminator(images, paths["discriminator"])
        differences = (
            (images - expected).abs().max(),
            (scores - own.discriminator(images)).abs().max(),
        )
        largest = max(largest, *map(float, differences))
        mean, own_mean = (g.norm.running_mean for g in (both.generator, own.generator))
        assert torch.equal(mean, own_mean)
    assert largest <= 1e-6


@torch.no_grad()
def test_what_a_path_reads_is_left_as_it_is(gan: GanSpace) -> None:
    """A skip gives the tensor itself; adding to that in place would change what others read."""
    both = shared(gan)
    rows = gan.paths(gan.members["AdversarialNAS"])["generator"]
    cell, seen = both.generator.cells[1], []
    hook = cell.edges["up1"].register_forward_hook(lambda *found: seen.append(found[2]))
    copy = cell.edges["up1"].register_forward_hook(lambda *found: seen.append(found[2].clone()))
    both.generator(latents(4), rows)
    hook.remove()
    copy.remove()
    assert torch.equal(seen[0], seen[1])


def test_copies_go_both_ways_and_share_nothing(gan: GanSpace) -> None:
    both, member = shared(gan), gan.members["EAGAN"]
    own = gan.network(member, SHAPE, **SCALE).double()
    before = {name: tensor.clone() for name, tensor in both.state_dict().items()}
    copy_weights(own, both)
    mine = own.state_dict()
    for name, tensor in both.state_dict().items():
        assert torch.equal(tensor, mine[name] if name in mine else before[name])
    with torch.no_grad():
        for parameter in own.parameters():
            parameter.add_(1)
    theirs = both.state_dict()
    moved = [name for name, tensor in mine.items() if tensor.is_floating_point()]
    assert any(not torch.equal(theirs[name], mine[name]) for name in moved)
    storages = {tensor.data_ptr() for tensor in both.state_dict().values()}
    assert not storages & {tensor.data_ptr() for tensor in own.state_dict().values()}


def test_copies_that_cannot_be(gan: GanSpace) -> None:
    one, other = (
        gan.network(gan.members[name], SHAPE, **SCALE) for name in ("EAGAN", "AdversarialNAS")
    )
    with pytest.raises(SpaceError, match="no parts of each other"):
        copy_weights(one, other)
    wide = gan.network(gan.members["EAGAN"], SHAPE, **{**SCALE, "generator_channels": 8})
    before = [tensor.clone() for tensor in wide.state_dict().values()]
    with pytest.raises(SpaceError, match="in one network"):
        copy_weights(one, wide)
    assert all(map(torch.equal, before, wide.state_dict().values()))


def test_only_the_path_has_gradients(gan: GanSpace) -> None:
    both, rng = shared(gan), np.random.default_rng(4)
    for _ in range(5):
        member = gan.sample(rng)
        paths = gan.paths(member)
        both.zero_grad()
        images = both.generator(latents(4), paths["generator"])
        both.discriminator(images, paths["discriminator"]).sum().backward()
        own = gan.network(member, SHAPE, **SCALE)
        names = {name for name, p in both.named_parameters() if p.grad is not None}
        assert names <= {name for name, _ in own.named_parameters()}
        living = sum(p.numel() for name, p in both.named_parameters() if name in names)
        assert living == gan.cost(member, SHAPE, **SCALE).params - sum(
            gan.dead(member, **SCALE).values()
        )


def test_several_paths_draw_one_batch(gan: GanSpace) -> None:
    generator, rng, z = shared(gan).generator, np.random.default_rng(5), latents(11)
    paths = [gan.paths(gan.sample(rng))["generator"] for _ in range(3)]
    images = draw(generator, z, paths)
    assert images.shape == (11, *SHAPE)
    pieces = [(0, 4), (4, 8), (8, 11)]
    for (start, end), path in zip(pieces, paths, strict=True):
        assert torch.equal(images[start:end], generator(z[start:end], path))
    images.square().sum().backward()
    for path in paths:  # every path of the step has learned
        for cell, row in zip(generator.cells, path, strict=True):
            edge = cell.edges["3_1"]
            if row[5] not in ("none", "skip"):
                assert edge[row[5]].conv.weight.grad.abs().sum() > 0
    with pytest.raises(SpaceError, match="12 paths"):
        draw(generator, z, paths * 4)
    with pytest.raises(SpaceError, match="0 paths"):
        draw(generator, z, [])


def head_input(generator: Generator, z: Tensor, path: object) -> Tensor:
    seen: list[Tensor] = []
    hook = generator.norm.register_forward_pre_hook(lambda _, found: seen.append(found[0]))
    generator(z, path)
    hook.remove()
    return seen[0]


@torch.no_grad()
def test_statistics_are_counted_anew_for_a_path(gan: GanSpace) -> None:
    generator, rng = shared(gan).generator.eval(), np.random.default_rng(6)
    path = gan.paths(gan.sample(rng))["generator"]
    batches = [latents(8, seed) for seed in range(4)]
    weights = {n: t.clone() for n, t in generator.named_parameters()}
    recalibrate(generator, iter(batches), path)
    features = [head_input(generator, z, path).transpose(0, 1).flatten(1) for z in batches]
    mean = torch.stack([f.mean(1) for f in features]).mean(0)
    variance = torch.stack([f.var(1) for f in features]).mean(0)
    assert (generator.norm.running_mean - mean).abs().max() < 1e-12
    assert (generator.norm.running_var - variance).abs().max() < 1e-12
    assert not any(module.training for module in generator.modules())
    assert generator.norm.momentum == 0.1
    assert all(torch.equal(weights[n], t) for n, t in generator.named_parameters())
    own = Generator(path, SHAPE, channels=4, latent=6).double()
    copy_weights(generator, own)
    own.norm.reset_running_stats()
    recalibrate(own, batches)
    assert torch.equal(own.norm.running_var, generator.norm.running_var)
    assert not own.eval().norm.training
    with pytest.raises(SpaceError, match="no latent vectors"):
        recalibrate(own, [])


def test_averages_have_the_statistics_of_normalisation_too(gan: GanSpace) -> None:
    generator, rng = shared(gan).generator, np.random.default_rng(7)
    average = Average(generator, 0.9)
    steps = torch.optim.SGD(generator.parameters(), 0.1)
    expected = {n: t.clone() for n, t in generator.state_dict().items()}
    for step in range(5):
        steps.zero_grad()
        generator(latents(8, step), gan.paths(gan.sample(rng))["generator"]).mean().backward()
        steps.step()
        average.update(step)
        decay = min(0.9, (1 + step) / (10 + step))
        for name, tensor in generator.state_dict().items():
            if tensor.is_floating_point():
                expected[name] = decay * expected[name] + (1 - decay) * tensor.clone()
            else:
                expected[name] = tensor.clone()
    live = generator.norm.running_mean.clone()
    with average.applied():
        for name, tensor in generator.state_dict().items():
            assert torch.allclose(tensor, expected[name], rtol=0, atol=1e-12), name
        assert not torch.equal(generator.norm.running_mean, live)
    assert torch.equal(generator.norm.running_mean, live)
