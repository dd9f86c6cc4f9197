"""Defaults, preset, file, flags and `--set`: the later one wins, and all of it is checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nas.core.config import RunConfig, preset
from nas.core.errors import ConfigError, DataError, PluginError, StoreError, UnsupportedError
from nas.engine.resolve import (
    SCALES,
    DeviceError,
    check_out,
    default_out,
    default_strategy,
    has_supernet,
    locate_data,
    resolve,
)
from nas.strategies import STRATEGIES
from nas.testing.toys import ToySpace
from nas.training.recipe import TrainingRecipe
from search_spaces import SPACES, get_space

DARTS = {"space": "darts"}


def test_a_space_is_enough() -> None:
    config = resolve(DARTS)
    assert (config.strategy, config.data, config.preset) == ("darts", "digits", "quick")
    assert config.settings["epochs"] == preset("darts", "quick")["settings"]["epochs"]
    assert config.settings["weights"]["momentum"] == 0.9  # complete, though no preset says it


def test_precedence(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(
        "space: darts\nseed: 4\nbudget: 9epochs\nsettings: {epochs: 7, fast: false}\n"
        "recipe: {epochs: 3}\n"
    )
    from_file = resolve({}, file=file)
    assert (from_file.seed, from_file.settings["epochs"]) == (4, 7)
    flags = resolve({"seed": 5, "budget": None, "settings": {"epochs": 8}}, file=file)
    assert (flags.seed, flags.budget, flags.settings["epochs"]) == (5, "9epochs", 8)
    texts = ("epochs=9", "selection.mode=paper", "recipe.batch_size=16")
    last = resolve({"settings": {"epochs": 8}}, file=file, assignments=texts)
    assert last.settings["epochs"] == 9
    assert last.settings["fast"] is False
    assert last.settings["selection"]["mode"] == "paper"
    assert (last.recipe["epochs"], last.recipe["batch_size"]) == (3, 16)


def test_sections_go_to_the_run() -> None:
    texts = ("network.channels=4", "final.seeds=2", "data_settings.limit=100")
    by_text = resolve(DARTS, assignments=texts)
    assert by_text.network["channels"] == 4
    assert by_text.final.seeds == 2
    assert by_text.data_settings == {"limit": 100}
    nested = {"network": {"channels": 4}, "final.seeds": 2, "data_settings": {"limit": 100}}
    assert resolve({**DARTS, "settings": nested}) == by_text


def test_a_resolved_configuration_resolves_to_itself(tmp_path: Path) -> None:
    for scale in SCALES:
        config = resolve({**DARTS, "preset": scale, "data": "digits"})
        file = tmp_path / f"{scale}.yaml"
        file.write_text(config.to_yaml())
        assert resolve({}, file=file) == config


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("space", SPACES.names())
@pytest.mark.parametrize("strategy", STRATEGIES.names())
def test_every_preset_fits_every_space(strategy: str, space: str, scale: str) -> None:
    if space not in SPACES or not get_space(space).scale:
        pytest.skip("another test's toy")
    if STRATEGIES.get(strategy).sessions and not has_supernet(get_space(space)):
        pytest.skip("there is no supernet of it")
    if get_space(space).evaluator != "train":
        pytest.skip("its recipes and data are those of another task")
    if "gan-supernet" in STRATEGIES.get(strategy).sessions.values():
        pytest.skip("it is for GANs only")
    config = resolve({"space": space, "strategy": strategy, "preset": scale})
    assert config.preset == scale
    assert {"channels", "layers"} & set(get_space(space).scale) <= set(config.network)
    recipe = TrainingRecipe.from_settings(config.recipe)
    if scale == "paper":
        assert config.data == "cifar10"
        assert recipe.epochs >= 100
    expected = STRATEGIES.get(strategy)(config.settings).expected(get_space(space))
    assert expected or config.budget, "nothing would end it"


def test_the_papers_own_settings() -> None:
    config = resolve({**DARTS, "preset": "paper"})
    assert config.network == {"channels": 16, "layers": 8}
    settings = config.settings
    assert settings["epochs"] == 50
    assert settings["weights"]["learning_rate"] == 0.025
    assert settings["alphas"]["betas"] == [0.5, 0.999]
    assert (settings["selection"]["mode"], settings["selection"]["interval"]) == ("paper", 5)
    assert config.final.scales == ({"channels": 36, "layers": 20, "auxiliary": True},)
    recipe = TrainingRecipe.from_settings(config.recipe)
    assert (recipe.epochs, recipe.batch_size, recipe.cutout) == (600, 96, 16)
    assert resolve({"space": "nasbench201", "preset": "paper"}).settings["epochs"] == 100


def test_a_users_space_gets_what_it_has() -> None:
    if "resolve-toy" not in SPACES:
        SPACES.add("resolve-toy", ToySpace, "a toy")
    config = resolve({"space": "resolve-toy"})
    assert config.strategy == default_strategy(ToySpace()) == "regularized-evolution"
    assert config.network == {}
    assert config.final.scales == ()
    with pytest.raises(UnsupportedError, match="needs a supernet"):
        resolve({"space": "resolve-toy", "strategy": "darts"})


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({}, "no search space"),
        ({"space": "darts", "strateg": "darts"}, "unknown setting 'strateg'"),
        ({"space": "darts", "preset": "large"}, "unknown scale"),
        ({"space": "darts", "evaluator": "trian"}, "did you mean train"),
        ({"space": "darts", "seed": True}, "'seed'"),
        ({"space": "darts", "settings": 3}, "settings is int"),
        ({"space": "darts", "settings": {"final": 3}}, "final is a section"),
        ({"space": "darts", "final": {"scales": [{"depth": 3}]}}, "final.scales"),
        ({"space": "darts", "network": {"channels": True}}, "channels"),
    ],
)
def test_mistakes(asked: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        resolve(asked)


@pytest.mark.parametrize("text", ["1 / 0", "raise SystemExit(3)", "def figures(: pass"])
def test_an_evaluator_whose_module_fails_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    name = f"broken{abs(hash(text))}"
    (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    asked = {"space": "nasbench201", "strategy": "random", "evaluator": f"{name}:figures"}
    with pytest.raises(PluginError, match=f"evaluator '{name}:figures' cannot be imported"):
        resolve(asked)


def test_a_function_that_is_given_needs_no_name() -> None:
    asked = {"space": "nasbench201", "strategy": "random", "evaluator": "here:<lambda>"}
    config = resolve(asked, function=lambda candidate, budget, seed: {"error": 0.5})
    assert config.evaluator == "here:<lambda>"
    with pytest.raises(PluginError, match="no module"):
        resolve(asked)


def test_a_strategy_is_asked_whether_it_can_search_the_problem() -> None:
    asked = {"space": "nasbench201", "strategy": "rank-nosh"}
    with pytest.raises(ConfigError, match="training changes none"):
        resolve({**asked, "objectives": ("params:min", "macs:min")})
    assert resolve({**asked, "objectives": ("params:min", "error:min")}).objectives


def test_a_device_that_is_not_there() -> None:
    with pytest.raises(DeviceError, match="cuda:99") as caught:
        resolve({**DARTS, "device": "cuda:99"})
    assert caught.value.exit_code == 4


def test_data_paths_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pictures" / "cats").mkdir(parents=True)
    (tmp_path / "some.npz").touch()
    monkeypatch.chdir(tmp_path)
    assert locate_data("images:pictures") == f"images:{tmp_path / 'pictures'}"
    assert locate_data("npz:some.npz") == f"npz:{tmp_path / 'some.npz'}"
    assert locate_data("cifar10") == "cifar10"
    for wrong in ("images:some.npz", "npz:pictures"):
        with pytest.raises(DataError, match="is no"):
            locate_data(wrong)


def test_output_folders(tmp_path: Path) -> None:
    check_out(tmp_path / "new" / "run")
    check_out(tmp_path)
    (tmp_path / "run.json").touch()
    with pytest.raises(StoreError, match="holds a run"):
        check_out(tmp_path)
    with pytest.raises(StoreError, match="is a file"):
        check_out(tmp_path / "run.json")
    with pytest.raises(StoreError, match="is a file"):
        check_out(tmp_path / "run.json" / "run")


def test_a_read_only_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(StoreError, match="Permission denied"):
        check_out(tmp_path / "run")


def test_default_names_differ() -> None:
    config = RunConfig(space="darts", strategy="random")
    names = {default_out(config) for _ in range(20)}
    assert len(names) > 15
    assert all(name.parent == Path("runs") for name in names)


def test_one_worker_in_this_process_whatever_the_preset_says() -> None:
    assert resolve({"space": "nasbench201"}).workers == 2
    alone = resolve({"space": "nasbench201", "executor": "serial"})
    assert (alone.executor, alone.workers) == ("serial", 1)
