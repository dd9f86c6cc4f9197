"""Settings of figures: given by name, complete before work, one clear line if they are wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import Field

import nas
from nas.bench.arms import Arm
from nas.core.config import RunConfig, Settings
from nas.core.errors import ConfigError, PluginError
from nas.engine.resolve import resolve
from nas.evaluators.train import TrainEvaluator
from nas.measure import MEASURES, Figure, Subject, bound, complete, settings_of

ASKED: dict[str, Any] = {"space": "nasbench201", "strategy": "random"}


class Own(Settings):
    share: float = Field(0.5, ge=0, le=1)


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    MEASURES.add("test_shared", Figure(lambda subject, settings: settings.share, Own), "a test's")
    MEASURES.add("test_plain", lambda subject: 7.0, "a test's, a function")
    yield
    for name in ("test_shared", "test_plain"):
        MEASURES._rows.pop(name)


def test_functions_stay_figures() -> None:
    subject: Any = None
    assert MEASURES.get("test_plain")(subject) == 7
    assert bound("test_plain", {})(subject) == 7
    assert settings_of("test_plain").model_fields == {}
    assert complete("test_plain", {}) == {}


def test_a_figure_is_measured_by_what_is_given_or_by_its_defaults() -> None:
    subject: Any = None
    assert MEASURES.get("test_shared")(subject) == 0.5
    assert bound("test_shared", {"share": 0.25})(subject) == 0.25
    assert complete("test_shared", {}) == {"share": 0.5}


def test_a_run_keeps_the_settings_of_what_it_measures() -> None:
    config = resolve(
        {**ASKED, "objectives": ("error", "certified_error", "quantized_error", "test_plain")},
        assignments=["measures.certified_error.epsilon=0.05", "measures.quantized_error.bits=3"],
    )
    assert config.measures["certified_error"] == {"epsilon": 0.05}
    assert config.measures["quantized_error"]["bits"] == 3
    assert config.measures["quantized_error"]["method"] == "flexround"
    assert "test_plain" not in config.measures
    again = resolve(config.model_dump(mode="json"))
    assert again == config
    assert resolve({**ASKED}).measures == {}


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        ("measures.test_shared.share=2", ConfigError, "'share' is 2"),
        ("measures.test_shared.shar=0.2", ConfigError, "did you mean share"),
        ("measures.test_share.share=0.2", PluginError, "did you mean test_shared"),
        ("measures.test_shared=0.2", ConfigError, "expected measures.test_shared.KEY=VALUE"),
        ("measures=0.2", ConfigError, "measures is a section"),
        ("measures.error.epsilon=1", PluginError, "unknown measure 'error'"),
        ("measures.params.exact=1", ConfigError, "params has no setting 'exact'"),
        ("measures.rankme.images=1", ConfigError, "add --objective rankme"),
    ],
)
def test_wrong_ones_are_one_clear_line(given: str, kind: type[ConfigError], words: str) -> None:
    asked = {**ASKED, "objectives": ("error", "params", "test_shared")}
    with pytest.raises(kind, match=words) as caught:
        resolve(asked, assignments=[given])
    assert "\n" not in str(caught.value)


def test_an_evaluator_of_its_own_has_none() -> None:
    asked = {**ASKED, "evaluator": "json:dumps", "measures": {"test_shared": {}}}
    with pytest.raises(ConfigError, match=r"not measured; evaluator 'json:dumps' has none"):
        resolve({**asked, "objectives": ("test_shared",)})


def test_the_evaluator_hands_them_on() -> None:
    config = resolve(
        {**ASKED, "objectives": ("error", "test_shared"), "data_settings": {"limit": 20}},
        assignments=["measures.test_shared.share=0.125"],
    )
    made = TrainEvaluator(config.model_dump(mode="json"))
    subject: Any = Subject(None, None)  # type: ignore[arg-type]
    assert made._measured(subject) == {"test_shared": 0.125}


def test_arms_without_them_are_called_as_before_there_were_any() -> None:
    config = resolve({**ASKED, "objectives": ("error",)})
    older = {k: v for k, v in config.model_dump(mode="json").items() if k != "measures"}
    assert Arm("a", config).id == Arm("a", RunConfig(**older)).id
    other = resolve({**ASKED, "objectives": ("error", "test_shared")})
    changed = other.model_copy(update={"measures": {"test_shared": {"share": 0.1}}})
    assert Arm("a", other).id != Arm("a", changed).id


def test_settings_are_known_without_torch() -> None:
    script = (
        "import sys, json\n"
        "from nas.measure import MEASURES, settings_of\n"
        "found = {n: list(settings_of(n).model_fields) for n in MEASURES.names()}\n"
        "print(json.dumps([found, 'torch' in sys.modules]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    found, heavy = json.loads(done.stdout)
    assert not heavy
    assert found["certified_error"] == ["epsilon"]
    assert found["params"] == []


def test_a_search_for_both_new_figures() -> None:
    run = nas.search(
        space="nasbench201",
        strategy="random",
        budget="14epochs",
        data_settings={"limit": 60},
        objectives=("error", "certified_error:min", "quantized_error"),
        settings={
            "measures": {"certified_error": {"epsilon": 0.01}, "quantized_error": {"steps": 3}},
            "network": {"channels": 4, "layers": 1},
            "recipe": {"epochs": 2, "batch_size": 20, "loss": "certified"},
            "final": {
                "seeds": 1,
                "epochs": 1,
                "random_limit": 1,
                "random_epochs": 1,
                "scales": [{"channels": 4, "layers": 1}],
            },
        },
    )
    assert run.config.measures["quantized_error"]["steps"] == 3
    assert len(run.history) >= 4
    for entry in run.history:
        assert entry.ok, entry.error
        assert 0 <= entry.figures["quantized_error"] <= 1
        assert entry.figures["error"] <= entry.figures["certified_error"] <= 1
        # Three gradients a step: normalisation by the clean images.
        assert entry.figures["gradient_evaluations"] == 3 * 3 * entry.figures["epochs"]
