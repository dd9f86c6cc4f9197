"""What makes features of images, by name; torch-free, so that figures can be named before a run.

A row is "module:function" of `(data, seed, device)` that gives a `FeatureExtractor`; a user's own
function can be named in place of a row. Figures are called `fd_NAME`, `kid_NAME`, ...: NAME is the
row's, or the function's own name.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, runtime_checkable

from nas.core.errors import PluginError
from nas.core.registry import Registry, close_matches, imported
from nas.measure.figures import NAME

if TYPE_CHECKING:
    from torch import Tensor

    from nas.training.data.dataset import DataSet

__all__ = [
    "CLASSIFIER",
    "EXTRACTORS",
    "FeatureExtractor",
    "built",
    "described",
    "figures_of",
    "name_of",
]

CLASSIFIER: Final = "classifier"
KEPT: Final = 4
_BUILT: Final[dict[tuple[str, str, int, str], FeatureExtractor]] = {}


@runtime_checkable
class FeatureExtractor(Protocol):
    """A network whose features are compared. In evaluation mode, on the device it was made for.

    It may also have

    - `logits(images)`: (n, classes), of a classifier trained without label smoothing; without it
      there is no inception score;
    - `channels`: 3 if grey images are to be repeated for it; without it, it takes them as they are;
    - `facts`: plain data that is kept beside its identity, such as its accuracy.
    """

    name: str
    """What its figures are called by."""
    dim: int
    """Length of its features, d."""
    input_size: tuple[int, int] | None
    """Height and width of its images, to which others are scaled; None to take any."""
    input_range: tuple[float, float]
    """What black and white are."""
    identity: str
    """Hash of its weights and of what it computes: figures of two identities do not compare."""

    def features(self, images: Tensor) -> Tensor:
        """Features (n, d) of float images (n, channels, height, width)."""
        ...


Factory: TypeAlias = Callable[["DataSet", int, str], FeatureExtractor]

EXTRACTORS: Registry[Factory] = Registry("extractor", "nas.extractors", NAME)
EXTRACTORS.add(
    CLASSIFIER,
    "nas.measure.gan.classifier:trained_classifier",
    "a small classifier, trained on the data itself",
)


def name_of(extractor: str) -> str:
    """What the figures of an extractor are called by; nothing is imported.

    Args:
        extractor: A row of `EXTRACTORS`, or "module:function".

    Raises:
        PluginError: It is neither, or the function's name is none for a figure.
    """
    module, colon, name = extractor.rpartition(":")
    if not colon:
        EXTRACTORS.summary(extractor)  # raises, with close matches
        return extractor
    if not module or not re.fullmatch(NAME, name, re.ASCII):
        raise PluginError(
            f"extractor {extractor!r} cannot be called so", "expected module:function"
        )
    if name in EXTRACTORS:
        raise PluginError(
            f"extractor {extractor!r} has the name of another one", "call the function otherwise"
        )
    return name


def figures_of(name: str) -> tuple[str, ...]:
    """Names of all figures by an extractor called so; those with `_se` are standard errors."""
    plain = [f"{figure}_{name}" for figure in ("fd", "fd_inf", "kid", "is")]
    return (*plain, *(f"{figure}_se" for figure in plain))


def built(extractor: str, data: DataSet, seed: int, device: str) -> FeatureExtractor:
    """The extractor of that name, made once in a process for each data, seed and device.

    Args:
        extractor: As of `name_of`.
        data: Whose images it is for.
        seed: Of all its chance, if it has any.
        device: A torch device string, resolved.

    Raises:
        PluginError: It cannot be had, or is none.
        NasError: Whatever else its function says is wrong.
    """
    key = (extractor, data.fingerprint, seed, device)
    if key not in _BUILT:
        found = _make(extractor, data, seed, device)
        while len(_BUILT) >= KEPT:
            del _BUILT[next(iter(_BUILT))]
        _BUILT[key] = found
    return _BUILT[key]


def _make(extractor: str, data: DataSet, seed: int, device: str) -> FeatureExtractor:
    name = name_of(extractor)
    factory: Any
    if name == extractor:
        factory = EXTRACTORS.get(extractor)
    else:
        try:
            factory = imported(extractor)
        except (ImportError, AttributeError) as error:
            raise PluginError(
                f"extractor {extractor!r} cannot be loaded: {error}",
                close_matches(extractor, EXTRACTORS.names()),
            ) from error
    made = factory(data, seed, device)
    if not isinstance(made, FeatureExtractor):
        raise PluginError(
            f"extractor {extractor!r} gave {type(made).__name__}",
            "expected features, name, dim, input_size, input_range and identity",
        )
    if made.name != name or not isinstance(made.identity, str) or not made.identity:
        raise PluginError(
            f"extractor {extractor!r} says that it is {made.name!r}, {made.identity!r}",
            f"expected the name {name!r} and the hash of its weights",
        )
    return made


def described(extractor: FeatureExtractor) -> dict[str, Any]:
    """What is stored of an extractor with every result."""
    facts: dict[str, Any] = getattr(extractor, "facts", {})
    return {"name": extractor.name, "identity": extractor.identity, "dim": extractor.dim, **facts}
