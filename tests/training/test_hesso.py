"""Channels become zero in training: the rule, exact numbers, nothing revived, resuming."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nas.core.errors import CandidateError, Interrupted, UnsupportedError
from nas.core.protocols import Context
from nas.layers.adapt import adapt_like, adaptations
from nas.layers.channels import Channels, find_channels
from nas.training import FitOptions, TrainingRecipe, fit
from nas.training.augment import Augmentation, Pipeline
from nas.training.data.dataset import DataSet
from nas.training.hesso import Hesso, choose, scores
from nas.training.pruning import Period, target
from nas.training.randomness import seeded
from nas.training.stepper import Stepper
from nas.training.stream import Placed

Make = Callable[..., nn.Module]
SHAPE = (1, 8, 8)
RECIPE = TrainingRecipe(
    epochs=3,
    batch_size=32,
    optimizer_settings={"momentum": 0.9},
    learning_rate=0.05,
    prune=(0.5,),
)


def gone_of(network: nn.Module, channels: Channels) -> np.ndarray:
    """Groups of which every weight, scale and shift is exactly zero."""
    largest = np.zeros(channels.count)
    for name, parameter in network.named_parameters():
        if name in channels.rows:
            rows = (
                parameter.detach().abs().flatten(1) if parameter.dim() > 1 else parameter[:, None]
            )
            for group, value in zip(channels.rows[name], rows.abs().amax(1).tolist(), strict=True):
                if group >= 0:
                    largest[group] = max(largest[group], value)
    return largest == 0


# -- the rule ------------------------------------------------------------------------------------


def test_scores_are_the_mean_of_five_criteria() -> None:
    """Against one group after another, in float64."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)
    ).double()
    belong = [[0, 1, 2]] * 4 + [[3, -1, 4, 3]] * 4
    weights = []
    for parameter, groups in zip(network.parameters(), belong, strict=True):
        parameter.grad = torch.randn_like(parameter)
        weights.append((parameter, np.array(groups)))
    lists: list[list[float]] = []
    for group in range(5):
        rows = [(p, torch.as_tensor(groups == group)) for p, groups in weights]
        w = torch.cat([p.detach()[mine].flatten() for p, mine in rows])
        g = torch.cat([p.grad[mine].flatten() for p, mine in rows])
        inner = float(w @ g)
        length = float(w.norm())
        cosine = inner / length / float(g.norm())
        lists.append([length, length / len(w), 1 + cosine, abs(inner), inner**2 / 2])
    table = np.array(lists)
    expected = (0.2 * table / np.sqrt((table**2).sum(0))).sum(1)
    np.testing.assert_allclose(scores(weights, 5), expected, rtol=1e-12)


def test_without_gradients_lengths_decide() -> None:
    weight = nn.Parameter(torch.tensor([[3.0, 4.0], [0.3, 0.4], [6.0, 8.0]]))
    found = scores([(weight, np.array([0, 1, 2]))], 3)
    assert found.argsort().tolist() == [1, 0, 2]


def test_the_lowest_are_chosen_but_no_layer_is_emptied() -> None:
    found = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    taken = np.array([False, True, False, False, False, False])
    crowds = [frozenset({0, 1}), frozenset({2, 3})]
    assert choose(found, taken, 2, crowds).nonzero()[0].tolist() == [2, 4]
    assert choose(found, taken, 9, crowds).nonzero()[0].tolist() == [2, 4, 5]
    assert choose(found, taken, 2, []).nonzero()[0].tolist() == [0, 2]
    ties = choose(np.zeros(6), ~taken & False, 2, crowds)
    assert ties.nonzero()[0].tolist() == [1, 3]  # the first of a crowd is its best


