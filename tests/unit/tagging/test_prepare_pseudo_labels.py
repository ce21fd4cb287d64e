"""Pseudo-labels: which sequences are taken, what homologs say, and that a model can be trained on it."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from biorrn.base.errors import ConfigError, InputError
from biorrn.sequences.alphabets import NO_STATE, RESIDUES, STANDARD, States, tokens
from biorrn.sequences.sequence_set import as_set
from biorrn.tagging.data import TagDataset, whole
from biorrn.tagging.prepare import TagFile, tag_writer
from biorrn.tagging.pseudo_labels import Hit, consensus, prepare_pseudo_labels, unlabelled

LETTERS = np.array(list(STANDARD))


def drawn(rng, length):
    return "".join(rng.choice(LETTERS, length))


def changed(rng, sequence, share):
    return "".join(np.where(rng.random(len(sequence)) < share, rng.choice(LETTERS, len(sequence)), list(sequence)))


@pytest.fixture
def labelled(tmp_path: Path) -> tuple[Path, list[str]]:
    """A file of three chains of 100 residues, one a split, all helix; and their sequences."""
    rng = np.random.default_rng(0)
    chains = [drawn(rng, 100) for _ in range(3)]
    with tag_writer(tmp_path / "l.h5", RESIDUES, States("structure", "HEC", ("helix", "strand", "coil"))) as writer:
        for split, chain in enumerate(chains):
            writer.add(f"chain{split}", tokens(chain), np.zeros(100, np.uint8), split)
    return tmp_path / "l.h5", chains


def all_coil(texts):
    for text in texts:
        said = np.zeros((len(text), 3), np.float32)
        said[:] = 0.3, 0.3, 0.4
        yield said


def test_homologs_of_held_out_chains_are_left_out_and_labels_reach_homologs(
    labelled: tuple[Path, list[str]], tmp_path: Path
) -> None:
    path, chains = labelled
    rng = np.random.default_rng(1)
    others = {
        "of_train": changed(rng, chains[0], 0.3),
        "of_valid": changed(rng, chains[1], 0.3),
        "of_test": changed(rng, chains[2], 0.3),
        "stranger": drawn(rng, 80),
        "again": chains[0],
        "short": "MKV",
    }
    (tmp_path / "u.fasta").write_text("".join(f">{name}\n{text}\n" for name, text in others.items()))
    found = prepare_pseudo_labels(path, [tmp_path / "u.fasta"], tmp_path / "o.h5", all_coil, states="HEC")
    assert found["counts"] == {
        "left out: shorter than 20 residues": 1,
        "left out: came before, or is labelled": 1,
        "left out: homologous to a held-out chain": 2,
        "kept: labelled": 3,
        "kept: labelled by the model": 2,
        "of these with homologs": 1,
    }
    assert found["splits"]["train"]["labelled_by_model"] == 180
    with TagFile(tmp_path / "o.h5") as file:
        assert file.strings("id") == ["chain0", "chain1", "chain2", "u.fasta:of_train", "u.fasta:stranger"]
        assert (file.labels(3) == NO_STATE).all()
    data = TagDataset(tmp_path / "o.h5", "train")
    batch = data.collate(whole(data.lengths))
    assert batch.probabilities is not None
    assert not batch.probabilities[0].any()  # it has labels
    assert (batch.targets[1:] == -1).all()
    of_train, stranger = batch.probabilities[1, :100].numpy(), batch.probabilities[2, :80].numpy()
    assert np.allclose(of_train.sum(1), 1)
    assert (of_train[10:90].argmax(1) == 0).mean() > 0.9  # the label of its homolog
    assert np.allclose(stranger, (0.3, 0.3, 0.4), atol=0.005)
    assert TagDataset(tmp_path / "o.h5", "valid").probabilities is None


def test_a_homolog_counts_by_its_score_and_many_by_the_root_of_their_number() -> None:
    said = np.zeros((20, 2), np.float32)
    said[:4], said[4:8], said[8:12] = (1, 0), (0, 1), (0, 1)
    offsets = np.array([0, 4, 8, 12, 20])
    sides = np.arange(1, 3), np.arange(2, 4)
    assert np.allclose(consensus(said, offsets, 0, []), said[:4])
    one = consensus(said, offsets, 0, [Hit(1, 150, *sides)])
    assert np.allclose(one[[0, 3]], (1, 0))
    assert np.allclose(one[1:3], (1 / 1.5, 0.5 / 1.5))
    two = consensus(said, offsets, 0, [Hit(1, 300, *sides), Hit(2, 900, *sides)])
    assert np.allclose(two[1:3, 1], np.sqrt(2) / (1 + np.sqrt(2)))
    silent = consensus(said, offsets, 0, [Hit(3, 300, *sides), Hit(1, 150, *sides)])
    assert np.allclose(silent, one)  # residues of which nothing is said do not count


def test_what_cannot_be_labelled_is_refused(labelled: tuple[Path, list[str]], tmp_path: Path) -> None:
    path, chains = labelled
    (tmp_path / "u.fasta").write_text(f">a\n{chains[1]}\n")
    with pytest.raises(InputError, match="no sequence that is not labelled"):
        prepare_pseudo_labels(path, [tmp_path / "u.fasta"], tmp_path / "o.h5", all_coil, states="HEC")
    (tmp_path / "u.fasta").write_text(f">a\n{chains[1][:90]}\n")
    with pytest.raises(InputError, match="homologous to a held-out chain"):
        prepare_pseudo_labels(path, [tmp_path / "u.fasta"], tmp_path / "o.h5", all_coil, states="HEC")
    with pytest.raises(ConfigError, match="knows states GHIEBTSC"):
        prepare_pseudo_labels(path, [tmp_path / "u.fasta"], tmp_path / "o.h5", all_coil, states="GHIEBTSC")
    assert not (tmp_path / "o.h5").exists()


def test_each_sequence_is_taken_once(tmp_path: Path) -> None:
    (tmp_path / "a.fasta").write_text(f">x\n{'ACDEFGHIKL' * 3}\n>y\n{'ACDEFGHIKL' * 3}\n")
    counts: Counter[str] = Counter()
    found = unlabelled([tmp_path / "a.fasta"], as_set([], [], RESIDUES), counts)
    assert found.ids == ["a.fasta:x"]
    assert counts == {"left out: came before, or is labelled": 1}
