"""A person's own folder of pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nas.core.errors import DataError
from nas.training.data import load_data
from nas.training.data.images import read_images
from nas.training.data.raw import Request

COLOURS = {"red": (250, 10, 10), "green": (10, 250, 10), "blue": (10, 10, 250)}


def paint(path: Path, colour: object, size: tuple[int, int] = (20, 20), mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path)  # type: ignore[arg-type]


def folder_of(root: Path, count: int = 6, size: tuple[int, int] = (20, 20)) -> Path:
    for name, colour in COLOURS.items():
        for index in range(count):
            paint(root / name / f"{index}.png", colour, size)
    return root


def test_class_folders(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "pictures")
    data = load_data(f"images:{folder}", root=tmp_path)
    assert data.classes == ("blue", "green", "red")
    assert data.input_shape == (3, 20, 20)
    assert (len(data.train), len(data.validation), data.test_size()) == (11, 3, 4)
    for image, label in zip(data.train.images, data.train.labels, strict=True):
        assert image[:, 0, 0].tolist() == list(COLOURS[data.classes[label]])


def test_what_is_not_a_picture_is_passed_over_and_nested_ones_count(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "pictures")
    (folder / "red" / ".hidden.png").write_bytes(b"nothing")
    (folder / "red" / "notes.txt").write_text("nothing")
    (folder / ".cache").mkdir()
    (folder / "__MACOSX").mkdir()
    (folder / "labels.csv").write_text("a,b")
    paint(folder / "red" / "summer" / "2024" / "x.PNG", COLOURS["red"])
    raw = read_images(str(folder), Request(tmp_path))
    assert raw.classes == ("blue", "green", "red")
    assert np.bincount(raw.train[1]).tolist() == [6, 6, 7]


def test_every_mode_comes_to_the_same_pixels(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "pictures")
    place = folder / "grey"
    paint(place / "l.png", 100, mode="L")
    paint(place / "rgb.png", (100, 100, 100))
    paint(place / "rgba.png", (100, 100, 100, 255), mode="RGBA")
    paint(place / "la.png", (100, 255), mode="LA")
    paint(place / "cmyk.jpg", (0, 0, 0, 155), mode="CMYK")
    Image.new("RGB", (20, 20), (100, 100, 100)).quantize(2).save(place / "p.gif")
    Image.fromarray(np.full((20, 20), 25700, np.uint16)).save(place / "i16.png")
    Image.fromarray(np.full((20, 20), 100, np.int32)).save(place / "i.tiff")
    Image.fromarray(np.full((20, 20), 100, np.float32)).save(place / "f.tiff")
    raw = read_images(str(folder), Request(tmp_path))
    greys = raw.train[0][raw.train[1] == raw.classes.index("grey")]
    assert len(greys) == 9
    assert np.abs(greys.astype(int) - 100).max() <= 4


def test_what_is_transparent_becomes_white(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "pictures")
    paint(folder / "clear" / "a.png", (0, 0, 0, 0), mode="RGBA")
    raw = read_images(str(folder), Request(tmp_path))
    clear = raw.train[0][raw.train[1] == raw.classes.index("clear")]
    assert (clear == 255).all()


def test_grey_pictures_have_one_channel(tmp_path: Path) -> None:
    for name, level in (("dark", 10), ("light", 200)):
        for index in range(3):
            paint(tmp_path / "g" / name / f"{index}.png", level, mode="L")
    data = load_data(f"images:{tmp_path / 'g'}", root=tmp_path)
    assert data.input_shape == (1, 20, 20)
    assert sorted(data.train.images.unique().tolist()) == [10, 200]


def test_sizes(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "pictures", size=(90, 60))
    paint(folder / "red" / "tall.jpg", COLOURS["red"], (300, 1000))
    paint(folder / "red" / "tiny.png", COLOURS["red"], (1, 1))
    assert load_data(f"images:{folder}", root=tmp_path).input_shape == (3, 32, 32)
    data = load_data(f"images:{folder}", root=tmp_path, image_size=12)
    assert data.input_shape == (3, 12, 12)
    reds = data.train.images[data.train.labels == 2]
    assert (reds[:, 0] > 240).all()


def test_the_crop_is_centred_and_turned_as_the_camera_was(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "pictures")
    pixels = np.zeros((16, 48, 3), np.uint8)
    pixels[:8, 16:32] = 255  # upper half of the middle square
    turned = folder / "turned"
    turned.mkdir()
    plain = Image.fromarray(pixels)
    plain.save(turned / "a.png")
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    plain.save(turned / "b.png", exif=exif)
    raw = read_images(str(folder), Request(tmp_path, image_size=16))
    upright, down = raw.train[0][raw.train[1] == raw.classes.index("turned")]
    assert (upright[:, :8] == 255).all()
    assert (upright[:, 8:] == 0).all()
    assert np.array_equal(down, upright[:, ::-1, ::-1])


def test_split_folders(tmp_path: Path) -> None:
    root = tmp_path / "pictures"
    folder_of(root / "train", 6)
    folder_of(root / "Val", 2)
    folder_of(root / "test", 3)
    data = load_data(f"images:{root}", root=tmp_path)
    assert (len(data.train), len(data.validation), data.test_size()) == (18, 6, 9)
    assert data.classes == ("blue", "green", "red")
    paint(root / "test" / "pink" / "a.png", (250, 200, 200))
    with pytest.raises(DataError, match=r"class 'pink' is in the test folder"):
        load_data(f"images:{root}", root=tmp_path)
    folder_of(root / "valid", 2)
    with pytest.raises(DataError, match="two folders for one split"):
        load_data(f"images:{root}", root=tmp_path)


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    for name in ("bus", "train"):
        for index in range(3):
            paint(tmp_path / "v" / name / f"{index}.png", (1, 2, 3))
    assert load_data(f"images:{tmp_path / 'v'}", root=tmp_path).classes == ("bus", "train")


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n", "cut"])
def test_a_picture_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | str) -> None:
    folder = folder_of(tmp_path / "pictures")
    bad = folder / "green" / "bad.png"
    if content == "cut":
        noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(noise).save(bad)
        bad.write_bytes(bad.read_bytes()[:2000])
    else:
        bad.write_bytes(content)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"green/bad\.png.*cannot be read") as caught:
        load_data(f"images:{folder}", root=tmp_path)
    assert "\n" not in str(caught.value)


def test_a_giant_picture_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = folder_of(tmp_path / "pictures")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 300)
    with pytest.raises(DataError, match="cannot be read"):
        load_data(f"images:{folder}", root=tmp_path)


def test_folders_that_make_no_data(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is no folder") as caught:
        load_data(f"images:{tmp_path / 'none'}")
    assert caught.value.exit_code == 4
    (tmp_path / "flat").mkdir()
    paint(tmp_path / "flat" / "a.png", (1, 2, 3))
    with pytest.raises(DataError, match="no sub-folders"):
        load_data(f"images:{tmp_path / 'flat'}")
    folder = folder_of(tmp_path / "pictures")
    (folder / "yellow").mkdir()
    with pytest.raises(DataError, match=r"'yellow'.*no picture"):
        load_data(f"images:{folder}", root=tmp_path)
    paint(folder / "yellow" / "a.png", (200, 200, 10))
    with pytest.raises(DataError, match=r"'yellow'.*1 image\(s\) for 3 splits"):
        load_data(f"images:{folder}", root=tmp_path)
    for index in range(5):
        paint(tmp_path / "lone" / "cat" / f"{index}.png", (1, 2, 3))
    with pytest.raises(DataError, match=r"1 class \('cat'\)"):
        load_data(f"images:{tmp_path / 'lone'}", root=tmp_path)


def test_decoded_pictures_are_kept_and_change_with_the_files(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "pictures")
    first = load_data(f"images:{folder}", root=tmp_path)
    (kept,) = (tmp_path / "cache").iterdir()
    assert load_data(f"images:{folder}", root=tmp_path).fingerprint == first.fingerprint
    kept.write_bytes(kept.read_bytes()[:200])  # a damaged one is made anew
    assert load_data(f"images:{folder}", root=tmp_path).fingerprint == first.fingerprint
    paint(folder / "red" / "6.png", (0, 0, 0))
    second = load_data(f"images:{folder}", root=tmp_path)
    assert second.fingerprint != first.fingerprint
    assert len(second.train) + len(second.validation) + second.test_size() == 19


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = folder_of(tmp_path / "pictures")
    (tmp_path / "cache").write_text("a file where the folder would be")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "own"))
    first = load_data(f"images:{folder}", root=tmp_path)
    assert len(list((tmp_path / "own" / "nas").iterdir())) == 1
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))  # nor the user's own
    second = load_data(f"images:{folder}", root=tmp_path)
    assert second.fingerprint == first.fingerprint
