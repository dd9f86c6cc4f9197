"""Optimizers by name: their formulas, and what wrong settings are told."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from nas.core.errors import ConfigError, PluginError
from nas.optimizers import OPTIMIZERS, build
from nas.testing.optimizers import CHECKS
from tests.optimizers.members import STEPPED, marked

RATE, DECAY = 0.1, 0.2


def parameter() -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))


def steps(name: str, count: int = 3, **settings: float | bool) -> torch.Tensor:
    """Minimize (w1^2 + 10 w2^2) / 2 from (1, -2)."""
    weights = parameter()
    optimizer = build(name, [weights], learning_rate=RATE, **settings)
    for _ in range(count):
        optimizer.zero_grad()
        (weights.square() @ torch.tensor([0.5, 5.0], dtype=torch.float64)).backward()
        optimizer.step()
    return weights.detach()


def gradient(w: torch.Tensor) -> torch.Tensor:
    return w * torch.tensor([1.0, 10.0], dtype=torch.float64)


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_is_the_formula(nesterov: bool) -> None:
    w, buffer = parameter().detach(), None
    for _ in range(3):
        g = gradient(w) + DECAY * w
        buffer = g.clone() if buffer is None else 0.9 * buffer + g
        w = w - RATE * (g + 0.9 * buffer if nesterov else buffer)
    found = steps("sgd", momentum=0.9, nesterov=nesterov, weight_decay=DECAY)
    torch.testing.assert_close(found, w, rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_adam_is_the_formula(name: str) -> None:
    w, m, v = parameter().detach(), 0.0, 0.0
    for step in range(1, 4):
        g = gradient(w)
        if name == "adam":
            g = g + DECAY * w
        else:
            w = w * (1 - RATE * DECAY)
        m, v = 0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g * g
        w = w - RATE * (m / (1 - 0.9**step)) / ((v / (1 - 0.99**step)).sqrt() + 1e-8)
    found = steps(name, weight_decay=DECAY, beta1=0.9, beta2=0.99)
    torch.testing.assert_close(found, w, rtol=1e-10, atol=0)


def test_nadamw_is_the_formula() -> None:
    w, m, v, product = parameter().detach(), 0.0, 0.0, 1.0
    for step in range(1, 4):
        g = gradient(w)
        w = w * (1 - RATE * DECAY)
        now = 0.9 * (1 - 0.5 * 0.96 ** (step * 4e-3))
        later = 0.9 * (1 - 0.5 * 0.96 ** ((step + 1) * 4e-3))
        product *= now
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        root = (v / (1 - 0.999**step)).sqrt() + 1e-8
        w = w - RATE * ((1 - now) / (1 - product) * g + later / (1 - product * later) * m) / root
    found = steps("nadamw", weight_decay=DECAY)
    torch.testing.assert_close(found, w, rtol=1e-7, atol=0)  # torch keeps a product in float32


@pytest.mark.parametrize("title", marked([*OPTIMIZERS.names(), *STEPPED]))
@pytest.mark.parametrize("check", CHECKS)
def test_it_does_what_every_optimizer_must(title: str, check: str) -> None:
    CHECKS[check](title)


def test_groups_and_generators_are_taken() -> None:
    a, b = parameter(), parameter()
    optimizer = build("sgd", [{"params": iter([a])}, {"params": [b], "lr": 1.0}], learning_rate=0.5)
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 1.0]
    assert len(build("adamw", iter([a, b])).param_groups[0]["params"]) == 2


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"learning_rate": -1.0}, ["'learning_rate'", "-1", "greater than 0"]),
        ({"learning_rate": "fast"}, ["'learning_rate'", "'fast'", "number"]),
        ({"learning_rate": float("nan")}, ["'learning_rate'", "finite"]),
        ({"momentum": 1.0}, ["'momentum'", "less than 1"]),
        ({"momentun": 0.5}, ["'momentun'", "momentum?"]),
        ({"momentum": 0.0, "nesterov": True}, ["'nesterov'", "momentum above 0"]),
    ],
)
def test_a_wrong_setting_is_one_clear_line(settings: dict[str, object], words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        build("sgd", [parameter()], **settings)
    text = str(caught.value)
    assert "\n" not in text
    assert "sgd" in text
    for word in words:
        assert word in text


def test_an_unknown_optimizer_names_the_close_ones() -> None:
    with pytest.raises(PluginError, match="did you mean adamw"):
        build("adamww", [parameter()])


def test_nothing_to_optimize_is_said() -> None:
    with pytest.raises(ConfigError, match="no parameter"):
        build("sgd", [])


def test_names_and_settings_need_no_torch() -> None:
    code = (
        "import sys, nas.optimizers as o, nas.training.data as d, nas.training.recipe as r;"
        "import nas.training;"
        "[o.settings_model(n) for n in o.OPTIMIZERS.names()]; d.DATASETS.names();"
        "r.RECIPES.names(); r.SCHEDULES.names(); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
