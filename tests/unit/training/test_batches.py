"""Proteins as batches."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biorrn.base.errors import InputError
from biorrn.nn.batch import valid
from biorrn.sequences.alphabets import tokens
from biorrn.sequences.prepared.files import protein_writer
from biorrn.training.batches import MULTIPLE, ProteinDataset, bucketed_batches, ordered_batches

SEQUENCES = ["ACD", "W" * 9, "MKV" * 7, "Y", "GGGGGGGG", "ACDEFG"]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("proteins") / "p.h5"
    with protein_writer(path, [{"name": "tm", "unit": "degrees C"}]) as writer:
        for i, text in enumerate(SEQUENCES):
            writer.add(f"p{i}", tokens(text), (i if i != 3 else np.nan,), 1 + i, i == 5)
    return path


def test_a_split_holds_its_rows_alone(path):
    train, held = ProteinDataset(path, "train"), ProteinDataset(path, "valid")
    assert (len(train), len(held), len(ProteinDataset(path, None))) == (5, 1, 6)
    assert train.lengths.tolist() == [3, 9, 21, 1, 8]
    assert held.ids == ["p5"]
    assert (train.names, train.units) == (["tm"], ["degrees C"])


def test_a_batch_is_padded_with_zeros_to_a_multiple(path):
    batch = ProteinDataset(path, "train").collate([1, 0])
    assert batch.x.shape == (2, 16)
    assert batch.x.shape[1] % MULTIPLE == 0
    assert batch.lengths.tolist() == [9, 3]
    assert batch.x[0, :9].tolist() == tokens("W" * 9).tolist()
    assert not batch.x[~valid(batch.lengths, 16)].any()
    assert batch.ids == ["p1", "p0"]
    assert batch.weights.tolist() == [2, 1]
    assert batch.targets.tolist() == [[1], [0]]
    assert str(batch.x.dtype) == "torch.int64"
    assert str(batch.targets.dtype) == "torch.float32"


def test_a_missing_target_is_nan(path):
    assert np.isnan(ProteinDataset(path, "train").collate([3]).targets.numpy()).all()


def test_batch_1_is_batch_many(path):
    data = ProteinDataset(path, "train")
    whole = data.collate(range(5))
    for i in range(5):
        one = data.collate([i])
        assert one.x[0, : one.lengths[0]].tolist() == whole.x[i, : whole.lengths[i]].tolist()
        assert data.tokens(i).tolist() == tokens(SEQUENCES[i]).tolist()


def test_an_empty_split_is_an_error(path):
    with pytest.raises(InputError, match="split 'test' is empty; the file holds 6 proteins in other splits"):
        ProteinDataset(path, "test")


def test_scattered_rows_are_those_of_the_split(tmp_path):
    with protein_writer(tmp_path / "p.h5", [{"name": "tm", "unit": ""}]) as writer:
        for i in range(2500):
            writer.add(str(i), np.full(1 + i % 5, 1 + i % 21, np.uint8), (i,), 1.0, i % 2)
    data = ProteinDataset(tmp_path / "p.h5", "valid")
    assert len(data) == 1250
    for index in (0, 7, 1249):
        i = int(data.ids[index])
        assert data.tokens(index).tolist() == [1 + i % 21] * (1 + i % 5)


lengths = st.lists(st.integers(1, 80), min_size=1, max_size=60).map(np.array)


@given(lengths, st.integers(1, 16), st.integers(0, 9), st.integers(0, 9))
def test_batches_hold_every_protein_once_and_are_the_same_again(lengths, size, seed, epoch):
    batches = bucketed_batches(lengths, size, seed, epoch)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    assert max(len(batch) for batch in batches) <= size
    assert sum(len(batch) < size for batch in batches) <= 1
    again = bucketed_batches(lengths, size, seed, epoch)
    assert [batch.tolist() for batch in batches] == [batch.tolist() for batch in again]


def test_batches_hold_like_lengths():
    lengths = np.random.default_rng(0).integers(1, 400, 2000)
    batches = bucketed_batches(lengths, 50, 0, 0)
    assert np.median([np.ptp(lengths[batch]) for batch in batches]) < 20


def test_another_epoch_or_seed_has_other_batches():
    lengths = np.full(100, 30)
    first = {frozenset(batch.tolist()) for batch in bucketed_batches(lengths, 10, 0, 0)}
    assert first != {frozenset(batch.tolist()) for batch in bucketed_batches(lengths, 10, 0, 1)}
    assert first != {frozenset(batch.tolist()) for batch in bucketed_batches(lengths, 10, 1, 0)}


@given(lengths, st.integers(1, 16))
def test_ordered_batches_hold_every_protein_once_by_length(lengths, size):
    order = np.concatenate(ordered_batches(lengths, size))
    assert sorted(order.tolist()) == list(range(len(lengths)))
    assert (np.diff(lengths[order]) >= 0).all()