def test_a_period_by_hand() -> None:
    """Two periods of gradient descent with momentum, step by step."""
    torch.manual_seed(1)
    make = nn.Sequential(nn.Linear(3, 6), nn.Tanh(), nn.Linear(6, 2)).double()
    network, reference = make, copy.deepcopy(make)
    x, y = torch.randn(16, 3).double(), torch.randn(16, 2).double()
    channels = find_channels(network, (3,))
    hesso = Hesso(network, channels, [Period(1, 4, 2), Period(4, 6, 4)])
    optimizer = torch.optim.SGD(network.parameters(), 0.05, momentum=0.9, weight_decay=0.01)
    momenta = [torch.zeros_like(p) for p in reference.parameters()]
    gone: list[int] = []
    going: list[int] = []
    for step in range(9):
        for which in (network, reference):
            which.zero_grad()
            nn.functional.mse_loss(which(x), y).backward()
        hesso.look(step)
        hesso.hush()
        optimizer.step()
        hesso.shrink(step)
        first, bias = list(reference.parameters())[:2]
        if step in (1, 4):
            pairs = [(first, np.arange(6)), (bias, np.arange(6))]
            order = [g for g in scores(pairs, 6).argsort() if g not in gone]
            going = order[:2]
        with torch.no_grad():
            for parameter in (first, bias):
                parameter.grad[gone] = 0
            for parameter, momentum in zip(reference.parameters(), momenta, strict=True):
                momentum.mul_(0.9).add_(parameter.grad + 0.01 * parameter)
                parameter.sub_(0.05 * momentum)
            end, length = (4, 3) if step < 4 else (6, 2)
            if 1 <= step < 6:
                t = step - (end - length)
                for parameter in (first, bias):
                    parameter[going] *= (length - t - 1) / (length - t)
                if t == length - 1:
                    gone, going = gone + going, []
            for parameter in (first, bias):
                parameter[gone] = 0
        for ours, theirs in zip(network.parameters(), reference.parameters(), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
        assert sorted(np.flatnonzero(hesso.gone)) == sorted(gone)
    assert len(gone) == 4


def test_what_goes_shrinks_evenly_where_nothing_else_moves_it() -> None:
    network = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 2))
    hesso = Hesso(network, find_channels(network, (2,)), [Period(0, 5, 2)])
    before = network[0].weight.detach().clone()
    for step in range(5):
        hesso.shrink(step)
        ratio = (network[0].weight / before).detach()[:, 0].sort().values
        left = (4 - step) / 5
        torch.testing.assert_close(ratio, torch.tensor([left, left, 1, 1]))
    assert int((network[0].weight == 0).sum()) == 4


# -- in training ---------------------------------------------------------------------------------

WAYS: dict[str, dict[str, Any]] = {
    "sgd": {},
    "average": {"ema_decay": 0.9},
    "adamw": {"optimizer": "adamw", "learning_rate": 0.003, "weight_decay": 0.1},
    "lion": {"optimizer": "lion", "learning_rate": 0.001},
    "muon": {"optimizer": "muon", "learning_rate": 0.02},
    "sophia-g": {"optimizer": "sophia-g", "learning_rate": 0.003},
    "sophia-h": {"optimizer": "sophia-h", "learning_rate": 0.1},
    "m-fac": {"optimizer": "m-fac", "learning_rate": 0.005, "optimizer_settings": {"window": 8}},
    "mezo": {"optimizer": "mezo", "learning_rate": 1e-5},
    "sam": {"step": "sam", "ema_decay": 0.8},
    "looksam": {"step": "looksam", "step_settings": {"k": 3}},
    "mixup": {"mixup": 0.4, "label_smoothing": 0.1, "reweighting": "quadratic"},
}


