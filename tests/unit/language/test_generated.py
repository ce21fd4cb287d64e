"""Evaluation of generated sequences: novelty, longest match, composition."""

import gzip
import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biorrn.base.errors import ConfigError, InputError
from biorrn.language.generate import Generated
from biorrn.language.generated import (
    Batch,
    check_threshold,
    compare,
    composition,
    ks_distance,
    lines,
    longest_matches,
    read_training_set,
    sample,
    save_figure,
    similarity,
    total_variation,
    write_fasta,
    write_summary,
    write_table,
)
from biorrn.sequences.alphabets import DNA, RESIDUES, tokens
from biorrn.sequences.prepared.files import protein_writer
from biorrn.sequences.sequence_set import SequenceSet, as_set, read_set

STANDARD = RESIDUES[:-1]
RNG = np.random.default_rng(0)
TRAINING = ["".join(RNG.choice(list(STANDARD), 60)) for _ in range(50)]
NEW = "".join(RNG.choice(list(STANDARD), 60))
CHANGED = "".join("A" if place % 6 == 5 and letter != "A" else letter for place, letter in enumerate(TRAINING[7]))


def sequences(texts: list[str]) -> SequenceSet:
    return as_set([f"t{number}" for number in range(len(texts))], texts, RESIDUES)


def made(*texts: str) -> list[Generated]:
    return [Generated(number, text, -2.5, True) for number, text in enumerate(texts, 1)]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("generated") / "p.h5"
    with protein_writer(path, []) as writer:
        for number, text in enumerate(TRAINING):
            writer.add(f"t{number}", tokens(text), [], split=int(number >= 40))
    return path


def test_a_copy_is_found_and_a_new_sequence_is_none() -> None:
    found = similarity(sequences([TRAINING[3], CHANGED, NEW, TRAINING[9][10:40]]), sequences(TRAINING), RESIDUES)
    assert found.match[[0, 3]].tolist() == [60, 30]
    assert found.match_row[[0, 3]].tolist() == [3, 9]
    assert found.nearest_row[[0, 1]].tolist() == [3, 7]
    assert found.identity[0] == 1
    edits = sum(a != b for a, b in zip(CHANGED, TRAINING[7], strict=True))
    assert found.identity[1] == pytest.approx(1 - edits / 60)
    assert found.match[2] < 6
    # the piece is all in one training sequence: a copy, though half of that sequence is missing
    assert found.copies().tolist() == [True, False, False, True]
    assert found.copies(1 - edits / 60).tolist() == [True, True, False, True]


def test_a_short_stretch_is_shared_by_chance() -> None:
    found = similarity(sequences([TRAINING[0][:14], TRAINING[0][:15]]), sequences(TRAINING), RESIDUES)
    assert found.match.tolist() == [14, 15]
    assert found.copies().tolist() == [False, True]


def test_dropping_copies_keeps_the_rest_as_they_were() -> None:
    from biorrn.language.generated import TrainingSet

    batch = compare(made(TRAINING[3], NEW, CHANGED), RESIDUES, TrainingSet(sequences(TRAINING), None), drop=0.9)
    assert [one.number for one in batch.made] == [2, 3]
    assert batch.dropped == 1
    assert batch.found is not None
    assert batch.found.lengths.tolist() == [60, 60]
    assert batch.summary["generated"]["sequences"] == 3
    assert batch.summary["generated"]["copies"] == pytest.approx(1 / 3)


def test_distances_of_distributions() -> None:
    a, b = sequences(["AAAC"]), sequences(["AACC", "XX"])
    assert composition(a, RESIDUES)[:2].tolist() == [0.75, 0.25]
    assert total_variation(composition(a, RESIDUES), composition(b, RESIDUES)) == 0.25  # X is left out
    assert total_variation(composition(a, RESIDUES), composition(a, RESIDUES)) == 0
    assert ks_distance(np.array([5, 5]), np.array([5])) == 0
    assert ks_distance(np.array([5]), np.array([9, 9])) == 1
    assert ks_distance(np.array([], int), np.array([9])) == 1


def test_a_sample_is_part_of_the_set() -> None:
    whole = sequences(TRAINING)
    part = sample(whole, 7, 1)
    assert len(part) == 7
    assert len(sample(whole, 99, 1)) == 50
    for name, start, end in zip(part.ids, part.offsets[:-1], part.offsets[1:], strict=True):
        assert np.array_equal(part.tokens[start:end], tokens(TRAINING[int(name[1:])]))


def test_the_training_split_is_compared_and_the_held_out_one_beside_it(prepared: Path) -> None:
    against = read_training_set(prepared, RESIDUES)
    assert against is not None
    assert against.held_out is not None
    assert (len(against.training), len(against.held_out)) == (40, 10)
    batch = compare(made(TRAINING[3], NEW, NEW, TRAINING[45]), RESIDUES, against)
    own, held = batch.summary["generated"], batch.summary["held_out"]
    assert (own["copies"], own["duplicates"], own["ended"], held["copies"]) == (0.25, 0.25, 1.0, 0.0)
    assert own["match_most"] == 60
    assert held["sequences"] == 4
    assert own["log_likelihood"] == -2.5
    said = lines(batch.summary)
    assert len(said) == 3
    assert "copies 25.0 %" in said[1]


