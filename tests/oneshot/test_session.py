"""The session "supernet" on real, tiny supernets: what it changes, what it must not change."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from nas.core.errors import CandidateError, DataError, Interrupted
from nas.core.protocols import Context
from nas.measure.curvature import dominant_eigenvalue
from nas.oneshot.cost import SupernetCost
from nas.oneshot.session import SupernetSession
from nas.oneshot.training import perturbed
from nas.training.stream import Stream
from search_spaces import get_space
from search_spaces.choose import Fixed
from search_spaces.plain import PlainSupernet, copy_decided_weights

Make = Callable[..., Any]


def tensors(value: Any, path: str = "") -> dict[str, Any]:
    """Every leaf of nested states, by path."""
    if isinstance(value, dict):
        parts = [tensors(v, f"{path}/{k}") for k, v in value.items()]
    elif isinstance(value, list | tuple):
        parts = [tensors(v, f"{path}/{i}") for i, v in enumerate(value)]
    else:
        return {path: value.detach().clone() if isinstance(value, Tensor) else value}
    return {key: leaf for part in parts for key, leaf in part.items()}


def state(session: SupernetSession, *, chance: bool = False) -> dict[str, Any]:
    """Everything that a session's later answers could depend on."""
    supernet = session.supernet
    found: dict[str, Any] = {
        "supernet": dict(supernet.state_dict()),
        "buffers": dict(supernet.named_buffers()),
        "structure": supernet.structure(),
        "training": session.training.state(),
        "gradients": [p.grad is None for p in supernet.parameters()],
        "mode": supernet.training,
    }
    if chance:
        found["torch"] = torch.get_rng_state()
        found["python"] = repr(random.getstate())
        found["numpy"] = np.random.get_state()[1].tobytes()
    return tensors(found)


def same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    return first.keys() == second.keys() and all(
        torch.equal(value, second[key]) if isinstance(value, Tensor) else value == second[key]
        for key, value in first.items()
    )


def alphas(session: SupernetSession) -> list[Tensor]:
    return [alpha.detach().clone() for alpha in session.supernet.alpha_parameters()]


def pictures(session: SupernetSession, count: int = 6) -> Tensor:
    images, _ = session.training.validation.batch(torch.arange(count))
    return session.training.pipeline.plain(images)


# -- measuring changes nothing ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("space", "mode"),
    [
        ("nasbench201", "paired"),
        ("nasbench201", "paper"),
        ("darts-s4", "paired"),
        pytest.param("darts-s4", "paper", marks=pytest.mark.slow),
        pytest.param("darts-s3", "paired", marks=pytest.mark.slow),
        pytest.param("darts", "paired", marks=pytest.mark.slow),
    ],
)
def test_measuring_changes_no_state(driver: Make, space: str, mode: str) -> None:
    ask = driver(space, selection={"mode": mode})
    session = ask.session
    ask("train")
    edges = session.space.edges
    ask("keep", edge=edges[1].name, operation=edges[1].operations[-1])
    ask("begin_tuning")
    ask("train")
    before = state(session, chance=True)
    calls: list[tuple[str, dict[str, Any]]] = [
        ("drops", {"edge": edges[0].name}),
        ("drops", {"edge": edges[-1].name}),
        ("mixture", {}),
        ("curvature", {}),
    ]
    if space != "nasbench201":
        entering = [e.name for e in edges if e.group == "normal" and e.node == 2]
        calls.append(("edge_drops", {"group": "normal", "node": 2, "edges": entering}))
    answers = []
    for method, arguments in calls:
        assert method in session.readonly
        answers.append(session.call(method, arguments, Context(seed=7)).value)
        assert same(state(session, chance=True), before), method
    again = [session.call(m, a, Context(seed=7)).value for m, a in calls]
    assert again == answers


def test_the_methods_that_change_something_are_not_called_readonly(driver: Make) -> None:
    ask = driver()
    for method, arguments in (
        ("train", {}),
        ("begin_tuning", {}),
        ("keep", {"edge": "cell/1<-0", "operation": "none"}),
        ("remove", {"edge": "cell/2<-0"}),
    ):
        before = state(ask.session)
        ask(method, **arguments)
        assert not same(state(ask.session), before), method
        assert method not in ask.session.readonly


