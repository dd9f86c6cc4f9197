"""The six defects found in a port of DARTS, each as a test that would have found it.

TexasInstruments/tinyml-tensorlab#15 lists them: the validation iterator is made anew for every
step, structural parameters do not reach the final model, the last genotype rather than the best
is returned, CUDA is hard-coded, a resource penalty has no gradient, casts come after transfers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.core.architecture import Candidate
from nas.core.config import FinalSettings, RunConfig
from nas.core.protocols import Context, Reply
from nas.core.work import Evaluate
from nas.engine.assemble import assemble
from nas.engine.executors.base import Setup
from nas.engine.loop import Stage
from nas.engine.run import Plan, Run
from nas.evaluators.train import TrainEvaluator
from nas.oneshot.session import open_supernet
from nas.strategies.finale import finale
from nas.testing.toys import ToySpace, toy_problem
from search_spaces import get_space

Make = Callable[..., Any]


# -- 1. the validation iterator is made anew for every step -----------------------------------


def test_1_every_alpha_step_sees_another_validation_batch(
    driver: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = driver(pictures={"crop_padding": 0}, weights={"batch_size": 2})
    training = ask.session.training
    seen: list[tuple[Tensor, Tensor]] = []
    step = training._alpha_step

    def spy(batch: Any, held_out: Any, sums: Any) -> None:
        seen.append((batch[0].clone(), held_out[0].clone()))
        step(batch, held_out, sums)

    monkeypatch.setattr(training, "_alpha_step", spy)
    ask("train")
    ask("train")
    assert len(seen) == 10

    def keys(batches: list[Tensor]) -> list[bytes]:
        return [image.numpy().tobytes() for batch in batches for image in batch]

    epochs = [keys([valid for _, valid in seen[i : i + 5]]) for i in (0, 5)]
    for epoch in epochs:
        assert len(set(epoch)) == 10  # the whole half, each picture once
    assert set(epochs[0]) == set(epochs[1])
    assert epochs[0] != epochs[1]
    trained = keys([train for train, _ in seen])
    assert not set(trained) & set(epochs[0])


# -- 2. structural parameters do not reach the final model ------------------------------------


@pytest.mark.parametrize(
    ("space", "network", "scale"),
    [
        ("nasbench201", {"channels": 4, "layers": 2}, {}),
        ("nasbench201", {"channels": 4, "layers": 2}, {"channels": 6}),
        ("darts-s2", {"channels": 2, "layers": 4}, {"layers": 5}),
    ],
)
def test_2_macro_settings_reach_supernet_and_final_network(
    space: str, network: dict[str, int], scale: dict[str, int]
) -> None:
    made: Any = get_space(space)
    config = RunConfig(
        space=space,
        strategy="darts",
        network=network,
        data_settings={"limit": 20},
        recipe={"epochs": 1},
        settings={"epochs": 1},
        final=FinalSettings(scales=(scale,) if scale else ()),
    )
    spec = config.model_dump(mode="json")
    session = open_supernet(spec, Context())
    wanted = made.supernet((1, 8, 8), 10, fast=False, **network)
    assert sum(p.numel() for p in session.supernet.parameters()) == sum(
        p.numel() for p in wanted.parameters()
    )
    member = next(iter(made.members.values()))
    candidate = Candidate(member, None, scale)
    figures = TrainEvaluator(spec).evaluate(Evaluate(candidate), Context()).figures
    cost = made.cost(member, (1, 8, 8), 10, **{**network, **scale})
    assert (figures["params"], figures["macs"]) == (cost.params, cost.macs)
    assert cost != made.cost(member, (1, 8, 8), 10)  # the defaults are others


# -- 3. the last rather than the best ---------------------------------------------------------


class Worsening:
    """The first is the best by validation, the last one by test; later ones are worse."""

    reports = ("error", "test_error")

    def __init__(self, spec: Mapping[str, Any] | None = None) -> None:
        pass

    def evaluate(self, work: Evaluate, context: Context) -> Reply:
        width = int(str(work.candidate.architecture.choices["width"]))
        return Reply({"error": width / 10, "test_error": 1 - width / 10})


def test_3_the_best_by_validation_is_returned_not_the_last() -> None:
    members = list(ToySpace().enumerate())
    found = [next(a for a in members if a.choices["width"] == w) for w in (3, 1, 2, 8)]

    def search(problem: Any, rng: Any, before: Any) -> Any:
        yield [Evaluate(Candidate(found[0]), 1.0)]
        return [Candidate(architecture) for architecture in found]

    def last(problem: Any, rng: Any, before: Any) -> Any:
        settings = FinalSettings(seeds=2, random_arm=False)
        return finale(problem, before["search"].found, 0.0, settings, rng)

    run = Run.create(None, RunConfig(space="toy", strategy="x", objectives=("error",)))
    stages = [Stage("search", search), Stage("final", last)]
    run.execute(Plan(toy_problem("error"), stages, Setup(evaluator=Worsening)))
    assert run.best is not None
    assert run.best.candidate.architecture == found[1]
    assert run.best.figures["test_error"] == 0.9  # told, though another's is better


# -- 4. hard-coded CUDA -----------------------------------------------------------------------


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("space", ["nasbench201", "darts-s4"])
def test_4_nothing_is_put_on_a_device_of_its_own_choice(space: str, fast: bool) -> None:
    """On "meta" every tensor made elsewhere would be an error."""
    made: Any = get_space(space)
    layers = 1 if space == "nasbench201" else 3
    supernet = made.supernet((3, 8, 8), 10, channels=2, layers=layers, fast=fast).to("meta")
    edge = made.edges[0]
    supernet.keep(edge.name, edge.operations[-1])
    supernet.remove(made.edges[-1].name)
    assert {t.device.type for t in [*supernet.parameters(), *supernet.buffers()]} == {"meta"}
    logits = supernet(torch.empty(4, 3, 8, 8, device="meta"))
    assert logits.device.type == "meta"
    loss = functional.cross_entropy(logits, torch.empty(4, dtype=torch.int64, device="meta"))
    for gradient in torch.autograd.grad(loss, supernet.alpha_parameters()):
        assert gradient.device.type == "meta"


def test_4_no_source_moves_anything_to_cuda_by_name(repository: Path) -> None:
    found = []
    for package in ("nas", "search_spaces", "predictors", "evolution"):
        for path in (repository / package).rglob("*.py"):
            for number, line in enumerate(path.read_text().splitlines(), 1):
                if re.search(r"\.cuda\(\)|\.to\(.cuda|device=.cuda", line):
                    found.append(f"{path.name}:{number}: {line.strip()}")
    assert found == []


# -- 5. a resource penalty without a gradient -------------------------------------------------


def test_5_the_alpha_loss_is_the_cross_entropy_and_nothing_else(
    driver: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A penalty read off a table adds a constant: the loss moves, the alphas do not."""
    ask = driver(pictures={"crop_padding": 0}, weights={"batch_size": 10})
    training, supernet = ask.session.training, ask.session.supernet
    expected: list[float] = []
    step = training._alpha_step

    def spy(batch: Any, held_out: Any, sums: Any) -> None:
        with torch.no_grad():
            logits = supernet(held_out[0])
            expected.append(float(functional.cross_entropy(logits, held_out[1])))
        step(batch, held_out, sums)

    monkeypatch.setattr(training, "_alpha_step", spy)
    answer = ask("train")
    assert len(expected) == 1
    assert answer["loss"] == pytest.approx(expected[0], rel=1e-6)