def test_nothing_to_compare_with() -> None:
    batch = compare([Generated(1, "MKV", math.nan, False)], RESIDUES, read_training_set(None, RESIDUES))
    assert batch.found is None
    assert "copies" not in batch.summary["generated"]
    assert len(lines(batch.summary)) == 1


@pytest.fixture
def batch(prepared: Path) -> Batch:
    return compare(made(TRAINING[3], NEW), RESIDUES, read_training_set(prepared, RESIDUES))


def test_files(batch: Batch, tmp_path: Path) -> None:
    write_fasta(tmp_path / "a.fasta.gz", batch)
    text = gzip.decompress((tmp_path / "a.fasta.gz").read_bytes()).decode().splitlines()
    assert text[0] == (
        ">generated_1 length=60 log_likelihood=-2.5000 end=yes longest_match=60:t3 identity=1.000:t3 copy=yes"
    )
    assert text[1] == TRAINING[3]
    assert text[2].endswith("copy=no")
    assert read_set(tmp_path / "a.fasta.gz", RESIDUES).lengths.tolist() == [60, 60]
    write_table(tmp_path / "a.tsv", batch)
    rows = [row.split("\t") for row in (tmp_path / "a.tsv").read_text().splitlines()]
    first = dict(zip(rows[0], rows[1], strict=True))
    assert (first["id"], first["identity"], first["copy"], first["sequence"]) == (
        "generated_1",
        "1",
        "yes",
        TRAINING[3],
    )
    write_summary(tmp_path / "a.json", batch, "runs/lm", None, 5)
    content = json.loads((tmp_path / "a.json").read_text())
    assert content["kind"] == "generated"
    assert sum(content["generated"]["composition"].values()) == pytest.approx(1)
    for name in ("a.svg", "a.png"):
        save_figure(tmp_path / name, batch.summary)
        assert (tmp_path / name).stat().st_size > 5000


def test_nucleotides_are_read_as_such(tmp_path: Path) -> None:
    (tmp_path / "g.fa").write_text(">a\nACGTN\n>b\nacg\n")
    found = read_set(tmp_path / "g.fa", DNA)
    assert found.tokens.tolist() == [1, 2, 3, 4, 5, 1, 2, 3]
    assert found.ids == ["a", "b"]


@pytest.mark.parametrize(("alphabet", "text"), [(RESIDUES, "MKV"), (DNA, "ACG")])
def test_standard_input(alphabet: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(f">a\n{text}\n".encode())))
    found = read_set("-", alphabet)
    assert (found.ids, "".join(alphabet[token - 1] for token in found.tokens)) == (["a"], text)


def test_tables(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,sequence\na,MKV\nb,MX\n")
    assert read_set(tmp_path / "t.csv", RESIDUES).ids == ["a", "b"]


@pytest.mark.parametrize(
    ("identity", "against", "fault"),
    [(0.3, "x", "found 0.3"), (1.1, "x", "found 1.1"), (0.9, None, "needs --against")],
)
def test_thresholds_out_of_range(identity: float, against: str | None, fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        check_threshold(identity, against)


def test_what_cannot_be_compared_with(prepared: Path, tmp_path: Path, batch: Batch) -> None:
    with pytest.raises(InputError, match="the model has ACGTN"):
        read_training_set(prepared, DNA)
    with pytest.raises(InputError, match="holds no sequence in split test"):
        read_set(prepared, RESIDUES, "test")
    with pytest.raises(ConfigError, match=r"ends in \.svg or \.png"):
        save_figure(tmp_path / "a.pdf", batch.summary)


proteins = st.lists(st.text(alphabet="ACD", max_size=12), max_size=5)


def flat(sequences: list[str]) -> tuple[np.ndarray, np.ndarray]:
    offsets = np.concatenate([[0], np.cumsum([len(text) for text in sequences])]).astype(np.int64)
    return tokens("".join(sequences)), offsets


def brute(query: str, others: list[str]) -> int:
    pieces = {query[a:b] for a in range(len(query)) for b in range(a + 1, len(query) + 1)}
    return max((len(piece) for piece in pieces if any(piece in other for other in others)), default=0)


@given(proteins, proteins)
def test_it_is_that_of_brute_force(queries: list[str], others: list[str]) -> None:
    lengths, found, ends = longest_matches(*flat(queries), *flat(others))
    assert lengths.tolist() == [brute(query, others) for query in queries]
    for query, length, where, end in zip(queries, lengths, found, ends, strict=True):
        assert (where >= 0) == (length > 0)
        if length:
            assert query[end - length : end] in others[where]


def test_long_sequences_with_a_copied_part() -> None:
    rng = np.random.default_rng(3)
    others = ["".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), 300)) for _ in range(200)]
    queries = ["".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), 100)) for _ in range(20)]
    queries[7] = queries[7][:30] + others[123][40:81] + queries[7][71:]
    lengths, found, ends = longest_matches(*flat(queries), *flat(others))
    assert lengths[7] >= 41
    assert found[7] == 123
    assert 71 <= ends[7] <= 74  # chance may lengthen it
    assert all(lengths[i] == brute(queries[i], others) for i in (0, 7, 19))
    assert max(np.delete(lengths, 7)) < 12