def test_paired_sees_plain_pictures_and_stops_when_it_may(driver: Make) -> None:
    settings: dict[str, Any] = {"selection": {"confidence": 1e-9, "at_least": 4, "batch_size": 4}}
    found = driver(**settings)("drops", edge="cell/3<-0")
    assert found["images"] <= 10
    assert set(found["variants"]) == set(found["ranking"])
    settings["selection"] |= {"confidence": 0.999999, "at_most": 4}
    bounded = driver(**settings)("drops", edge="cell/3<-0")
    assert 4 <= bounded["images"] < 8
    assert not bounded["complete"]
    settings["selection"]["at_most"] = None
    whole = driver(**settings)("drops", edge="cell/3<-0")
    assert (whole["images"], whole["complete"]) == (10, True)


def test_paired_measures_the_supernet_itself(driver: Make) -> None:
    """Removing `none` changes nothing, so its figures are those of the whole half, plain."""
    ask = driver("darts-s3", selection={"confidence": 0.999999})
    session = ask.session
    found = ask("drops", edge="normal/1<-0")
    assert "none" not in found["ranking"]
    wrong = 0
    stream = session._stream(Context(seed=ask.calls), "measure")
    with torch.no_grad():
        for number in range(stream.steps):
            images, labels = stream.batch(number)
            logits = session.supernet(session.training.pipeline.plain(images))
            wrong += int((logits.argmax(1) != labels).sum())
    assert found["variants"]["none"]["error"] == wrong / 10


def test_paper_mode_sees_all_pictures_and_makes_no_statement(driver: Make) -> None:
    ask = driver("darts-s3", selection={"mode": "paper"})
    found = ask("drops", edge="normal/1<-0")
    assert (found["images"], found["complete"], found["confidence"]) == (10, True, 0.0)
    assert "none" in found["ranking"]


# -- decisions --------------------------------------------------------------------------------


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("space", ["nasbench201", "darts-s2"])
def test_after_a_decision_only_that_operation_is_left(driver: Make, space: str, fast: bool) -> None:
    ask = driver(space, fast=fast)
    ask("train")
    session = ask.session
    edge = session.space.edges[-2]
    operation = edge.operations[-1]
    mixture = {group: table.detach().clone() for group, table in session.supernet.mixture().items()}
    mixture[edge.group][edge.row] = 0
    mixture[edge.group][edge.row, edge.operations.index(operation)] = 1
    x = pictures(session)
    wanted = session.supernet(x, mixture)
    ask("keep", edge=edge.name, operation=operation)
    logits = session.supernet(x)
    assert (logits - wanted).abs().max() < 1e-5
    logits.square().sum().backward()
    row = session.supernet.alphas[edge.group].grad[edge.row]
    assert torch.equal(row, torch.zeros_like(row))
    assert session.supernet.alphas[edge.group].grad.abs().sum() > 0


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize(
    "space",
    [
        "nasbench201",
        pytest.param("darts-s2", marks=pytest.mark.slow),
        pytest.param("darts-s3", marks=pytest.mark.slow),
        pytest.param("darts", marks=pytest.mark.slow),
    ],
)
def test_when_all_is_decided_the_supernet_is_the_discrete_network(
    driver: Make, space: str, fast: bool
) -> None:
    settings: dict[str, Any] = {
        "epochs": 1,
        "fast": fast,
        "alarm": {"action": "off"},
        "selection": {"interval": 1, "at_least": 4, "batch_size": 20},
        "weights": {"batch_size": 10},
    }
    ask = driver(space, limit=20, **settings)
    found = ask.search(settings)
    supernet = ask.session.supernet
    made: Any = get_space(space)
    assert made.from_decided(supernet.decided()) == found
    network_scale = {"channels": 2, "layers": 1 if space == "nasbench201" else 3}
    operations = made.operations(found)
    network = made.build(Fixed(operations, search=True), (1, 8, 8), 10, **network_scale)
    plain = made.supernet((1, 8, 8), 10, fast=False, **network_scale)
    assert isinstance(plain, PlainSupernet)
    plain.load_structure(supernet.structure())
    plain.load_state_dict(supernet.state_dict())
    copy_decided_weights(plain, network, operations)
    x = pictures(ask.session)
    assert (supernet(x) - network(x)).abs().max() < 1e-5


