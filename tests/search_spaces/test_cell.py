"""What makes a space a cell space, and which supernets it may be asked for."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from nas.core.config import RunConfig
from nas.core.errors import SpaceError, UnsupportedError
from nas.core.protocols import Context
from nas.oneshot.session import open_supernet
from search_spaces import get_space
from search_spaces.cell import CellSpace, variants_of
from search_spaces.edges import Edge

EDGES = (Edge("cell/1<-0", "cell", 1, 0, ("skip", "conv"), 0),)


def outsider(**more: Any) -> Any:
    """A cell space that inherits from none of ours."""

    def nothing(*_: object, **__: object) -> None:
        return None

    methods = ("operations", "from_operations", "strongest", "supernet")
    attributes = {"name": "outsider", "tree": None, "edges": EDGES, "inputs_per_node": None}
    return SimpleNamespace(**dict.fromkeys(methods, nothing), **attributes, **more)


def test_any_class_with_the_attributes_is_a_cell_space() -> None:
    space = outsider()
    assert isinstance(space, CellSpace)
    assert variants_of(space) == ("darts",)
    assert variants_of(outsider(variants=("darts", "pc-darts"))) == ("darts", "pc-darts")
    del space.strongest
    assert not isinstance(space, CellSpace)


def test_our_spaces_say_what_they_have() -> None:
    for name in ("darts", "darts-s4"):
        space = get_space(name)
        assert isinstance(space, CellSpace)
        assert variants_of(space) == ("darts", "pc-darts")
    space = get_space("nasbench201")
    assert isinstance(space, CellSpace)
    assert variants_of(space) == ("darts",)
    assert not isinstance(get_space("nasbench101"), CellSpace)


def test_the_contract_imports_no_torch() -> None:
    code = (
        "import sys; import search_spaces.cell, search_spaces.stacked; "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_space_without_partial_channels_refuses_them() -> None:
    space = get_space("nasbench201")
    with pytest.raises(SpaceError, match="no supernet variant 'pc-darts' on nasbench201"):
        space.supernet(variant="pc-darts")
    with pytest.raises(SpaceError, match="unknown scale setting 'partial'"):
        space.supernet(partial=2)
    with pytest.raises(SpaceError, match="no supernet variant 'darts' with partial=0"):
        get_space("darts").supernet(partial=0)


def open_partial(space: str) -> None:
    config = RunConfig(
        space=space,
        strategy="darts",
        network={"channels": 4, "layers": 1},
        data_settings={"limit": 20},
        settings={"variant": {"name": "pc-darts"}, "weights": {"batch_size": 5}},
    )
    open_supernet(config.model_dump(mode="json"), Context())


def test_a_session_of_partial_channels_says_which_space_has_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(UnsupportedError, match="'nasbench201' has no partial channels") as error:
        open_partial("nasbench201")
    assert "\n" not in str(error.value)
    monkeypatch.setattr("nas.oneshot.session.get_space", lambda name: outsider())
    with pytest.raises(UnsupportedError, match="'outsider' has no partial channels"):
        open_partial("outsider")
