"""What the splits share, on sets made so that the answer is known."""

import numpy as np
import pytest

from biorrn.sequences.alphabets import tokens
from biorrn.sequences.prepared.files import protein_writer, signal_writer
from biorrn.sequences.similarity import protein_leakage, signal_leakage

RNG = np.random.default_rng(0)
CENTRES = ["".join(RNG.choice(list("ACDEFGHIKLMNPQRSTV"), 50)) for _ in range(30)]


def changed(sequence, edits):
    """Return the sequence with W, which it does not hold, at so many evenly spread places."""
    letters = list(sequence)
    for place in np.linspace(0, len(letters) - 1, edits).astype(int) if edits else []:
        letters[place] = "W"
    return "".join(letters)


def write(path, splits):
    with protein_writer(path, [{"name": "tm", "unit": ""}]) as writer:
        for code, sequences in enumerate(splits):
            for text in sequences:
                writer.add(f"p{writer.rows}", tokens(text), (0.0,), 1.0, code)
    return path


def test_identical_and_near_identical_are_told_apart(tmp_path):
    valid = [changed(CENTRES[i], edits) for i, edits in enumerate([0, 0, 1, 5, 6, 10, 11, 30])]
    report = protein_leakage(write(tmp_path / "p.h5", [[*CENTRES, CENTRES[0]], valid, ["Y" * 40]]))
    assert report["duplicates_in_train"] == 1
    assert report["valid"] == {
        "proteins": 8,
        "identical_in_train": 2,
        "compared": 8,
        "sampled": False,
        "within_0.9": 4 / 8,
        "within_0.8": 6 / 8,
    }
    assert report["test"]["within_0.8"] == 0


def test_nothing_is_shared_by_a_split_that_is_apart(tmp_path):
    report = protein_leakage(write(tmp_path / "p.h5", [CENTRES[:20], CENTRES[20:], []]))
    assert (report["valid"]["identical_in_train"], report["valid"]["within_0.8"]) == (0, 0)
    assert report["test"] == {"proteins": 0, "identical_in_train": 0, "compared": 0, "sampled": False}


def test_a_file_without_a_training_set(tmp_path):
    assert protein_leakage(write(tmp_path / "p.h5", [[], CENTRES[:3], []]))["valid"]["within_0.8"] == 0


def test_a_large_split_is_sampled_and_says_so(tmp_path):
    path = write(tmp_path / "p.h5", [CENTRES, [changed(centre, 2) for centre in CENTRES], []])
    report = protein_leakage(path, sample=10)["valid"]
    assert (report["proteins"], report["compared"], report["sampled"]) == (30, 10, True)
    assert report["within_0.9"] == 1
    assert protein_leakage(path, seed=1, sample=10) == protein_leakage(path, seed=1, sample=10)


def write_segments(path, segments):
    with signal_writer(path, "medmad", 4000.0, "truth") as writer:
        for read, code, reference, start, end in segments:
            n = end - start
            writer.add(read, np.zeros(n), np.ones(n, int), np.arange(n), code, reference, start, end, "+")
    return path


def test_shared_reference_and_reads_are_counted(tmp_path):
    segments = [("a", 0, "chr1", 0, 100), ("b", 0, "chr1", 90, 150), ("c", 0, "chr2", 0, 50)]
    segments += [("a", 1, "chr1", 140, 200), ("d", 1, "chr1", 190, 240), ("e", 1, "chr2", 0, 20)]
    report = signal_leakage(write_segments(tmp_path / "s.h5", segments))
    assert report["valid"] == {
        "segments": 3,
        "reads_in_train": 1,
        "reference_bases": 120,
        "covered_by_train": pytest.approx(30 / 120),
    }
    assert report["test"] == {"segments": 0, "reads_in_train": 0, "reference_bases": 0, "covered_by_train": None}


def test_a_split_by_place_shares_nothing(tmp_path):
    segments = [("a", 0, "chr1", 50, 100), ("a", 1, "chr1", 0, 50)]
    assert signal_leakage(write_segments(tmp_path / "s.h5", segments))["valid"]["covered_by_train"] == 0