def test_optimisers_forget_what_is_gone(driver: Make) -> None:
    ask = driver("darts-s2")
    ask("train")
    training = ask.session.training
    before = len(training.weight_optimizer.state)
    ask("keep", edge="normal/0<-0", operation="skip_connect")
    ask("remove", edge="normal/3<-1")
    (group,) = training.weight_optimizer.param_groups
    assert {id(p) for p in group["params"]} == {
        id(p) for p in ask.session.supernet.weight_parameters()
    }
    assert len(training.weight_optimizer.state) < before
    ask("train")
    assert len(training.weight_optimizer.state) <= len(group["params"])


# -- training ---------------------------------------------------------------------------------


def forwards(session: SupernetSession) -> list[int]:
    counts = [0]

    def count(*_: Any) -> None:
        counts[0] += 1

    session.supernet.register_forward_hook(count)
    return counts


def test_fixed_alphas_stay_bit_for_bit_and_halve_the_passes(driver: Make) -> None:
    learnt, fixed = driver(), driver(alphas={"fixed": True})
    before = alphas(fixed.session)
    counts = [forwards(ask.session) for ask in (learnt, fixed)]
    replies = [ask.session.call("train", {}, Context()) for ask in (learnt, fixed)]
    assert [count[0] for count in counts] == [4, 2]
    assert replies[0].spent.macs == 2 * replies[1].spent.macs
    assert "error" not in replies[1].value
    fixed("begin_tuning")
    fixed("keep", edge="cell/1<-0", operation="nor_conv_3x3")
    fixed("train")
    assert all(torch.equal(a, b) for a, b in zip(before, alphas(fixed.session), strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(before, alphas(learnt.session), strict=True))


def test_alphas_wait_for_the_weights_to_warm_up(driver: Make) -> None:
    ask = driver(alphas={"warmup_epochs": 1})
    before = alphas(ask.session)
    assert "loss" not in ask("train")
    assert all(torch.equal(a, b) for a, b in zip(before, alphas(ask.session), strict=True))
    assert "loss" in ask("train")
    assert any(not torch.equal(a, b) for a, b in zip(before, alphas(ask.session), strict=True))


def test_the_halves_share_no_picture(session: Make) -> None:
    made = session()
    weights, held_out = made.training._train_stream._placed, made.training.validation
    images = [
        {image.numpy().tobytes() for image in placed.batch(torch.arange(len(placed)))[0]}
        for placed in (weights, held_out)
    ]
    assert len(images[0]) == len(images[1]) == 10
    assert not images[0] & images[1]


def test_rates_fall_in_the_search_and_are_constant_while_tuning(driver: Make) -> None:
    ask = driver(epochs=3, weights={"learning_rate": 0.1, "final_learning_rate": 0.01})
    rates = [ask("train")["learning_rate"] for _ in range(3)]
    assert rates == pytest.approx([0.1, 0.0775, 0.0325])
    ask("begin_tuning")
    assert not ask.session.training.weight_optimizer.state  # begun anew, as published
    answers = [ask("train") for _ in range(2)]
    assert [answer["learning_rate"] for answer in answers] == pytest.approx([0.01, 0.01])
    assert [answer["tuning"] for answer in answers] == [True, True]
    assert [answer["epoch"] for answer in answers] == [3, 4]
    chosen = driver(selection={"learning_rate": 0.5})
    chosen("begin_tuning")
    assert chosen("train")["learning_rate"] == 0.5


@pytest.mark.parametrize("fast", [True, False])
def test_orders_differ_in_alphas_and_put_weights_back(driver: Make, fast: bool) -> None:
    found = {}
    for order in ("first", "second", "second-exact"):
        ask = driver(fast=fast, alphas={"order": order, "learning_rate": 0.01})
        training = ask.session.training
        weights = [w.detach().clone() for w in ask.session.supernet.weight_parameters()]
        monkey = training._weight_step
        training._weight_step = lambda *_: None
        with pytest.raises(ZeroDivisionError):  # nothing was summed
            ask("train")
        training._weight_step = monkey
        now = ask.session.supernet.weight_parameters()
        assert all(torch.equal(a, b) for a, b in zip(weights, now, strict=True))
        answer = ask("train")
        assert answer["loss"] > 0
        found[order] = alphas(ask.session)[0]
    assert not torch.equal(found["first"], found["second"])
    assert not torch.equal(found["second"], found["second-exact"])


def test_a_diverging_supernet_is_a_failed_candidate(driver: Make) -> None:
    ask = driver(weights={"learning_rate": 1e30, "clip_norm": 1e30})
    with pytest.raises(CandidateError, match="diverged"):
        [ask("train") for _ in range(3)]


def test_a_wish_to_stop_interrupts(session: Make) -> None:
    made = session()
    stopped = Context(should_stop=lambda: True)
    for method, arguments in (("train", {}), ("drops", {"edge": "cell/1<-0"})):
        with pytest.raises(Interrupted):
            made.call(method, arguments, stopped)
    paper = session(selection={"mode": "paper"})
    with pytest.raises(Interrupted):
        paper.call("drops", {"edge": "cell/1<-0"}, stopped)


def test_progress_is_told(session: Make) -> None:
    said: list[tuple[str, Any]] = []
    made = session()
    made.call("train", {}, Context(emit=lambda topic, payload: said.append((topic, payload))))
    assert [topic for topic, _ in said] == ["progress"] * 2
    assert [p["scalars"]["batch"] for _, p in said] == [1, 2]


def test_the_caller_s_chance_is_left_alone(driver: Make) -> None:
    ask = driver("darts-s4")  # its noise draws from the global generator
    before = torch.get_rng_state()
    ask("train")
    ask("drops", edge="normal/0<-0")
    ask("curvature")
    assert torch.equal(torch.get_rng_state(), before)


# -- cost -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "space", ["nasbench201", "darts-s2", pytest.param("darts-s5", marks=pytest.mark.slow)]
)
def test_costs_are_those_of_the_mathematics_not_of_the_layout(session: Make, space: str) -> None:
    costs = []
    for fast in (True, False):
        made = session(space, limit=10, fast=fast)
        edge = made.space.edges[0]
        macs = [made.call("train", {}, Context()).spent.macs]
        macs.append(made.call("drops", {"edge": edge.name}, Context()).spent.macs)
        keep = {"edge": edge.name, "operation": "skip_connect"}
        assert made.call("keep", keep, Context()).spent.macs == 0
        macs.append(made.call("train", {}, Context()).spent.macs)
        costs.append(macs)
    assert costs[0] == costs[1]
    assert costs[0][2] < costs[0][0]


