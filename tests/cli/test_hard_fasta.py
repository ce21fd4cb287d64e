"""Unusual FASTA files: each record is predicted, flagged, or refused with a reason."""

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

Run = Callable[..., tuple[int, str, str]]
PROTEIN = "MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQ"  # 33 residues


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an untrained model of one small GRU layer."""
    import torch

    from biorrn.config.recipe import parse_recipe
    from biorrn.nn.sequence import build_model
    from biorrn.nn.store import save_model

    folder = tmp_path_factory.mktemp("hard")
    torch.manual_seed(0)
    core = {"hidden": 8, "layers": 1}
    model = {"frontend": {"name": "onehot"}, "core": core, "pool": ["max"], "head": {"name": "regression", "hidden": 8}}
    recipe = parse_recipe({"name": "hard", "task": "regression", "model": model})
    facts = {"task": "regression", "outputs": 1, "targets": [{"name": "y", "unit": ""}], "max_length": 2000}
    save_model(folder, build_model(recipe.model, 1), recipe, facts)
    return folder


@pytest.fixture
def rows(biorrn: Run, model: Path, tmp_path: Path) -> Callable[..., dict[str, list[str]]]:
    """Return a function that predicts the bytes of a file and returns the cells of each row by id."""

    def run(content: bytes, *options: object) -> dict[str, list[str]]:
        (tmp_path / "a.fasta").write_bytes(content)
        code, out, err = biorrn("predict", model, tmp_path / "a.fasta", "--device", "cpu", "--threads", 2, *options)
        assert code == 0, err
        header, *lines = (line.split("\t") for line in out.splitlines())
        assert header == ["id", "length", "y", "flags"]
        assert all(np.isfinite(float(line[2])) for line in lines)
        return {line[0]: line[1:] for line in lines}

    return run


def fasta(*sequences: str) -> bytes:
    return "".join(f">p{number}\n{sequence}\n" for number, sequence in enumerate(sequences)).encode()


@pytest.mark.parametrize(
    ("sequence", "same_as", "flags"),
    [
        ("M", "M", "."),
        (PROTEIN.lower(), PROTEIN, "."),
        (PROTEIN[:9] + "\n" + PROTEIN[9:], PROTEIN, "."),
        (PROTEIN + "*", PROTEIN, "."),
        (PROTEIN[:5] + "--" + PROTEIN[5:] + ".", PROTEIN, "."),
        ("MKU" + PROTEIN, "MKX" + PROTEIN, "unknown_residues"),
        ("MKO" + PROTEIN, "MKX" + PROTEIN, "unknown_residues"),
        ("BZJ" + PROTEIN, "XXX" + PROTEIN, "unknown_residues"),
        ("mkx" + PROTEIN, "MKX" + PROTEIN, "unknown_residues"),
        ("X" * 40, "X" * 40, "unknown_residues"),
    ],
)
def test_letters(rows: Callable[..., dict], sequence: str, same_as: str, flags: str) -> None:
    found = rows(fasta(sequence, same_as, PROTEIN))
    assert found["p0"] == found["p1"] == [str(len(same_as)), found["p1"][1], flags]


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.replace(b"\n", b"\r\n"),
        lambda content: content.rstrip(b"\n"),
        lambda content: b"\n\n" + content.replace(b">p1", b"\n>p1"),
        lambda content: b"\xef\xbb\xbf" + content,
        gzip.compress,
    ],
    ids=["CRLF", "no final newline", "blank lines", "byte order mark", "gzip"],
)
def test_the_same_proteins_written_otherwise(rows: Callable[..., dict], change: Callable[[bytes], bytes]) -> None:
    plain = fasta(PROTEIN, PROTEIN[::-1], "M")
    assert rows(change(plain)) == rows(plain)


def test_one_and_35000_residues(rows: Callable[..., dict]) -> None:
    found = rows(fasta("W", "MKVLA" * 7000, PROTEIN))
    assert [cells[0] for cells in found.values()] == ["1", "35000", "33"]
    assert [cells[2] for cells in found.values()] == [".", "longer_than_training", "."]
    assert found["p2"] == rows(fasta(PROTEIN))["p0"]


def test_sequences_given_twice_get_one_value(rows: Callable[..., dict]) -> None:
    found = rows(fasta(PROTEIN, "MKV", PROTEIN, "W" * 60, PROTEIN))
    assert found["p0"] == found["p2"] == found["p4"]


def test_an_id_given_twice_is_predicted_twice_and_counted(biorrn: Run, model: Path, tmp_path: Path) -> None:
    (tmp_path / "a.fasta").write_text(">a\nMKV\n>b\nMKL\n>a\nMKW\n")
    code, out, err = biorrn("predict", model, tmp_path / "a.fasta")
    assert code == 0
    rows = [line.split("\t") for line in out.splitlines()[1:]]
    assert [row[0] for row in rows] == ["a", "b", "a"]
    assert rows[0][2] != rows[2][2]
    assert [row[-1] for row in rows] == [".", ".", "id_given_before"]
    assert "id_given_before: 1" in err.splitlines()[-1]
    assert "warning: 1 id was given before; each record is kept" in err
    code, _, err = biorrn("predict", model, tmp_path / "a.fasta", "--strict")
    assert code == 2
    assert "record 'a': the id is given twice, on lines 1 and 5" in err


REFUSED = {
    "empty file": (b"", "the file is empty; FASTA is a line of > and an id"),
    "only blank lines": (b"\n \n", "the file is empty"),
    "lines before the first header": (PROTEIN.encode() + b"\n>a\nMKV\n", "before the first header '>'"),
    "text": (b"Dear colleague, here is\nthe protein: MKV\n", "before the first header '>'"),
    "an empty record": (b">a\n>b\nMKV\n", "record 'a': the sequence is empty"),
    "an empty last record": (b">a\nMKV\n>b\n", "record 'b': the sequence is empty"),
    "nothing but gaps": (b">a\n--..\n", "record 'a': the sequence is empty"),
    "a stop codon inside": (b">a\nMK*VLA*\n", "record 'a': stop codon '*' at position 3; allowed is one at the end"),
    "a digit": (b">a\nMK7V\n", "record 'a': residue '7' at position 3"),
    "DNA": (fasta("ACGTTGCA" * 6), "record 'p0': looks like DNA or RNA: 100 %"),
    "DNA in lower case": (fasta("acgttgcan" * 6), "record 'p0': looks like DNA or RNA"),
    "RNA": (fasta("ACGUUGCA" * 6), "record 'p0': looks like DNA or RNA"),
    "short reads of DNA": (fasta(*["ACGTTGCATC"] * 5), "looks like DNA or RNA: 100 % of the 50 letters of the first 5"),
    "not text": (b">a\nMK\x00\xff\n", "not text"),
    "damaged gzip": (gzip.compress(fasta(*[PROTEIN] * 9))[:-9], "damaged gzip"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_one_line(biorrn: Run, model: Path, tmp_path: Path, name: str) -> None:
    content, message = REFUSED[name]
    (tmp_path / "a.fasta").write_bytes(content)
    code, out, err = biorrn("predict", model, tmp_path / "a.fasta", "--strict", "-o", tmp_path / "out.tsv")
    assert (code, out) == (2, "")
    assert err.startswith("biorrn: error: ")
    assert err.count("\n") == 1
    assert message in err
    assert not (tmp_path / "out.tsv").exists()


def test_bad_records_are_left_out_with_a_row(biorrn: Run, model: Path, tmp_path: Path) -> None:
    good = [f">good{number}\n{PROTEIN}\n" for number in range(3)]
    bad = {
        "empty": (">empty\n", "empty"),
        "gaps": (">gaps\n--..\n", "empty"),
        "stars": (">stars\n***\n", "empty"),
        "stop": (">stop\nMK*V\n", "stop_inside"),
        "digit": (">digit\nMK7\n", "not_a_residue"),
        "dna": (">dna\n" + "ACGT" * 20 + "\n", "nucleotides"),
        "words": (f">words\n{PROTEIN}\nMaybe I pasted a sentence\n", "text"),
        ".": (f">\n{PROTEIN}\n", "no_id"),
        "last": (">last", "empty"),
    }
    order = [good[0], *(text for text, _ in list(bad.values())[:-1]), *good[1:], bad["last"][0]]
    (tmp_path / "a.fasta").write_text("".join(order))
    code, out, err = biorrn("predict", model, tmp_path / "a.fasta")
    assert code == 0
    rows = {cells[0]: cells[1:] for cells in (line.split("\t") for line in out.splitlines()[1:])}
    assert list(rows) == ["good0", *list(bad)[:-1], "good1", "good2", "last"]
    assert rows["good0"] == rows["good1"] == rows["good2"]
    assert rows["good0"][2] == "."
    for name, (_, flag) in bad.items():
        assert rows[name] == ["", "", f"left_out,{flag}"]
        assert (f"record '{name}'" if name != "." else "a header without an id") in err
    assert "warning: 9 records were left out; with --strict the first ends the run" in err
    assert "skipped 9 (empty: 4, " in err.splitlines()[-1]


def test_a_file_without_a_usable_record_is_an_error_and_leaves_nothing(
    biorrn: Run, model: Path, tmp_path: Path
) -> None:
    (tmp_path / "a.fasta").write_text(">empty\n>stop\nMK*V\n")
    for output in ("-", tmp_path / "out.tsv"):
        code, out, err = biorrn("predict", model, tmp_path / "a.fasta", "-o", output)
        assert (code, out) == (2, "")
        last = err.splitlines()[-1]
        assert last.endswith("contains no sequence that can be predicted; skipped 2 (empty: 1, stop_inside: 1)")
    assert not (tmp_path / "out.tsv").exists()


def test_an_empty_row_reads_as_missing(biorrn: Run, model: Path, tmp_path: Path) -> None:
    import pandas as pd

    (tmp_path / "a.fasta").write_text(f">a\n{PROTEIN}\n>b\nMK*V\n")
    readers = {".tsv": pd.read_table, ".csv": pd.read_csv, ".xlsx": pd.read_excel, ".parquet": pd.read_parquet}
    for suffix, read in readers.items():
        code, _, err = biorrn("predict", model, tmp_path / "a.fasta", "-o", tmp_path / f"out{suffix}")
        assert code == 0, err
        table = read(tmp_path / f"out{suffix}")
        assert table["y"].isna().tolist() == table["length"].isna().tolist() == [False, True]
        assert table["flags"].tolist() == [".", "left_out,stop_inside"]


@pytest.mark.parametrize("count", [3, 300])
def test_a_file_of_dna_is_one_line(biorrn: Run, model: Path, tmp_path: Path, count: int) -> None:
    (tmp_path / "a.fasta").write_bytes(fasta(*["ACGTTGCA" * 6] * count))
    code, out, err = biorrn("predict", model, tmp_path / "a.fasta")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "looks like DNA or RNA: 100 % of 48 letters are A, C, G, T, U or N; expected proteins; translate it" in err


def test_proteins_that_only_look_like_dna_for_a_while(rows: Callable[..., dict]) -> None:
    found = rows(fasta("GATTACA", "CATGAG", "AT" * 20, PROTEIN))  # short, or of two letters only
    assert len(found) == 4


def test_memory_does_not_grow_with_the_file(model: Path, tmp_path: Path) -> None:
    """Of some residues; benchmarks/bench_predict.py measures more, as a whole process."""
    import tracemalloc

    from biorrn.nn.store import load_model
    from biorrn.proteins.predict import predict
    from biorrn.sequences.rows import read_proteins

    stored = load_model(model)
    peaks = []
    for count in (600, 1_800):
        path = tmp_path / "many.fasta"
        with path.open("w") as stream:
            stream.writelines(f">p{number}\n{PROTEIN * 7}\n" for number in range(count))
        tracemalloc.start()
        assert sum(1 for _ in predict(stored, read_proteins(path), batch_size=8, threads=1)) == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]