@pytest.mark.parametrize("way", WAYS)
def test_exactly_the_share_goes_and_the_cut_network_is_the_masked_one(
    few_digits: DataSet, conv_net: Make, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    masked: list[nn.Module] = []
    cut = Hesso.cut

    def watched(self: Hesso, network: nn.Module) -> float:
        masked.append(copy.deepcopy(network))
        return cut(self, network)

    monkeypatch.setattr(Hesso, "cut", watched)
    network = conv_net()
    channels = find_channels(network, SHAPE)
    assert channels.count == 8 + 16
    result = fit(network, few_digits, RECIPE.but(**WAYS[way]), seed=5)
    (whole,) = masked
    assert gone_of(whole, channels).sum() == 12
    assert result.figures["pruned"] == 0.5
    assert [name for name, _ in adaptations(network)] == ["cut"]
    assert (
        sum(p.shape[0] for n, p in network.named_parameters() if n in ("0.weight", "3.weight"))
        == 12
    )
    torch.manual_seed(0)
    images = torch.randn(32, *SHAPE)
    with torch.no_grad():
        difference = (whole.eval()(images) - network.eval()(images)).abs().max()
    assert float(difference) <= 1e-5
    assert result.curve["error"][-1] == result.figures["error"]


@pytest.mark.parametrize("share", [0.01, 0.1, 0.33, 0.5, 0.7, 0.9])
def test_the_share_is_that_of_the_groups_to_the_nearest(
    few_digits: DataSet, conv_net: Make, share: float
) -> None:
    network = conv_net()
    result = fit(network, few_digits, RECIPE.but(prune=share, epochs=1), seed=0)
    assert result.figures["pruned"] == target(share, 24) / 24
    assert abs(result.figures["pruned"] - share) <= 0.5 / 24


def test_what_is_gone_stays_gone(few_digits: DataSet, conv_net: Make) -> None:
    """After every step, weights and their moving average; momentum may want what it likes."""
    network = conv_net()
    recipe = RECIPE.but(
        prune=(0.25, 0.5), epochs=4, ema_decay=0.9, weight_decay=0.0, prune_settings={"periods": 2}
    )
    device = torch.device("cpu")
    pipeline = Pipeline(few_digits.mean, few_digits.std, Augmentation(), device)
    stepper = Stepper(network, Placed(few_digits.train, device), pipeline, recipe, 4, 0)
    channels, hesso, average = find_channels(network, SHAPE), stepper.hesso, stepper.average
    assert hesso is not None
    assert average is not None
    counts = []
    for epoch in range(4):
        stepper.begin_epoch(epoch)
        while stepper.step < stepper.steps:
            before = hesso.gone.copy()
            stepper.take_step()
            assert (hesso.gone >= before).all()
            assert (gone_of(network, channels) == hesso.gone).all()
            with average.applied():
                assert (gone_of(network, channels) == hesso.gone).all()
                means = network[1].running_mean
                assert (means[torch.as_tensor(hesso.gone[:8])] == 0).all()
            counts.append(int(hesso.gone.sum()))
        stepper.end_epoch()
    assert counts == sorted(counts)
    assert set(counts) == {3, 6, 9, 12}


def test_what_is_gone_has_no_gradient(few_digits: DataSet, conv_net: Make) -> None:
    """It counts in no length: a step is the one of the small network."""
    network = conv_net()
    channels = find_channels(network, SHAPE)
    hesso = Hesso(network, channels, [Period(0, 1, 12)])
    hesso.shrink(0)
    small = copy.deepcopy(network)
    hesso.cut(small)
    torch.manual_seed(0)
    images, labels = torch.randn(16, *SHAPE), torch.arange(16) % 10
    lengths = []
    for which in (network, small):
        nn.functional.cross_entropy(which(images), labels).backward()
        if which is network:
            hesso.hush()
        parameters = list(which.parameters())
        lengths.append(float(torch.nn.utils.clip_grad_norm_(parameters, 1.0)))
    assert lengths[0] == pytest.approx(lengths[1], rel=1e-4)


def test_networks_of_fully_connected_layers(few_digits: DataSet) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 20), nn.ReLU(), nn.Linear(20, 10))
    result = fit(network, few_digits, RECIPE.but(epochs=1), seed=0)
    assert network[1].weight.shape == (10, 64)
    assert network[3].weight.shape == (10, 10)
    assert result.figures["pruned"] == 0.5


# -- refused before any step ---------------------------------------------------------------------


def test_too_large_a_share_is_the_candidate_s_failure(few_digits: DataSet, conv_net: Make) -> None:
    with pytest.raises(CandidateError, match=r"prune = 0.99 of 24 groups .*at most 22 can go"):
        fit(conv_net(), few_digits, RECIPE.but(prune=0.99), seed=0)


def test_nothing_to_remove_is_the_candidate_s_failure(few_digits: DataSet) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    with pytest.raises(CandidateError, match="no channels that can be removed"):
        fit(network, few_digits, RECIPE, seed=0)


def test_networks_that_cannot_be_cut_are_refused(few_digits: DataSet) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.Softplus(), nn.Linear(8, 10))
    before = copy.deepcopy(network.state_dict())
    with pytest.raises(UnsupportedError, match="'softplus'"):
        fit(network, few_digits, RECIPE, seed=0)
    assert all(torch.equal(before[name], t) for name, t in network.state_dict().items())