@pytest.mark.parametrize(
    ("channels", "layers", "macs"),
    [
        (8, 5, 61_629_696),
        pytest.param(16, 5, 186_698_240, marks=pytest.mark.slow),
        pytest.param(16, 8, 300_255_744, marks=pytest.mark.slow),
    ],
)
def test_costs_of_the_published_supernet(channels: int, layers: int, macs: int) -> None:
    """Counted by running the original code."""
    with torch.device("meta"):
        plain: Any = get_space("darts").supernet(
            (3, 32, 32), 10, fast=False, channels=channels, layers=layers
        )
    assert SupernetCost(plain, (3, 32, 32)).forward(plain) == macs


def test_an_alpha_step_counts_as_its_passes(session: Make) -> None:
    def spent(**settings: Any) -> float:
        return session(**settings).call("train", {}, Context()).spent.macs  # type: ignore[no-any-return]

    first = spent()
    assert spent(alphas={"order": "second"}) == pytest.approx(first / 6 * 15)
    assert spent(alphas={"order": "second-exact"}) == pytest.approx(first / 6 * 15)


# -- variants ---------------------------------------------------------------------------------


def test_perturbed_mixtures_stay_distributions_and_leave_decided_rows(session: Make) -> None:
    table = torch.softmax(torch.randn(20_000, 8), dim=1)
    table[0], table[1] = 0, torch.eye(8)[3]
    mixture = {"normal": table, "normal/edges": torch.rand(20_000)}
    moved = perturbed(mixture, 0.3, torch.Generator().manual_seed(0))
    rows = moved["normal"]
    assert torch.equal(rows[:2], table[:2])
    assert torch.all(rows >= 0)
    assert torch.allclose(rows[1:].sum(1), torch.ones(len(rows) - 1), atol=1e-6)
    assert not torch.equal(rows, table)
    assert moved["normal/edges"] is mixture["normal/edges"]
    small = perturbed(mixture, 1e-3, torch.Generator().manual_seed(0))["normal"]
    assert (small - table).abs().max() < 0.01


