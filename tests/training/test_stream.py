"""Streams of batches: everything once an epoch, never the same order, resumable by number."""

from __future__ import annotations

from itertools import chain

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nas.training.data.dataset import Split
from nas.training.stream import Placed, Stream


def numbered(count: int) -> Placed:
    numbers = torch.arange(count)
    return Placed(Split((numbers % 256).to(torch.uint8).view(-1, 1, 1, 1), numbers), "cpu")


def flat(batches: list[list[int]]) -> list[int]:
    return list(chain.from_iterable(batches))


def epoch(stream: Stream, number: int) -> list[list[int]]:
    start = number * stream.steps
    return [stream.batch(start + step)[1].tolist() for step in range(stream.steps)]


@given(st.integers(1, 50), st.integers(1, 60), st.integers(0, 3))
def test_an_epoch_has_every_image_once_in_even_batches(count: int, size: int, number: int) -> None:
    batches = epoch(Stream(numbered(count), size, 0, "train"), number)
    assert sorted(flat(batches)) == list(range(count))
    sizes = [len(batch) for batch in batches]
    assert max(sizes) <= size
    assert max(sizes) - min(sizes) <= 1


@given(st.integers(1, 50), st.integers(1, 60))
def test_fixed_batches_have_one_size(count: int, size: int) -> None:
    stream = Stream(numbered(count), size, 0, "train", fixed=True)
    batches = epoch(stream, 0)
    assert {len(batch) for batch in batches} == {min(size, count)}
    assert len(set(flat(batches))) == len(flat(batches))
    if count > size:  # who is left out changes
        left = [set(range(count)) - set(flat(epoch(stream, e))) for e in range(20)]
        assert not set.intersection(*left)


def test_orders_depend_on_seed_purpose_and_epoch_alone() -> None:
    placed = numbered(40)
    orders = {
        (seed, purpose, number): epoch(Stream(placed, 10, seed, purpose), number)
        for seed in (0, 1)
        for purpose in ("weights", "alphas")
        for number in (0, 1)
    }
    assert len({str(order) for order in orders.values()}) == 8
    assert epoch(Stream(placed, 10, 1, "alphas"), 1) == orders[1, "alphas", 1]


def test_batches_go_on_over_epochs_and_may_be_asked_for_in_any_order() -> None:
    """The stream is not begun anew at every step: consecutive batches differ."""
    stream = Stream(numbered(30), 10, 0, "alphas")
    straight = [stream.batch(k)[1].tolist() for k in range(9)]
    assert len({tuple(batch) for batch in straight}) == 9
    for start in (0, 3, 6):
        assert sorted(flat(straight[start : start + 3])) == list(range(30))
    again = Stream(numbered(30), 10, 0, "alphas")
    assert [again.batch(k)[1].tolist() for k in (8, 0, 4)] == [straight[k] for k in (8, 0, 4)]


def test_images_stay_with_their_labels() -> None:
    placed = numbered(200)
    images, labels = Stream(placed, 32, 0, "train").batch(3)
    assert torch.equal(images.flatten().long(), labels)
    whole = list(placed.batches(64))
    assert [len(labels) for _, labels in whole] == [64, 64, 64, 8]
    assert torch.equal(torch.cat([labels for _, labels in whole]), torch.arange(200))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_images_on_the_device_and_on_the_host_are_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    split = Split(torch.arange(90, dtype=torch.uint8).view(-1, 1, 1, 1), torch.arange(90))
    there = Placed(split, "cuda")
    monkeypatch.setattr("nas.training.stream.SHARE_OF_FREE_MEMORY", 0.0)
    here = Placed(split, "cuda")
    assert (there.home.type, here.home.type) == ("cuda", "cpu")
    for a, b in zip(
        Stream(there, 20, 0, "x").batch(7), Stream(here, 20, 0, "x").batch(7), strict=True
    ):
        assert a.device.type == b.device.type == "cuda"
        assert torch.equal(a, b)
