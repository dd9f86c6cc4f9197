"""Losses, gradient penalties and augmentation, against formulas written out."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from nas.core.errors import CandidateError
from nas.core.registry import imported
from nas.training.gan.augment import draw_view
from nas.training.gan.criteria import GAN_LOSSES
from nas.training.gan.guard import Guard
from nas.training.gan.losses import gradient_penalty

REAL, FAKE = torch.tensor([0.5, 2.0, -3.0]).double(), torch.tensor([1.0, -1.5, 0.0]).double()


def soft(x: float) -> float:
    return math.log1p(math.exp(x))


def test_losses_are_those_of_their_papers() -> None:
    pairs = list(zip(REAL.tolist(), FAKE.tolist(), strict=True))
    wanted = {
        "rpgan": (
            sum(soft(-(r - f)) for r, f in pairs) / 3,
            sum(soft(r - f) for r, f in pairs) / 3,
        ),
        "hinge": (
            sum(max(0, 1 - r) + max(0, 1 + f) for r, f in pairs) / 3,
            -sum(f for _, f in pairs) / 3,
        ),
    }
    assert set(wanted) == set(GAN_LOSSES.names())
    for name, (discriminator, generator) in wanted.items():
        row = GAN_LOSSES.get(name)
        found = imported(row.discriminator)(REAL, FAKE)
        assert float(found) == pytest.approx(discriminator, abs=1e-12)
        real = REAL if row.pairs else None
        assert float(imported(row.generator)(real, FAKE)) == pytest.approx(generator, abs=1e-12)


def test_the_penalty_is_the_squared_slope_and_its_gradient_that_of_differences() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 7), nn.Tanh(), nn.Linear(7, 1)).double()
    images = torch.randn(5, 3, 2, 2, dtype=torch.float64)

    def score(x: Tensor) -> Tensor:
        return network(x).flatten()

    @torch.no_grad()
    def penalty() -> float:
        total, step = 0.0, 1e-5
        for image in images:
            for place in range(12):
                way = torch.zeros(12, dtype=torch.float64)
                way[place] = step
                up, down = (score(image[None] + s * way.view(1, 3, 2, 2)) for s in (1, -1))
                total += float((up - down) / (2 * step)) ** 2
        return total / len(images)

    scores, found = gradient_penalty(score, images)
    assert torch.equal(scores, score(images))
    assert float(found.detach()) == pytest.approx(penalty(), rel=1e-6)
    found.backward()
    weight = network[1].weight
    assert weight.grad is not None
    slope = float(weight.grad[2, 3])
    with torch.no_grad():
        weight[2, 3] += 1e-4
        above = penalty()
        weight[2, 3] -= 2e-4
        below = penalty()
    assert slope == pytest.approx((above - below) / 2e-4, rel=1e-4)


@pytest.mark.parametrize("policy", [("translation",), ("cutout",), ("colour",), ()])
def test_a_view_is_differentiable_and_the_same_for_both(policy: tuple[str, ...]) -> None:
    shape = (6, 3, 8, 8)
    chance = torch.Generator().manual_seed(1)
    view = draw_view(policy, shape, chance)
    images = torch.rand(shape, dtype=torch.float64) * 2 - 1
    assert torch.equal(view(images), view(images))
    assert torch.equal(view(images), images) is (not policy)
    again = draw_view(policy, shape, torch.Generator().manual_seed(1))
    assert torch.equal(view(images), again(images))
    small = images[:, :, :3, :3].clone().requires_grad_()
    part = draw_view(policy, small.shape, chance)
    assert torch.autograd.gradcheck(part, (small,))
    assert torch.autograd.gradgradcheck(part, (small,))


def test_translation_moves_by_an_eighth_at_most_and_cutout_leaves_grey() -> None:
    image = torch.zeros(400, 1, 16, 16)
    image[:, :, 8, 8] = 1
    moved = draw_view(("translation",), image.shape, torch.Generator().manual_seed(0))(image)
    places = {tuple(place) for place in moved.nonzero()[:, 2:].tolist()}
    assert places == {(8 + i, 8 + j) for i in range(-2, 3) for j in range(-2, 3)}
    ones = torch.ones(400, 1, 16, 16)
    cut = draw_view(("cutout",), ones.shape, torch.Generator().manual_seed(0))(ones)
    holes = (cut == 0).sum((1, 2, 3))
    assert int(holes.max()) == 64
    assert int(holes.min()) < 64
    assert set(cut.unique().tolist()) == {0.0, 1.0}


def test_colour_changes_no_mean_beyond_brightness() -> None:
    images = torch.rand(50, 3, 4, 4) * 2 - 1
    view = draw_view(("colour",), images.shape, torch.Generator().manual_seed(0))
    shift = view(images).mean((1, 2, 3)) - images.mean((1, 2, 3))
    assert float(shift.abs().max()) <= 0.5 + 1e-6


def test_the_guard_gives_up_after_so_many_looks_on_end() -> None:
    guard = Guard(1.5, 3)
    for epoch, value in enumerate([20.0, 9.0, 10.0, 16.0, 15.0, 9.0, 14.0, 15.0], 1):
        guard.look(value, epoch)
    with pytest.raises(CandidateError, match=r"collapsed: 20 after epoch 9, 3 times on end"):
        guard.look(20.0, 9)
    other = Guard(1.5, 3)
    other.load_state(Guard(1.5, 3).state())
    other.look(10.0, 1)
    other.look(4.0, 2)
    kept = Guard(1.5, 3)
    kept.load_state(other.state())
    kept.look(7.0, 3)
    kept.look(7.0, 4)
    with pytest.raises(CandidateError):
        kept.look(7.0, 5)


def test_the_guard_forgives_what_is_no_collapse() -> None:
    near = Guard(1.5, 3)
    for epoch, value in enumerate([100.0, 6.0, 9.0, 10.0, 20.0, 29.0, 29.0], 1):
        near.look(value, epoch)  # less than 6 + 94 / 4
    near.look(30.0, 8)
    near.look(30.0, 9)
    with pytest.raises(CandidateError, match="collapsed: 30 after epoch 10"):
        near.look(30.0, 10)
    young = Guard(1.5, 3)
    seen = [37.2, 60.4, 52.7, 58.8, 60.0, 90.0, 62.3, 57.7, 58.5, 56.4, 44.0, 34.8, 27.7, 18.9]
    for epoch, value in enumerate([*seen, 15.0, 12.8], 1):  # of a generator on digits
        young.look(value, epoch)
    early = Guard(1.5, 3)
    for epoch, value in enumerate([36.1, 20.0, 49.3, 61.0, 47.0, 55.2], 1):  # 20 is more than half
        early.look(value, epoch)
    off = Guard(0, 1)
    for value in (1.0, 100.0, 1000.0):
        off.look(value, 1)