def test_a_row_that_is_clamped_to_nothing_stays_as_it_was() -> None:
    table = torch.full((200_000, 8), 0.125)
    rows = perturbed({"cell": table}, 0.3, torch.Generator().manual_seed(0))["cell"]
    assert torch.all((rows.sum(1) - 1).abs() < 1e-5)
    assert torch.any((rows == 0.125).all(1))


def test_sdarts_perturbs_weight_steps_only(driver: Make) -> None:
    plain, moved = driver(), driver(variant={"name": "sdarts-rs", "epsilon": [0.2, 0.3]})
    answers = [ask("train") for ask in (plain, moved)]
    assert answers[0]["train_loss"] != answers[1]["train_loss"]
    training = moved.session.training
    assert training._epsilon() == pytest.approx(0.25)  # after one of two epochs
    moved("begin_tuning")
    assert training._epsilon() == 0.3
    assert plain.session.training._epsilon() == 0.0


def test_partial_channels_have_weights_of_edges(driver: Make) -> None:
    ask = driver("darts-s2", network={"channels": 4, "layers": 3}, variant={"name": "pc-darts"})
    answer = ask("train")
    assert set(answer["edge_weights"]) == {"normal", "reduce"}
    assert sum(answer["edge_weights"]["normal"][:2]) == pytest.approx(1)
    ask("remove", edge="normal/1<-0")
    weights = ask("mixture")["edge_weights"]["normal"]
    assert weights[2] == 0
    assert sum(weights[2:5]) == pytest.approx(1)
    assert ask.session.space.strongest(answer["mixture"], answer["edge_weights"])


# -- the same again ---------------------------------------------------------------------------


def test_one_seed_one_answer(driver: Make) -> None:
    def life(seed: int) -> list[Any]:
        ask = driver(seed=seed)
        return [ask("train"), ask("drops", edge="cell/2<-1"), ask("curvature"), ask("train")]

    assert life(3) == life(3)
    assert life(3) != life(4)


VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "first": ("nasbench201", {}),
    "plain": ("nasbench201", {"fast": False}),
    "second": ("nasbench201", {"alphas": {"order": "second"}}),
    "second-exact": ("nasbench201", {"alphas": {"order": "second-exact"}}),
    "sdarts-rs": ("nasbench201", {"variant": {"name": "sdarts-rs"}}),
    "pc-darts": (
        "darts-s2",
        {"variant": {"name": "pc-darts"}, "network": {"channels": 4, "layers": 3}},
    ),
    "noise": ("darts-s4", {"variant": {"name": "sdarts-rs"}}),
    "fixed": ("nasbench201", {"alphas": {"fixed": True}}),
    "darts": ("darts", {}),
    "darts-second": ("darts-s2", {"alphas": {"order": "second-exact"}}),
}


QUICK = ("first", "plain", "second", "second-exact", "sdarts-rs", "fixed")


