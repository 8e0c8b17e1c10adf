from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmsa.data.batches import Batches, Sequence, TokenSequence, collate
from mmsa.data.corpus import Features, Split, Strings, Tokens
from mmsa.errors import DataError


def offsets(lengths: list[int]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def ragged(lengths: list[int], text: str = "features") -> Split:
    """Frames of row r hold r + 1, so that every padded position can be checked."""
    rows = np.arange(len(lengths))
    values = np.repeat(rows + 1, lengths)
    features = Features(np.stack([values, -values], axis=1).astype(np.float32), offsets(lengths))
    tokens = Tokens(values.astype(np.int64), offsets(lengths))
    forms = {"features": features, "tokens": tokens, "strings": Strings(rows.astype(str)), "none": None}
    names = rows.astype(str)
    return Split(names, names, rows.astype(np.float32), text=forms[text], audio=features)


lengths_of_rows = st.lists(st.integers(0, 30), min_size=1, max_size=120)


def test_pads_to_the_longest_row_and_masks_the_rest() -> None:
    batch = collate(ragged([2, 0, 3, 1], "tokens"), np.array([3, 2, 1]))
    assert isinstance(batch.audio, Sequence)
    assert isinstance(batch.text, TokenSequence)
    assert batch.vision is None
    assert batch.rows.tolist() == [3, 2, 1]
    assert batch.labels.tolist() == [3.0, 2.0, 1.0]
    assert batch.audio.values.tolist() == [
        [[4, -4], [0, 0], [0, 0]],
        [[3, -3], [3, -3], [3, -3]],
        [[0, 0], [0, 0], [0, 0]],
    ]
    assert batch.text.ids.tolist() == [[4, 0, 0], [3, 3, 3], [0, 0, 0]]
    for part in (batch.audio, batch.text):
        assert part.lengths.tolist() == [1, 3, 0]
        assert part.mask().tolist() == [[True, False, False], [True] * 3, [False] * 3]


def test_dtypes_are_those_of_the_contract() -> None:
    batch = collate(ragged([2, 1], "tokens"), np.array([0, 1]))
    assert isinstance(batch.audio, Sequence)
    assert isinstance(batch.text, TokenSequence)
    assert (batch.rows.dtype, batch.labels.dtype) == (torch.int64, torch.float32)
    assert (batch.audio.values.dtype, batch.audio.lengths.dtype) == (torch.float32, torch.int64)
    assert (batch.text.ids.dtype, batch.text.lengths.dtype) == (torch.int64, torch.int64)
    assert batch.to(torch.device("meta")).audio.values.device.type == "meta"  # type: ignore[union-attr]


def test_labels_of_a_modality_follow_their_rows() -> None:
    split = replace(ragged([2, 0, 3]), unimodal_labels={"audio": np.array([5.0, 6.0, 7.0])})
    batch = collate(split, np.array([2, 0]))
    assert batch.unimodal_labels["audio"].tolist() == [7.0, 5.0]
    assert batch.unimodal_labels["audio"].dtype == torch.float32
    assert batch.to(torch.device("meta")).unimodal_labels["audio"].device.type == "meta"
    assert collate(ragged([2]), np.array([0])).unimodal_labels == {}


def test_rows_without_a_single_frame_have_one_masked_step() -> None:
    batch = collate(ragged([0, 0]), np.array([0, 1]))
    assert batch.audio is not None
    assert batch.audio.values.shape == (2, 1, 2)
    assert not batch.audio.mask().any()


def test_writing_to_a_batch_leaves_the_split_alone() -> None:
    split = ragged([3, 3, 3], "tokens")
    before = split.digest
    for batch in Batches(split, 3).epoch(0):
        for tensor in (batch.rows, batch.labels, batch.audio.values, batch.audio.lengths, batch.text.ids):  # type: ignore[union-attr]
            tensor.fill_(77)
    del split.__dict__["digest"]
    assert split.digest == before


def test_strings_are_refused_with_a_next_step() -> None:
    with pytest.raises(DataError, match="encode it first"):
        collate(ragged([1, 1], "strings"), np.array([0]))


@given(lengths_of_rows, st.integers(1, 40), st.integers(0, 5), st.integers(0, 3), st.booleans())
@settings(deadline=None)
def test_batches_partition_the_rows_evenly(
    lengths: list[int], batch_size: int, seed: int, epoch: int, shuffle: bool
) -> None:
    batches = Batches(ragged(lengths), batch_size, seed, shuffle)
    plan = batches.plan(epoch)
    sizes = [len(rows) for rows in plan]
    assert sorted(np.concatenate(plan).tolist()) == list(range(len(lengths)))
    assert len(plan) == len(batches) == -(-len(lengths) // batch_size)
    assert max(sizes) <= batch_size
    assert max(sizes) - min(sizes) <= 1


@given(lengths_of_rows, st.integers(1, 20), st.integers(0, 3), st.data())
@settings(deadline=None, max_examples=40)
def test_an_epoch_resumes_at_any_position(
    lengths: list[int], batch_size: int, epoch: int, data: st.DataObject
) -> None:
    split = ragged(lengths)
    start = data.draw(st.integers(0, len(Batches(split, batch_size))))
    whole = [batch.rows.tolist() for batch in Batches(split, batch_size, 7).epoch(epoch)]
    rest = [batch.rows.tolist() for batch in Batches(split, batch_size, 7).epoch(epoch, start)]
    assert rest == whole[start:]


def test_the_order_follows_seed_and_epoch_alone() -> None:
    split = ragged([1] * 64)

    def order(seed: int, epoch: int) -> list[int]:
        return np.concatenate(Batches(split, 8, seed).plan(epoch)).tolist()

    assert order(0, 0) == order(0, 0)
    assert len({tuple(order(seed, epoch)) for seed in range(3) for epoch in range(3)}) == 9


def test_rows_of_equal_length_are_batched_at_random() -> None:
    plan = Batches(ragged([1] * 400), 20).plan(0)
    assert all(np.ptp(rows) > 100 for rows in plan)


def test_rows_of_similar_length_share_a_batch() -> None:
    lengths = np.random.default_rng(0).integers(1, 200, 640).tolist()
    split = ragged(lengths, "none")
    padded = sum(batch.audio.mask().numel() for batch in Batches(split, 16).epoch(0))  # type: ignore[union-attr]
    assert sum(lengths) < padded < 1.1 * sum(lengths)
    shuffled = np.random.default_rng(0).permutation(len(lengths)).reshape(-1, 16)
    assert sum(16 * max(lengths[row] for row in rows) for rows in shuffled) > 1.6 * sum(lengths)


def test_without_shuffling_rows_go_by_length_in_every_epoch() -> None:
    batches = Batches(ragged([3, 1, 2, 1]), 2, shuffle=False)
    assert [rows.tolist() for rows in batches.plan(0)] == [[1, 3], [2, 0]]
    assert [rows.tolist() for rows in batches.plan(5)] == [[1, 3], [2, 0]]
