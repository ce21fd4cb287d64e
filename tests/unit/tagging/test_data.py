"""Tagged sequences as batches: pieces, batches of like cost, targets."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from biorrn.base.errors import InputError
from biorrn.sequences.alphabets import RESIDUES, THREE, tokens
from biorrn.tagging.data import MULTIPLE, SHORTEST, Mutants, TagDataset, batches, cut, number_of_batches, whole
from biorrn.tagging.prepare import tag_writer

lengths_of = st.lists(st.integers(1, 900), min_size=1, max_size=40).map(np.array)


@given(lengths_of, st.one_of(st.none(), st.integers(SHORTEST, 400)), st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_every_residue_is_in_one_piece(lengths: np.ndarray, crop: int | None, seed: int) -> None:
    pieces = cut(lengths, crop, np.random.default_rng(seed))
    for row, length in enumerate(lengths.tolist()):
        own = sorted((start, end) for one, start, end in pieces if one == row)
        assert [start for start, _ in own] == [0, *(end for _, end in own[:-1])]
        assert own[-1][1] == length
        if crop is not None:
            assert max(end - start for start, end in own) < crop + 2 * SHORTEST
            assert len(own) == 1 or min(end - start for start, end in own) >= min(SHORTEST, crop // 2)
    assert crop is not None or pieces == whole(lengths)


@given(lengths_of, st.integers(1, 12), st.one_of(st.none(), st.integers(32, 4096)), st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_an_epoch_has_every_piece_once_in_a_known_number_of_batches(
    lengths: np.ndarray, rows: int, residues: int | None, seed: int
) -> None:
    count = number_of_batches(lengths, rows, residues)
    for epoch in range(2):
        rng = np.random.default_rng([seed, epoch])
        pieces = cut(lengths, 200, rng)
        found = batches(pieces, count, residues is None, rng)
        assert len(found) == count
        assert all(found)
        assert sorted(piece for part in found for piece in part) == sorted(pieces)


def test_batches_have_about_the_residues_asked_for() -> None:
    lengths = np.random.default_rng(0).integers(20, 500, 2000)
    count = number_of_batches(lengths, 1, 8192)
    found = batches(whole(lengths), count, False, np.random.default_rng(1))
    sizes = [-(-max(end - start for _, start, end in part) // MULTIPLE) * MULTIPLE * len(part) for part in found]
    assert np.mean(sizes) == pytest.approx(8192, rel=0.1)
    assert max(sizes) < 1.3 * 8192


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    path = tmp_path / "t.h5"
    with tag_writer(path, RESIDUES, THREE) as writer:
        for row in range(6):
            tokens = np.arange(1, 20 + 10 * row, dtype=np.uint8) % 20 + 1
            tags = tokens % 3
            tags[::7] = 255
            writer.add(f"p{row}", tokens, tags, int(row == 5))
    return path


def test_a_batch_holds_what_the_file_does(prepared: Path) -> None:
    rows = TagDataset(prepared, "train")
    assert len(rows) == 5
    batch = rows.collate([(0, 0, 19), (4, 10, 59)])
    assert batch.x.shape == (2, 64)
    assert batch.lengths.tolist() == [19, 49]
    assert batch.ids == ["p0", "p4"]
    assert batch.targets is not None
    inside = torch.arange(64) < batch.lengths[:, None]
    assert ((batch.x > 0) == inside).all()
    assert (batch.targets[~inside] == -1).all()
    known = batch.targets >= 0
    assert (batch.targets[known] == batch.x[known] % 3).all()
    assert (inside & ~known).sum() == 3 + 7


def test_residues_are_changed_in_training_alone(prepared: Path) -> None:
    rows, rng = TagDataset(prepared, "train"), np.random.default_rng(0)
    changed = rows.collate([(0, 0, 19)], lambda tokens, tags, rng: (np.full_like(tokens, 7), tags), rng)
    assert set(changed.x[0, :19].tolist()) == {7}
    plain = rows.collate([(0, 0, 19)])
    assert plain.targets is not None
    assert changed.targets is not None
    assert torch.equal(changed.targets, plain.targets)


def test_a_mutant_has_the_effects_relative_to_its_own_residues() -> None:
    protein = tokens("ACDX")
    effects = np.arange(80, dtype=np.float32).reshape(4, 20) + 1
    effects[np.arange(3), [0, 1, 2]] = np.nan  # of the own residues
    effects[1, 5] = np.nan
    seen = 0
    for seed in range(60):
        changed, tags = Mutants(0.01)(protein, effects, np.random.default_rng(seed))
        places = np.flatnonzero(changed != protein)
        if not len(places):
            assert changed is protein
            assert tags is effects
            continue
        [place] = places
        residue, own = int(changed[place]) - 1, int(protein[place]) - 1
        seen += own < 20
        known = np.isfinite(effects[place])
        known[residue] = False
        np.testing.assert_allclose(tags[place][known], effects[place][known] - effects[place, residue])
        assert np.isnan(tags[place, residue])
        if own < 20:
            assert tags[place, own] == -effects[place, residue]
        rest = np.arange(4) != place
        np.testing.assert_array_equal(tags[rest], effects[rest])
    assert seen > 20


def test_several_places_change_at_a_higher_rate() -> None:
    protein, effects = tokens("ACDEFGHIKL"), np.ones((10, 20), np.float32)
    numbers = [(Mutants(0.5)(protein, effects, np.random.default_rng(seed))[0] != protein).sum() for seed in range(40)]
    assert max(numbers) > 2
    assert min(numbers) == 0


def test_an_empty_split_is_an_error(prepared: Path) -> None:
    with pytest.raises(InputError, match="split 'test' is empty"):
        TagDataset(prepared, "test")