# -- stopping and going on -----------------------------------------------------------------------

SEVERAL = RECIPE.but(
    prune=(0.25, 0.5),
    prune_settings={"periods": 2, "end": 0.6},
    ema_decay=0.9,
    crop_padding=1,
    mixup=0.2,
)


def end(network: nn.Module, result: Any) -> tuple[Any, dict[str, Tensor]]:
    return (dict(result.figures), dict(result.curve), adaptations(network)), network.state_dict()


def check_same(a: tuple[Any, dict[str, Tensor]], b: tuple[Any, dict[str, Tensor]]) -> None:
    assert a[0] == b[0]
    for name, tensor in a[1].items():
        assert torch.equal(tensor, b[1][name]), name


@pytest.mark.parametrize("way", ["sgd", "adamw", "sam"])
def test_stopped_at_every_batch(
    few_digits: DataSet, conv_net: Make, tmp_path: Path, way: str
) -> None:
    recipe = SEVERAL.but(**WAYS[way])
    network = conv_net()
    straight = end(network, fit(network, few_digits, recipe, seed=5))
    for _ in range(3 * 4 - 1):
        batches = itertools.count()
        context = Context(scratch=tmp_path, should_stop=lambda b=batches: next(b) >= 1)
        with pytest.raises(Interrupted):
            fit(conv_net(), few_digits, recipe, context=context, seed=5)
    network = conv_net()
    result = fit(network, few_digits, recipe, context=Context(scratch=tmp_path), seed=5)
    check_same(straight, end(network, result))


def test_each_share_is_had_on_the_way(few_digits: DataSet, conv_net: Make, tmp_path: Path) -> None:
    """Trainings up to the end of a part give its network; going on is as if not interrupted."""
    network = conv_net()
    whole = end(network, fit(network, few_digits, SEVERAL, seed=5))
    assert whole[0][0]["pruned"] == 0.5
    state = tmp_path / "state.pt"
    options = FitOptions(horizon=3, keep_state=state)
    found = []
    for epochs in (1, 2, 3):
        network = conv_net()
        resume = state if state.exists() else None
        result = fit(
            network, few_digits, SEVERAL, epochs=epochs, seed=5, options=options, resume_from=resume
        )
        found.append(result.figures["pruned"])
    assert found == [0.25, 0.375, 0.5]  # the first part's end, half-way through the second, its end
    check_same(whole, end(network, result))


def test_a_training_too_short_to_remove_any_leaves_the_network_whole(
    few_digits: DataSet, conv_net: Make
) -> None:
    network = conv_net()
    recipe = RECIPE.but(prune_settings={"begin": 0.5, "end": 0.9})
    result = fit(network, few_digits, recipe, epochs=1, seed=5, options=FitOptions(horizon=3))
    assert result.figures["pruned"] == 0
    assert adaptations(network) == []


def test_the_same_seed_gives_the_same_network(few_digits: DataSet, conv_net: Make) -> None:
    ends = []
    for seed in (5, 5, 6):
        network = conv_net()
        ends.append(end(network, fit(network, few_digits, SEVERAL, seed=seed)))
    check_same(ends[0], ends[1])
    assert ends[0][0][1] != ends[2][0][1]


# -- acceptance ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_accuracy_is_kept_against_the_small_network_from_scratch(
    digits: DataSet, conv_net: Make
) -> None:
    """Equal epochs, the shape that was found, five seeds; benchmarks/pruning.py has the figures."""
    recipe = TrainingRecipe(epochs=15, learning_rate=0.1)
    errors: list[tuple[float, float]] = []
    for seed in range(5):
        network, small = conv_net(seed, 16), conv_net(seed, 16)
        found = fit(network, digits, recipe.but(prune=0.5), seed=seed, split="test").figures
        assert found["pruned"] == 0.5
        adapt_like(small, adaptations(network))
        with seeded(seed, "scratch"):
            for module in small.modules():
                getattr(module, "reset_parameters", lambda: None)()
        alone = fit(small, digits, recipe, seed=seed, split="test").figures
        errors.append((found["test_error"], alone["test_error"]))
    ours, theirs = np.mean(errors, axis=0)
    assert ours <= theirs + 0.01
