"""GANs to compare with: sizes, what their blocks compute, gradients twice, stand-alone modules."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.core.errors import SpaceError
from nas.export import ExportRequest, export
from nas.measure import count_parameters
from search_spaces import get_space
from search_spaces.gan.baselines.autogan import AutoganGenerator
from search_spaces.gan.baselines.r3gan import BareBlock, BareDiscriminator
from search_spaces.gan.baselines.simple import SimpleDiscriminator
from search_spaces.gan.baselines.sngan import BLOCKS

MEMBERS = ("SNGAN", "R3GAN_tiny", "AutoGAN_A", "AutoGAN_A_simple")
SMALL = {"generator_channels": 8, "latent": 6, "discriminator_channels": 8}


def test_sngan_has_its_published_size() -> None:
    space = get_space("gan-baselines")
    with torch.device("meta"):
        pair = space.network(space.members["SNGAN"])
    block = 2 * (256 * 256 * 9 + 256) + 256 * 256 + 256 + 4 * 256
    head = 2 * 256 + 256 * 3 * 9 + 3
    assert count_parameters(pair.generator) == 129 * 4096 + 3 * block + head == 4_276_739
    assert count_parameters(pair.discriminator) == 1_053_824 + 1
    autogan = get_space("gan-discriminator")
    assert autogan.paths(autogan.members["AutoGAN"]) == {"discriminator": BLOCKS}


def test_a_small_r3gan_has_the_size_of_its_blocks() -> None:
    space = get_space("gan-baselines")
    with torch.device("meta"):
        pair = space.network(space.members["R3GAN_tiny"])

    def block(c: int) -> int:
        return c * 2 * c + 2 * c * 16 * 9 + 2 * c * c + 2 * 2 * c

    generator = 256 * 16 + 128 * 256 + 4 * block(256) + 3 * 256
    discriminator = 3 * 128 + 4 * block(128) + 128 * 16 + 128
    assert count_parameters(pair.generator) == generator
    assert count_parameters(pair.discriminator) == discriminator
    kinds = {type(module) for module in pair.modules()}
    assert not kinds & {nn.BatchNorm2d, nn.GroupNorm, nn.InstanceNorm2d}


def test_autogan_has_its_published_size() -> None:
    space = get_space("gan-baselines")
    with torch.device("meta"):
        pair = space.network(space.members["AutoGAN_A"], latent=128)
    three, one = 256 * 256 * 9 + 256, 256 * 256 + 256
    head = 2 * 256 + 256 * 3 * 9 + 3
    expected = 129 * 4096 + 6 * three + (2 + 3) * one + head
    assert count_parameters(pair.generator) == expected == 4_405_251  # printed as 4.4 M
    assert count_parameters(pair.discriminator) == 1_053_824


def test_the_plain_discriminator_has_its_published_size() -> None:
    space = get_space("gan-baselines")
    with torch.device("meta"):
        pair = space.network(space.members["AutoGAN_A_simple"])
    assert count_parameters(pair.discriminator) == 921_920


@pytest.mark.parametrize("name", MEMBERS)
@pytest.mark.parametrize("side", [8, 24, 48, 64])
def test_every_size(name: str, side: int) -> None:
    space = get_space("gan-baselines")
    pair = space.network(space.members[name], (1, side, side), **SMALL)
    images = pair(torch.randn(3, pair.generator.latent))
    assert images.shape == (3, 1, side, side)
    assert pair.discriminator(images).shape == (3, 1)
    with pytest.raises(SpaceError, match="28x28"):
        space.network(space.members[name], (1, 28, 28))


def test_autogan_is_what_its_authors_draw() -> None:
    """Against a few lines of its own: skips carry on what they were given themselves."""
    torch.manual_seed(0)
    network = AutoganGenerator((3, 16, 16), 4, 6).double().eval()
    z = torch.randn(2, 6, dtype=torch.float64)

    def larger(x: Tensor, mode: str) -> Tensor:
        if mode == "nearest":
            return x.repeat_interleave(2, 2).repeat_interleave(2, 3)
        return nn.Upsample(scale_factor=2, mode="bilinear")(x)

    h = (z @ network.dense.weight.T + network.dense.bias).view(2, 4, 2, 2)
    first, second, third = network.blocks
    a = first.conv1(larger(h.clamp(min=0), "nearest"))
    h = first.conv2(a.clamp(min=0)) + first.shortcut(larger(h, "nearest"))
    b = second.conv1(larger(h.clamp(min=0), "bilinear")) + second.skips[0](larger(a, "bilinear"))
    h = second.conv2(b.clamp(min=0)) + second.shortcut(larger(h, "bilinear"))
    c = third.conv1(larger(h.clamp(min=0), "nearest"))
    c = c + third.skips[0](larger(larger(a, "nearest"), "nearest"))
    c = c + third.skips[1](larger(b, "nearest"))
    h = third.conv2(c.clamp(min=0))
    images = network.to_image(network.norm(h).clamp(min=0)).tanh()
    assert (network(z) - images).abs().max() < 1e-12
    assert third.shortcut is None


@pytest.mark.parametrize(("side", "sides"), [(32, (16, 8, 4, 2, 1)), (8, (4, 2, 1, 1, 1))])
def test_the_plain_discriminator_halves_to_one_pixel(side: int, sides: tuple[int, ...]) -> None:
    network = SimpleDiscriminator((1, side, side), 6, spectral_norm=True)
    seen: list[int] = []
    for block in network.blocks:
        block.register_forward_hook(lambda _, given, made: seen.append(made.shape[-1]))
    network(torch.randn(3, 1, side, side))
    assert tuple(seen) == sides
    assert [block.norm is not None for block in network.blocks] == [True, False, True, False, True]
    assert hasattr(network.score, "parametrizations")
    bare = SimpleDiscriminator((1, side, side), 6, spectral_norm=False)
    assert not hasattr(bare.score, "parametrizations")


def test_the_bare_block() -> None:
    torch.manual_seed(0)
    block = BareBlock(8, 4).double()
    x = torch.randn(2, 8, 5, 5, dtype=torch.float64)
    assert torch.equal(block(x), x)  # before any training
    for parameter in block.parameters():
        nn.init.normal_(parameter)

    def bent(y: Tensor) -> Tensor:
        return torch.where(y > 0, y, 0.2 * y)

    y = bent(torch.einsum("oi,bihw->bohw", block.expand.weight[:, :, 0, 0], x) + block.bias1)
    patches = functional.unfold(y, 3, padding=1).view(2, 16, 9, 25)
    y = torch.einsum("oik,bikp->bop", block.mix.weight.flatten(2), patches).view(2, 16, 5, 5)
    y = bent(y + block.bias2)
    y = x + torch.einsum("oi,bihw->bohw", block.reduce.weight[:, :, 0, 0], y)
    assert (block(x) - y).abs().max() < 1e-12


def test_halving_is_the_published_filter() -> None:
    torch.manual_seed(0)
    network = BareDiscriminator((1, 16, 16), 4).double()
    seen: list[Tensor] = []
    for block in network.blocks:
        block.register_forward_hook(lambda _, given, made: seen.extend((given[0], made)))
    network(torch.randn(2, 1, 16, 16, dtype=torch.float64))
    line = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=torch.float64) / 8
    kernel = (line[:, None] * line).expand(4, 1, 4, 4)
    expected = functional.conv2d(seen[1][:, :, 1:-1, 1:-1], kernel, stride=2, groups=4)
    inner = seen[2][:, :, 1:-1, 1:-1]  # at the border, pixels outside are left out
    assert (inner - expected).abs().max() < 1e-12


@pytest.mark.parametrize("name", MEMBERS)
def test_penalties_of_gradients_can_be_derived(name: str) -> None:
    space = get_space("gan-baselines")
    pair = space.network(space.members[name], (1, 8, 8), **SMALL, spectral_norm=False)
    x = torch.randn(4, 1, 8, 8, requires_grad=True)
    (gradient,) = torch.autograd.grad(pair.discriminator(x).sum(), x, create_graph=True)
    gradient.square().sum().backward()
    found = [p.grad.abs().sum() for p in pair.discriminator.parameters() if p.grad is not None]
    assert torch.stack(found).isfinite().all()
    assert sum(found) > 0


@pytest.mark.parametrize(
    ("space", "member"),
    [
        ("gan", "EAGAN"),
        ("gan-generator", "AdversarialNAS"),
        ("gan-discriminator", "EAGAN_S"),
        *(("gan-baselines", member) for member in MEMBERS),
    ],
)
@pytest.mark.parametrize("form", ["python", "onnx"])
def test_they_stand_alone(space: str, member: str, form: str, tmp_path: Path) -> None:
    found = get_space(space)
    scale = {name: value for name, value in SMALL.items() if name in found.scale}
    if form == "onnx" and "discriminator" in space:
        pytest.skip("a discriminator is for training")
    request = ExportRequest(
        found.members[member], tmp_path / f"model.{form}", scale, input_shape=(1, 16, 16)
    )
    if form == "python":  # with weights, so that `load` is there, too
        torch.manual_seed(0)
        network = found.network(found.members[member], (1, 16, 16), **scale)
        request = ExportRequest(
            request.architecture, request.out, scale, (1, 16, 16), network=network
        )
    result = export(form, request)
    assert result.difference is not None
    if form == "python":
        text = request.out.read_text()
        assert "outputs = network(inputs)" in text
        module: dict[str, object] = {"__name__": "model", "__file__": str(request.out)}
        exec(compile(text, "model.py", "exec"), module)
        again = module["load"]()  # type: ignore[operator]
        x = torch.randn(2, *found.shapes((1, 16, 16), 10, **scale)[0])
        assert (again(x) - network.eval()(x)).abs().max() < 1e-5


@pytest.mark.parametrize(
    ("space", "member"),
    [("gan", "EAGAN"), ("gan", "AdversarialNAS"), *(("gan-baselines", name) for name in MEMBERS)],
)
def test_what_says_that_it_scores_images_one_by_one_does_so(space: str, member: str) -> None:
    found = get_space(space)
    settings = {**SMALL, "spectral_norm": False}
    scale = {name: settings[name] for name in settings if name in found.scale}
    judge: nn.Module = found.network(found.members[member], (1, 8, 8), **scale).discriminator
    with torch.no_grad():  # nothing is nought, as weights of residual blocks may be at first
        for parameter in judge.parameters():
            parameter.copy_(
                0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
            )
    real, fake = torch.randn(2, 6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    apart = torch.cat([judge(real), judge(3 * fake)])
    together = judge(torch.cat([real, 3 * fake]))
    assert getattr(judge, "scores_apart", False) == torch.allclose(apart, together, atol=1e-5)
