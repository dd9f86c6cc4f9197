"""The evaluator "train" on the smallest networks of real spaces."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from nas.core.architecture import Candidate, Recipe
from nas.core.config import RunConfig
from nas.core.errors import CandidateError, ConfigError, DataError, Interrupted, UnsupportedError
from nas.core.protocols import Context, Evaluator
from nas.core.work import Evaluate
from nas.evaluators import EVALUATORS, WEIGHTS, shares_of, weights_of_share
from nas.evaluators.train import TrainEvaluator, build_network
from nas.measure.counts import count_macs, count_parameters
from nas.training import evaluate, load_data, load_weights
from nas.training.data.dataset import DataSet
from nas.training.recipe import TrainingRecipe
from search_spaces import get_space

SPACE: Any = get_space("nasbench201")
CELL = SPACE.members["all-conv-1x1"]
NETWORK = {"channels": 2, "layers": 1}


def evaluator(space: str = "nasbench201", **more: Any) -> TrainEvaluator:
    values: dict[str, Any] = {
        "space": space,
        "strategy": "random",
        "data_settings": {"limit": 40},
        "network": NETWORK,
        "recipe": {"epochs": 2, "batch_size": 20},
        **more,
    }
    return TrainEvaluator(RunConfig(**values).model_dump(mode="json"))


@pytest.fixture(scope="module")
def data() -> DataSet:
    return load_data("digits", 0, limit=40)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(folder / WEIGHTS)


def test_figures_of_the_validation_split(data: DataSet) -> None:
    made = evaluator()
    assert isinstance(made, Evaluator)
    reply = made.evaluate(Evaluate(Candidate(CELL)), Context(seed=3))
    assert set(reply.figures) == set(made.reports)
    assert "test_error" not in reply.figures
    assert 0 <= reply.figures["error"] <= 1
    assert reply.figures["epochs"] == 2.0
    assert reply.figures["gradient_evaluations"] == 4.0
    cost = SPACE.cost(CELL, data.input_shape, 10, **NETWORK)
    assert (reply.figures["params"], reply.figures["macs"]) == (cost.params, cost.macs)
    assert len(reply.curve["train_loss"]) == len(reply.curve["error"]) == 2
    assert reply.curve["error"][-1] == reply.figures["error"]
    assert reply.spent.epochs == 2.0
    assert reply.spent.macs == 2 * (3 * 40 + 40) * cost.macs  # validation after every epoch, too


def test_registered_and_checked_before_anything_runs() -> None:
    assert EVALUATORS.get("train") is TrainEvaluator
    assert "test_error" not in TrainEvaluator.reports  # so it cannot be an objective
    with pytest.raises(ConfigError, match="learning_rat"):
        evaluator(recipe={"learning_rat": 1})


def test_the_test_split_is_measured_only_when_asked(
    data: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = evaluator()
    touched = []
    monkeypatch.setattr(DataSet, "test_split", lambda self: touched.append(self.name) or self._test)
    made.evaluate(Evaluate(Candidate(CELL)), Context(scratch=tmp_path))
    assert touched == []
    assert not (tmp_path / WEIGHTS).exists()  # a search's trainings leave nothing behind
    reply = made.evaluate(
        Evaluate(Candidate(CELL), split="test"), Context(seed=3, scratch=tmp_path)
    )
    assert touched == ["digits"]
    network = build_network(Candidate(CELL), data, NETWORK, seed=99)
    load_weights(network, tmp_path / WEIGHTS)
    assert evaluate(network, data._test, data)["error"] == reply.figures["test_error"]
    assert evaluate(network, data.validation, data)["error"] == reply.figures["error"]


def test_without_a_scratch_folder_weights_are_not_kept() -> None:
    reply = evaluator().evaluate(Evaluate(Candidate(CELL), 1.0, split="test"), Context())
    assert "test_error" in reply.figures


def test_the_same_again_is_bit_equal(tmp_path: Path) -> None:
    found = []
    for name in ("a", "b", "c"):
        folder = tmp_path / name
        folder.mkdir()
        work = Evaluate(Candidate(CELL), 2.0, 5 if name != "c" else 6, "test")
        torch.manual_seed(len(found))  # whatever the process drew before
        reply = evaluator().evaluate(work, Context(seed=len(found), scratch=folder))
        found.append((dict(reply.figures), dict(reply.curve), weights(folder)))
    first, second, other = found
    assert first[:2] == second[:2]
    assert all(torch.equal(tensor, second[2][key]) for key, tensor in first[2].items())
    assert first[1] != other[1]


def test_order_of_evaluations_does_not_matter() -> None:
    made = evaluator()
    works = [Evaluate(Candidate(SPACE.members[n]), 1.0, 1) for n in ("resnet", "all-conv-1x1")]
    alone = [evaluator().evaluate(work, Context()).figures for work in works]
    before = torch.get_rng_state()
    together = [made.evaluate(work, Context()).figures for work in reversed(works)]
    assert alone == together[::-1]
    assert torch.equal(torch.get_rng_state(), before)


def test_the_work_s_seed_counts_more_than_the_context_s() -> None:
    made = evaluator()

    def loss(seed: int | None, context: int) -> float:
        work = Evaluate(Candidate(CELL), 1.0, seed)
        return made.evaluate(work, Context(seed=context)).figures["loss"]

    assert loss(1, 7) == loss(1, 8)
    assert loss(None, 1) == loss(1, 8)
    assert loss(None, 7) != loss(None, 8)


def test_a_budget_is_rounded_to_whole_epochs() -> None:
    made = evaluator()
    epochs = [
        made.evaluate(Evaluate(Candidate(CELL), budget, 0), Context()).figures["epochs"]
        for budget in (None, 0.2, 1.0, 2.6)
    ]
    assert epochs == [2.0, 1.0, 1.0, 3.0]


def test_a_candidate_s_own_recipe_and_scale_go_over_the_run_s() -> None:
    made = evaluator()
    recipe = TrainingRecipe.from_settings({"epochs": 1, "learning_rate": 1e-6}).to_recipe()
    plain = made.evaluate(Evaluate(Candidate(CELL), None, 0), Context())
    own = made.evaluate(Evaluate(Candidate(CELL, recipe), None, 0), Context())
    assert own.figures["epochs"] == 1.0
    some = Candidate(CELL, Recipe({"epochs": 3}))
    assert made.evaluate(Evaluate(some, None, 0), Context()).figures["epochs"] == 3.0
    wide = made.evaluate(
        Evaluate(Candidate(CELL, None, {"channels": 4}), None, 0), Context()
    ).figures
    assert wide["params"] == SPACE.cost(CELL, (1, 8, 8), 10, channels=4, layers=1).params
    assert wide["params"] > plain.figures["params"]


def test_initial_weights_depend_on_the_seed_alone(data: DataSet) -> None:
    networks = [build_network(Candidate(CELL), data, NETWORK, s) for s in (0, 0, 1)]
    states = [network.state_dict() for network in networks]
    assert all(torch.equal(tensor, states[1][key]) for key, tensor in states[0].items())
    assert not all(torch.equal(tensor, states[2][key]) for key, tensor in states[0].items())


@pytest.mark.parametrize("weight", [0.0, 0.4])
def test_an_auxiliary_head_is_trained_but_not_counted(weight: float, tmp_path: Path) -> None:
    space: Any = get_space("darts")
    member = space.sample(np.random.default_rng(0))
    made = evaluator(
        "darts",
        network={"channels": 2, "layers": 3},
        recipe={"epochs": 1, "batch_size": 20, "auxiliary_weight": weight},
    )
    reply = made.evaluate(Evaluate(Candidate(member), None, 0, "test"), Context(scratch=tmp_path))
    cost = space.cost(member, (1, 8, 8), 10, channels=2, layers=3)
    assert (reply.figures["params"], reply.figures["macs"]) == (cost.params, cost.macs)
    assert not any(key.startswith("auxiliary") for key in weights(tmp_path))


def test_divergence_is_the_candidate_s_failure() -> None:
    made = evaluator(recipe={"epochs": 1, "learning_rate": 1e38, "clip_norm": None})
    with pytest.raises(CandidateError, match="diverged"):
        made.evaluate(Evaluate(Candidate(CELL), 3.0, 0), Context())


def test_a_wish_to_stop_interrupts_and_what_was_done_is_taken_up(tmp_path: Path) -> None:
    work = Evaluate(Candidate(CELL), 2.0, 0)
    whole = evaluator().evaluate(work, Context())
    steps = 0

    def stop() -> bool:
        nonlocal steps
        steps += 1
        return steps > 3

    made = evaluator()
    with pytest.raises(Interrupted):
        made.evaluate(work, Context(scratch=tmp_path, should_stop=stop))
    again = made.evaluate(work, Context(scratch=tmp_path))
    assert again.figures == whole.figures
    assert again.curve == whole.curve


def test_progress_names_the_candidate() -> None:
    said: list[Mapping[str, Any]] = []
    work = Evaluate(Candidate(CELL), 2.0, 4)
    evaluator().evaluate(work, Context(emit=lambda topic, payload: said.append(payload)))
    assert [payload["step"] for payload in said] == [1, 2]
    assert said[0]["candidate"] == Candidate(CELL).id
    assert (said[0]["seed"], said[0]["split"], said[0]["budget"]) == (4, "validation", 2.0)


def test_a_longer_training_goes_on_where_the_shorter_one_ended(tmp_path: Path) -> None:
    made, candidate = evaluator(), Candidate(CELL)
    whole = made.evaluate(Evaluate(candidate, 3), Context(seed=3))
    context = Context(seed=3, scratch=tmp_path)
    short = made.evaluate(Evaluate(candidate, 1, horizon=3), context)
    longer = made.evaluate(Evaluate(candidate, 3, horizon=3, since=1), context)
    assert longer.figures == whole.figures
    assert longer.curve == whole.curve
    assert (short.spent.epochs, longer.spent.epochs) == (1.0, 2.0)
    own = made.evaluate(Evaluate(candidate, 1), Context(seed=3))
    assert short.figures["loss"] != own.figures["loss"]  # another schedule


def test_a_lost_state_costs_the_training_anew_and_changes_nothing(tmp_path: Path) -> None:
    made, candidate = evaluator(), Candidate(CELL)
    whole = made.evaluate(Evaluate(candidate, 3), Context(seed=3))
    work = Evaluate(candidate, 3, horizon=3, since=2)
    longer = made.evaluate(work, Context(seed=3, scratch=tmp_path))
    assert longer.figures == whole.figures
    assert longer.spent.epochs == 3.0


def test_states_are_kept_until_the_next_one_is_stored(tmp_path: Path) -> None:
    made, candidate = evaluator(), Candidate(CELL)
    context = Context(seed=3, scratch=tmp_path)
    for since, budget in ((None, 1), (1, 2), (2, 3)):
        made.evaluate(Evaluate(candidate, budget, horizon=3, since=since), context)
    assert sorted(path.name for path in tmp_path.glob("*.pt")) == ["state-2.pt", "state-3.pt"]


def test_a_budget_of_zero_gives_what_the_untrained_network_tells() -> None:
    reply = evaluator().evaluate(Evaluate(Candidate(CELL), 0), Context(seed=3))
    assert {"params", "macs", "synflow", "naswot", "grad_norm"} <= set(reply.figures)
    assert "error" not in reply.figures
    assert reply.spent.epochs == 0
    again = evaluator().evaluate(Evaluate(Candidate(CELL), 0), Context(seed=3))
    assert again.figures == reply.figures
    wide = evaluator().evaluate(
        Evaluate(Candidate(CELL, scale={"channels": 4}), 0), Context(seed=3)
    )
    assert wide.figures["synflow"] > reply.figures["synflow"]


def test_figures_are_of_the_network_that_is_left(data: DataSet, tmp_path: Path) -> None:
    resnet = Candidate(SPACE.members["resnet"])
    made = evaluator(network={"channels": 4, "layers": 1}, recipe={"epochs": 2, "prune": 0.5})
    reply = made.evaluate(Evaluate(resnet, split="test"), Context(seed=3, scratch=tmp_path))
    whole = SPACE.cost(resnet.architecture, data.input_shape, 10, channels=4, layers=1)
    network = build_network(resnet, data, {"channels": 4, "layers": 1}, 99)
    load_weights(network, tmp_path / WEIGHTS)
    assert reply.figures["params"] == count_parameters(network) < whole.params
    assert reply.figures["macs"] == count_macs(network, data.input_shape) < whole.macs
    assert reply.spent.macs == 2 * (3 * 40 + 40) * whole.macs  # what was trained was whole
    assert evaluate(network, data._test, data)["error"] == reply.figures["test_error"]
    share = tmp_path / weights_of_share(0.5)
    assert share.read_bytes() == (tmp_path / WEIGHTS).read_bytes()


def test_a_candidate_s_own_recipe_may_remove_channels() -> None:
    """A search over shares sees what each leaves."""
    made = evaluator(network={"channels": 4, "layers": 1})
    resnet = SPACE.members["resnet"]
    sizes = [
        made.evaluate(Evaluate(Candidate(resnet, Recipe({"prune": share})), 1.0, 0), Context())
        for share in (0, 0.25, 0.75)
    ]
    params = [reply.figures["params"] for reply in sizes]
    assert params == sorted(set(params), reverse=True)
    assert [reply.figures.get("pruned") for reply in sizes] == [None, 0.25, 0.75]


def test_shares_are_known_before_any_training() -> None:
    config = RunConfig(
        space="nasbench201",
        strategy="random",
        data_settings={"limit": 40},
        network=NETWORK,
        recipe={"prune": [0.25, 0.5], "epochs": 6},
    )
    candidate = Candidate(SPACE.members["resnet"])
    assert shares_of(config, candidate) == [(0.25, 2), (0.5, 6)]
    assert shares_of(config, candidate, 3) == [(0.25, 1), (0.5, 3)]
    with pytest.raises(ConfigError, match="too few"):
        shares_of(config, candidate, 1)
    large = Candidate(SPACE.members["resnet"], Recipe({"prune": 0.97}))
    with pytest.raises(UnsupportedError, match="would empty a layer"):
        shares_of(config, large)
    with pytest.raises(UnsupportedError, match="removes no channels"):
        shares_of(config.model_copy(update={"evaluator": "table:x"}), candidate)


def test_an_auxiliary_head_that_only_a_recipe_wants_is_not_delivered(
    data: DataSet, tmp_path: Path
) -> None:
    scale = {"channels": 4, "layers": 1}
    made = evaluator(network=scale, recipe={"epochs": 1, "auxiliary_weight": 0.4})
    resnet = Candidate(SPACE.members["resnet"])
    reply = made.evaluate(Evaluate(resnet, split="test"), Context(seed=3, scratch=tmp_path))
    network = build_network(resnet, data, scale, 99)
    load_weights(network, tmp_path / WEIGHTS)
    assert evaluate(network, data._test, data)["error"] == reply.figures["test_error"]
    kept = evaluator(network={**scale, "auxiliary": True}, recipe={"auxiliary_weight": 0.4})
    kept.evaluate(Evaluate(resnet, 1, split="test"), Context(seed=3, scratch=tmp_path))
    with pytest.raises(DataError, match="auxiliary_head"):
        load_weights(network, tmp_path / WEIGHTS)