@pytest.mark.parametrize(
    ("name", "decided"),
    [
        *((name, decided) for name in QUICK for decided in (False, True)),
        ("pc-darts", True),
        pytest.param("noise", True, marks=pytest.mark.slow),
        pytest.param("darts", True, marks=pytest.mark.slow),
        pytest.param("darts-second", True, marks=pytest.mark.slow),
    ],
)
def test_what_was_saved_goes_on_bit_for_bit(
    driver: Make, reopened: Make, name: str, decided: bool
) -> None:
    space, settings = VARIANTS[name]
    old = driver(space, **settings)
    old("train")
    edges = old.session.space.edges
    if decided:
        old("begin_tuning")
        old("train")
        old("keep", edge=edges[0].name, operation=edges[0].operations[-1])
        old("keep", edge=edges[3].name, operation=edges[3].operations[0])
        old("remove", edge=edges[-1].name)
        old("train")
    new = reopened(old, space, **settings)
    assert same(state(new.session), state(old.session))
    for ask in ("train", "drops", "train"):
        arguments = {"edge": edges[1].name} if ask == "drops" else {}
        assert new(ask, **arguments) == old(ask, **arguments)
        assert same(state(new.session), state(old.session))


def test_another_data_set_is_refused(driver: Make, reopened: Make) -> None:
    old = driver()
    old("train")
    with pytest.raises(DataError, match="data"):
        reopened(old, limit=30)


def test_a_state_of_another_supernet_is_refused(driver: Make, reopened: Make) -> None:
    old = driver()
    with pytest.raises(RuntimeError, match="state_dict"):
        reopened(old, network={"channels": 4, "layers": 1})


def test_saving_changes_nothing(driver: Make, reopened: Make) -> None:
    ask = driver()
    ask("train")
    before = state(ask.session, chance=True)
    reopened(ask)
    assert same(state(ask.session, chance=True), before)


# -- curvature --------------------------------------------------------------------------------


def hessian(loss: Tensor, parameters: list[Tensor]) -> Tensor:
    slope = torch.autograd.grad(loss, parameters, create_graph=True)
    flat = torch.cat([g.reshape(-1) for g in slope])
    rows = []
    for entry in flat:
        found = torch.autograd.grad(entry, parameters, retain_graph=True)
        rows.append(torch.cat([g.reshape(-1) for g in found]))
    return torch.stack(rows)


def test_curvature_is_the_dense_hessian_s_eigenvalue_in_both_layouts(session: Make) -> None:
    made = session(fast=False)
    space: Any = made.space
    x = pictures(made, 8).double()
    labels = torch.arange(8)
    plain = copy.deepcopy(made.supernet).double()
    with torch.no_grad():
        for alpha in plain.alpha_parameters():
            alpha.normal_(0, 0.5, generator=torch.Generator().manual_seed(2))
    fast = space.supernet((1, 8, 8), 10, channels=2, layers=1).double()
    fast.load_state_dict(plain.state_dict())
    found = []
    for supernet in (plain, fast):
        loss = torch.nn.functional.cross_entropy(supernet(x), labels)
        dense = hessian(loss, supernet.alpha_parameters())
        values = torch.linalg.eigvalsh((dense + dense.T) / 2)
        dominant = float(values[values.abs().argmax()])
        chance = torch.Generator().manual_seed(0)
        power = dominant_eigenvalue(
            loss, supernet.alpha_parameters(), chance, iterations=300, tolerance=1e-12
        )
        assert power == pytest.approx(dominant, rel=1e-4)
        found.append(dense)
    assert torch.allclose(found[0], found[1], atol=1e-10)


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("space", ["nasbench201", pytest.param("darts-s2", marks=pytest.mark.slow)])
def test_the_session_s_curvature_is_close_to_it(driver: Make, space: str, fast: bool) -> None:
    ask = driver(space, fast=fast)
    ask("train")
    edge = ask.session.space.edges[0]
    ask("keep", edge=edge.name, operation=edge.operations[-1])  # its row must not matter
    session = ask.session
    value = session.call("curvature", {}, Context(seed=5)).value["eigenvalue"]
    stream = Stream(session.training.validation, 5, 5, "curvature", fixed=True)
    images, labels = stream.batch(0)
    loss, _ = session.training.loss(
        session.training.pipeline.plain(images), labels, session.supernet.mixture()
    )
    dense = hessian(loss, session.supernet.alpha_parameters())
    values = torch.linalg.eigvalsh((dense + dense.T) / 2)
    assert value == pytest.approx(float(values[values.abs().argmax()]), rel=0.25)