def test_5_resources_bind_in_front_and_limits_exactly() -> None:
    """Objectives beside the error change no alpha; what breaks a limit is in no front."""
    figures = []
    for objectives in (("error",), ("error", "params:min<=10")):
        config = RunConfig(
            space="nasbench201",
            strategy="darts",
            network={"channels": 2, "layers": 1},
            data_settings={"limit": 20},
            objectives=objectives,
            recipe={"epochs": 1},
            final=FinalSettings(seeds=1, random_arm=False),
            settings={"epochs": 1, "weights": {"batch_size": 5}, "selection": {"interval": 1}},
        )
        run = Run.create(None, config)
        result = run.execute(assemble(config))
        values = [e.value for e in run.history if e.value]
        figures.append((values, result.feasible, len(result.front), result.exit_code))
    assert figures[0][0] == figures[1][0]
    assert [rest for _, *rest in figures] == [[True, 1, 0], [False, 0, 3]]


# -- 6. casts after device transfers ----------------------------------------------------------


def dtypes(module: nn.Module) -> set[torch.dtype]:
    tensors = [*module.parameters(), *module.buffers()]
    return {tensor.dtype for tensor in tensors if tensor.is_floating_point()}


def test_6_optimisers_hold_the_very_tensors_that_are_trained(driver: Make, reopened: Make) -> None:
    """A cast or a transfer after an optimiser was made would leave it with copies."""
    ask = driver()
    ask("train")
    ask("keep", edge="cell/1<-0", operation="nor_conv_3x3")
    ask("begin_tuning")
    ask("train")
    for one in (ask, reopened(ask)):
        session = one.session
        before = [p.detach().clone() for p in session.supernet.parameters()]
        held = [
            [p for group in optimizer.param_groups for p in group["params"]]
            for optimizer in (
                session.training.weight_optimizer,
                session.training.alpha_optimizer,
            )
        ]
        wanted = [session.supernet.weight_parameters(), session.supernet.alpha_parameters()]
        for mine, theirs in zip(held, wanted, strict=True):
            assert [id(p) for p in mine] == [id(p) for p in theirs]
        one("train")
        after = list(session.supernet.parameters())
        assert all(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
        assert dtypes(session.supernet) == {torch.float32}
        states = [
            tensor
            for optimizer in (session.training.weight_optimizer, session.training.alpha_optimizer)
            for state in optimizer.state.values()
            for tensor in state.values()
            if isinstance(tensor, Tensor)
        ]
        assert {tensor.dtype for tensor in states} == {torch.float32}


@pytest.mark.parametrize("fast", [True, False])
def test_6_a_supernet_computes_in_the_precision_of_its_weights(fast: bool) -> None:
    made: Any = get_space("nasbench201")
    supernet = made.supernet((1, 8, 8), 10, channels=2, layers=1, fast=fast)
    for dtype in (torch.float64, torch.float32):
        supernet.to(dtype)
        assert dtypes(supernet) == {dtype}
        x = torch.randn(4, 1, 8, 8, dtype=dtype)
        assert supernet(x).dtype is dtype
        assert all(table.dtype is dtype for table in supernet.mixture().values())


def test_6_pictures_become_numbers_on_their_device(session: Make) -> None:
    training = session().training
    images, labels = training.validation.batch(torch.arange(3))
    assert (images.dtype, labels.dtype) == (torch.uint8, torch.int64)
    inputs = training.pipeline.plain(images)
    assert (inputs.dtype, inputs.device) == (torch.float32, images.device)
    assert float(inputs.abs().max()) < 10
