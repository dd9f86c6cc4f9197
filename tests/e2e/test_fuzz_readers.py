"""Ten thousand damaged files: readers answer with a result or one clear line, and soon."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest

from nas.core.config import RunConfig, build_settings, parse_assignments, read_yaml
from nas.core.errors import ConfigError, NasError
from nas.core.yaml_text import dump_yaml
from nas.export import read_architecture
from search_spaces import get_space

ARCHITECTURES = 5_000
CONFIGURATIONS = 5_000
NOTATIONS = 1_500
SECONDS_EACH = 5.0
"""Processor time that no single reading may take; a usual one takes a millisecond or two."""

MARK = "@splice@"
JSON_PARTS = (
    "", "null", "true", "false", "0", "1", "2", "-1", "1.0", "-0.0", "1e999", "1e-999", "NaN",
    "Infinity", "9" * 400, "9" * 5000, "-" + "9" * 30, '"\\ud800"', '"\\u0000"', '"\\u001b[2J"',
    '""', '"é"', '"1"', '"none"', '"' + "x" * 20_000 + '"', "[]", "{}", "[[[1]]]", "[1, 1]",
    '{"a": 1, "a": 2}', '{"": 0}', "[" * 40 + "]" * 40, "[" * 3_000 + "]" * 3_000, "[" * 90_000,
    '{"a":' * 2_000 + "1" + "}" * 2_000, "'x'", "0x10", "1_0", "[1,]", "// x", "\x00",
)  # fmt: skip
YAML_PARTS = (
    *JSON_PARTS,
    "&a [*a]", "*x", "&x 1", "!!python/object/apply:os.system [exit]", "!!binary x", "!x 1",
    "!!timestamp 2024-13-45", "2024-13-45", "1:2:3", ":".join("1" * 5_000), "0b" + "1" * 5_000,
    "0x" + "f" * 5_000, ".nan", "-.inf", "yes", "~", "|", ">-", "- a", "a: b: c", "\t", "? x",
    "<<: {seed: 1}", "[1", "{a: 1", "'", '"', "%", "@", "`", "#", "---", "...", "\u2028", "\ufeff",
)  # fmt: skip


def places(value: Any) -> list[tuple[Any, Any]]:
    """Container and key of every part of nested data."""
    found: list[tuple[Any, Any]] = []
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, part in pairs:
        found.append((value, key))
        if isinstance(part, dict | list):
            found += places(part)
    return found


def edited(data: Any, random: Random) -> Any:
    """A copy with one part removed, doubled, renamed, exchanged for another or marked."""
    data = json.loads(json.dumps(data))
    spots = places(data)
    holder, key = random.choice(spots)
    other, where = random.choice(spots)
    match random.randrange(5):
        case 0:
            del holder[key]
        case 1 if isinstance(holder, list):
            holder.append(holder[key])
        case 1:
            holder[random.choice((f"{key}x", str(key)[:-1], key.upper(), ""))] = holder[key]
        case 2 if isinstance(holder, dict):
            holder[random.choice((f"{key}s", "", "__class__"))] = holder.pop(key)
        case 3:
            holder[key] = json.loads(json.dumps(other[where]))
        case _:
            holder[key] = MARK
    return data


def damaged(content: bytes, random: Random) -> bytes:
    """The bytes cut short, changed, moved, doubled, or mixed with bytes that are no text."""
    size = len(content)
    start = random.randrange(size)
    end = min(size, start + random.randrange(1, 40))
    match random.randrange(8):
        case 0:
            return content[:start]
        case 1:
            changed = bytearray(content)
            for _ in range(random.randrange(1, 6)):
                changed[random.randrange(size)] ^= 1 << random.randrange(8)
            return bytes(changed)
        case 2:
            return content[:start] + content[end:]
        case 3:
            return content[:end] + content[start:]
        case 4:
            return content[:start] + random.randbytes(random.randrange(1, 20)) + content[end:]
        case 5:
            encoding = random.choice(("utf-16", "utf-8-sig", "utf-32", "cp037"))
            return content.decode(errors="replace").encode(encoding, "replace")
        case 6:
            return random.choice((b"", b"\x00", b"\n", b"\xff\xfe", b"{}", b"[]", b"1", b"null"))
        case _:
            character = random.choice(b"[]{}\"':,-#&*!|>%@`\t\n\\0 \x00\x1b\x7f")
            return content[:start] + bytes([character]) * random.randrange(1, 400) + content[start:]


def spoiled(data: Any, write: Callable[[Any], str], parts: tuple[str, ...], seed: int) -> bytes:
    """The file of `data` with one to three mistakes."""
    random = Random(seed)
    for _ in range(random.choice((0, 1, 1, 1, 2))):
        data = edited(data, random) if places(data) else data
    text = write(data)
    while MARK in text:
        quoted = f'"{MARK}"' if f'"{MARK}"' in text else MARK
        text = text.replace(quoted, random.choice(parts), 1)
    content = text.encode("utf-8", "surrogatepass")
    return damaged(content, random) if content and random.random() < 0.5 else content


def outcome_of(read: Callable[[], Any], what: str) -> str:
    """What came of one reading: "read", or the kind of the error, which is one clear line."""
    began = time.process_time()
    refused: NasError | None = None
    try:
        read()
    except NasError as error:
        refused = error
    except Exception as error:
        raise AssertionError(f"{what} ended in {type(error).__name__}: {error}") from error
    assert time.process_time() - began < SECONDS_EACH, what
    if refused is None:
        return "read"
    assert str(refused).isprintable(), what
    assert 10 < len(str(refused)) < 1_300, what
    assert refused.exit_code == 2, what
    return type(refused).__name__


def architecture_files() -> list[dict[str, Any]]:
    found = []
    for name in ("darts", "darts-s1", "nasbench201"):
        space = get_space(name)
        found += [member.to_dict() for member in list(space.members.values())[:2]]
    return found


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_architecture_files(tmp_path: Path) -> None:
    sound = architecture_files()
    spaces = {data["space"]: get_space(data["space"]) for data in sound}
    path = tmp_path / "architecture.json"
    kinds: Counter[str] = Counter()

    def read() -> None:
        found = read_architecture(path)
        data = json.loads(path.read_text(encoding="utf-8-sig"))
        assert found.to_dict() == spaces[found.space].from_dict(found.to_dict()).to_dict()
        assert data.get("id", found.id) == found.id

    for seed in range(ARCHITECTURES):
        data = sound[seed % len(sound)]
        indent = 2 if seed % 2 else None

        def write(data: Any, indent: int | None = indent) -> str:
            return json.dumps(data, indent=indent)

        path.write_bytes(spoiled(data, write, JSON_PARTS, seed))
        kinds[outcome_of(read, f"architecture file {seed}")] += 1
    assert sum(kinds.values()) == ARCHITECTURES
    assert kinds["SpaceError"] > 0.7 * ARCHITECTURES
    assert 0 < kinds["read"] < 0.2 * ARCHITECTURES  # harmless: a byte order mark, the id left out


CONFIGURATION = {
    "space": "darts",
    "strategy": "darts",
    "settings": {"epochs": 50, "alpha": {"lr": 3e-4, "betas": [0.5, 0.999]}, "variant": "none"},
    "objectives": ["error:min", "params:min<=2e6"],
    "network": {"channels": 16, "layers": 8, "auxiliary": True},
    "recipe": {"optimizer": {"name": "sgd", "lr": 0.025}, "epochs": None},
    "final": {"scales": [{"channels": 8}, {"channels": 16, "layers": 4}], "seeds": 3},
    "seed": 7,
    "device": "cpu",
    "plugins": ["mine.py"],
}


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_configuration_files(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    again = tmp_path / "again.yaml"
    kinds: Counter[str] = Counter()

    def read(seed: int) -> None:
        config = build_settings(RunConfig, read_yaml(path))
        if seed % 10 == 0:
            again.write_text(config.to_yaml(), encoding="utf-8")
            assert build_settings(RunConfig, read_yaml(again)) == config

    for seed in range(CONFIGURATIONS):
        write = (json.dumps, dump_yaml, partial(json.dumps, indent=2), dump_yaml)[seed % 4]
        path.write_bytes(spoiled(CONFIGURATION, write, YAML_PARTS, seed))
        kinds[outcome_of(partial(read, seed), f"configuration file {seed}")] += 1
    assert sum(kinds.values()) == CONFIGURATIONS
    assert set(kinds) == {"read", "ConfigError"}
    assert min(kinds.values()) > 0.1 * CONFIGURATIONS


@pytest.mark.parametrize("name", ["darts", "nasbench201"])
def test_notations(name: str) -> None:
    space = get_space(name)
    texts = [space.format(member).encode() for member in list(space.members.values())[:3]]
    kinds: Counter[str] = Counter()
    for seed in range(NOTATIONS):
        random = Random(seed)
        content = texts[seed % len(texts)]
        for _ in range(random.randrange(1, 4)):
            content = damaged(content, random) if content else content
        text = content.decode("utf-8", random.choice(("replace", "surrogateescape")))
        found = outcome_of(partial(space.parse, text), f"notation {seed}")
        kinds[found] += 1
    assert set(kinds) <= {"read", "SpaceError"}
    assert kinds["SpaceError"] > 0.7 * NOTATIONS


def test_assignments() -> None:
    sound = [b"alpha.lr=3e-4", b"final.scales=[{channels: 8}]", b"recipe={epochs: 3}", b"data='x'"]
    for seed in range(NOTATIONS):
        random = Random(seed)
        text = damaged(sound[seed % len(sound)], random).decode("utf-8", "surrogateescape")
        outcome_of(partial(parse_assignments, [text]), f"assignment {seed}")


@pytest.mark.parametrize("name", ["missing.json", "folder.json", "\0.json", "x" * 400 + ".json"])
def test_paths_that_name_no_file(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.json").mkdir()
    for read in (read_architecture, read_yaml):
        with pytest.raises(ConfigError) as got:
            read(tmp_path / name)
        assert str(got.value).isprintable()
