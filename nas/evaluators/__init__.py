"""Who works out a candidate's figures; importing this imports none of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from nas.core.errors import UnsupportedError
from nas.core.registry import Registry
from nas.evaluators.account import Account, Inputs

if TYPE_CHECKING:
    from nas.core.architecture import Candidate
    from nas.core.config import RunConfig

__all__ = [
    "EVALUATORS",
    "WEIGHTS",
    "Account",
    "Inputs",
    "account_of",
    "inputs_of",
    "looking_up",
    "registered",
    "shares_of",
    "usual_recipe",
    "weights_of_share",
]

WEIGHTS: Final = "weights.safetensors"
"""Name, in a work's scratch folder, of the weights of a training for the final report."""

PRUNED: Final = "pruned-"


def weights_of_share(share: float) -> str:
    """Name, beside `WEIGHTS`, of the weights of the network without a share of its channels."""
    return f"{PRUNED}{share:g}.safetensors"


EVALUATORS: Registry[Any] = Registry("evaluator", "nas.evaluators")
"""A member is called with the run's specification and gives an `Evaluator`, or is itself a
function of candidate, budget and seed that gives figures. A class may declare more (`Account`), and
may have

- `Settings`, the frozen model (`nas.core.config.Settings`) of its `evaluator_settings`;
- the static method `check_recipe(config)`, which raises a `ConfigError` if `config.recipe`, or
  `config.final.recipe` over it, is none of its recipes; without it these are `TrainingRecipe`'s;
- the static method `check_data(config)`, which raises a `ConfigError` or `DataError` if it cannot
  work on the run's data, before anything is made, and gives what goes over `config.data_settings`;
  without it the data is first read when work begins;
- the static method `shares(config, candidate, epochs)`, which gives the shares of channels that a
  training removes with the epochs after which each is had, and raises a `ConfigError` if it cannot;
  without it, it removes none;
- the static method `account(argument) -> Account`, what it declares where its name is followed by
  a colon and an argument; without it, this is the same for every argument;
- the static method `usual(config)`, all settings of the recipe by which a candidate without one of
  its own is trained, if that is a `TrainingRecipe`; without it nobody knows;
- the static method `inputs(config) -> Inputs`, what networks are made for; without it none of the
  forms that compute can be exported."""

EVALUATORS.add(
    "train", "nas.evaluators.train:TrainEvaluator", "train the candidate on the run's data"
)
EVALUATORS.add(
    "gan",
    "nas.evaluators.gan:GanEvaluator",
    "train a generator and a discriminator; gan:EXTRACTOR names what judges (module:function)",
)
EVALUATORS.add(
    "table", "nas.evaluators.table:TableEvaluator", "look figures up in a benchmark: table:FOLDER"
)


def registered(evaluator: str) -> Any | None:
    """What is registered under an evaluator's name; None for "module:function" and unknown ones.

    Args:
        evaluator: As in the configuration, "NAME", "NAME:ARGUMENT" or "module:function".
    """
    name = evaluator.partition(":")[0]
    return EVALUATORS.get(name) if name in EVALUATORS else None


def account_of(evaluator: str) -> Account:
    """What is known of an evaluator before any work.

    Args:
        evaluator: As in the configuration, "NAME", "NAME:ARGUMENT" or "module:function".

    Raises:
        PluginError: There is none of that name.
    """
    name, colon, argument = evaluator.partition(":")
    if colon and name not in EVALUATORS:  # "module:function" says nothing
        return Account()
    member = EVALUATORS.get(name)
    if argument and hasattr(member, "account"):
        told: Account = member.account(argument)
        return told
    return Account.of(name, member)


def inputs_of(config: RunConfig) -> Inputs | None:
    """What the networks of a run are made for, if its evaluator says so."""
    given = getattr(registered(config.evaluator), "inputs", None)
    return None if given is None else given(config)


def usual_recipe(config: RunConfig) -> dict[str, Any]:
    """Settings of the recipe of candidates without one of their own; empty if nobody knows.

    Raises:
        DataError: What it depends on cannot be read.
    """
    given = getattr(registered(config.evaluator), "usual", None)
    return {} if given is None else dict(given(config))


def shares_of(
    config: RunConfig, candidate: Candidate, epochs: int | None = None
) -> list[tuple[float, int]]:
    """Shares of channels that the training of a candidate removes, with the epochs of each.

    Args:
        config: A run's.
        candidate: What is trained.
        epochs: Of the whole training; None for the recipe's.

    Raises:
        UnsupportedError: The evaluator removes none, or not from this candidate's network.
        ConfigError: There are fewer epochs than shares.
    """
    given = getattr(registered(config.evaluator), "shares", None)
    if given is None:
        raise UnsupportedError(
            f"evaluator {config.evaluator!r} removes no channels", "train it without pruning"
        )
    found: list[tuple[float, int]] = given(config, candidate, epochs)
    return found


def looking_up(evaluator: str) -> Any | None:
    """The class of an evaluator that looks figures up instead of training; None for any other.

    Such a class has `check(config, levels)`, which says what is wrong before any work and gives
    fields of the configuration to be changed, and `view(config)`, what a run sees: `pool`,
    `budgets`, `largest`, `tested`, `words`, `coverage` (see `nas.evaluators.table.TableView`).

    Args:
        evaluator: As in the configuration, "NAME" or "NAME:ARGUMENT".
    """
    if evaluator.partition(":")[0] == "train":  # known without importing it, and PyTorch with it
        return None
    member = registered(evaluator)
    return member if hasattr(member, "check") and hasattr(member, "view") else None
