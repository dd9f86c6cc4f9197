"""YAML as people mean it: few kinds of scalar, no surprises, no way to exhaust the machine.

YAML 1.1 reads `no` as false, `12:30` as 750, `010` as 8 and `3e-4` as text, and lets a small file
expand to gigabytes. Here a plain scalar is null, true or false, a decimal number, or text;
aliases, tags, repeated keys, keys that are no text and deep nesting are refused.
"""

from __future__ import annotations

import math
import re
from typing import Any, Final

import yaml
from yaml.events import AliasEvent
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

MAX_DEPTH: Final = 24
MAX_DIGITS: Final = 300

_NULL = re.compile(r"~|null|Null|NULL|")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]+(?:_[0-9]+)*")
_FLOAT = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_TEXT: Final = "tag:yaml.org,2002:str"


def load_yaml(text: str) -> Any:
    """The one document in `text` as dict, list, str, int, float, bool and None.

    Raises:
        ValueError: It is not YAML of the kind described above; one line, with the line number.
    """
    try:
        loader = _Loader(text)
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = "" if mark is None else f" (line {mark.line + 1})"
        raise ValueError(f"{error.problem or error.context}{where}") from None
    except yaml.YAMLError as error:  # a character that cannot be in a text
        raise ValueError(" ".join(str(error).split())) from None


def dump_yaml(value: Any) -> str:
    """The text of plain JSON data, keys in their order; `load_yaml` gives it back."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def read_scalar(text: str) -> bool | int | float | str | None:
    """What an unquoted scalar means.

    Raises:
        ValueError: A number has hundreds of digits or is too large for a float.
    """
    if _NULL.fullmatch(text):
        return None
    if _BOOL.fullmatch(text):
        return text[0] in "tT"
    if _INT.fullmatch(text):  # before floats, whose form holds those without separators too
        return int(_bounded(text))
    if _FLOAT.fullmatch(text):
        number = float(_bounded(text))
        if math.isinf(number):
            raise ValueError(f"number {text} is too large")
        return number
    return text


def _bounded(text: str) -> str:
    if len(text) > MAX_DIGITS:
        raise ValueError(f"a number of {len(text)} characters")
    return text


class _Loader(yaml.SafeLoader):
    """SafeLoader with its own scalars; depth is counted while nodes are composed."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.depth = 0

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, AliasEvent):
            raise _refused("aliases are not read: write the values out", event)
        if getattr(event, "tag", None) is not None:
            raise _refused("tags are not read", event)
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise _refused(f"nested deeper than {MAX_DEPTH}", event)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_document(self, node: Node) -> Any:
        return _value(node)


def _refused(problem: str, place: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=place.start_mark)


def _value(node: Node) -> Any:
    if isinstance(node, MappingNode):
        result: dict[str, Any] = {}
        for key_node, item in node.value:
            key = _value(key_node)
            if not isinstance(key, str):
                raise _refused("a key is no text: quote it", key_node)
            if key in result:
                raise _refused(f"the key {key[:40]!r} occurs twice", key_node)
            result[key] = _value(item)
        return result
    if isinstance(node, SequenceNode):
        return [_value(item) for item in node.value]
    assert isinstance(node, ScalarNode)
    try:
        node.value.encode()  # half a surrogate pair, written as an escape, is no text
        if node.style is not None:  # quoted or a block
            return node.value
        return read_scalar(node.value)
    except UnicodeEncodeError:
        raise _refused("a text holds half a surrogate pair", node) from None
    except ValueError as error:
        raise _refused(str(error), node) from None


class _Dumper(yaml.SafeDumper):
    """SafeDumper that also quotes what `read_scalar` would take for no text."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_text(self, data: str) -> ScalarNode:
        # Readers fold the rarer line breaks into spaces, so those are escaped.
        style = None if _is_text(data) else "'"
        style = style if data.isprintable() else '"'
        return self.represent_scalar(_TEXT, data, style)


def _is_text(text: str) -> bool:
    try:
        return isinstance(read_scalar(text), str)
    except ValueError:
        return False


_Dumper.add_representer(str, _Dumper.represent_text)
