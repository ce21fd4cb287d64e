"""Sequences with labels, values or segments -> a prepared file of tags."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from biorrn.base.errors import BiorrnError, ConfigError, InputError
from biorrn.sequences.alphabets import DNA, NO_STATE, THREE, parse_states, sequence
from biorrn.sequences.prepared.summary import account, lines
from biorrn.sequences.splits import Reference, Region
from biorrn.tagging.prepare import TagFile, TagInput, parse_tag_split, prepare_tags, tag_writer
from biorrn.tagging.readers import TagRow, cut_windows

SEQUENCES = ">a\nMKVA\n>b\nACDX\n>c\nWYWY\n"
LABELS = ">c SET=test\nCCCC\n>a SET=train VALIDATION=False\nHHEC\n>b SET=train VALIDATION=True\nEEEE\n"
MASK = ">a\n0111\n>b\n1111\n>c\n0110\n"
TABLE = 'id,sequence,labels,x,y,set\na,MKVA,HG-B,"1,2,,nan","0,0,1,1",train\nb,AC,CC,"3,4","1,1",valid\n'


def swapped(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new)


def files(folder: Path, **texts: str) -> dict[str, Path]:
    """Write files named as the keys, and return their paths."""
    for name, text in texts.items():
        (folder / name.replace("_", ".")).write_text(text)
    return {name: folder / name.replace("_", ".") for name in texts}


def run(folder: Path, source: Any, split: str = "header:SET", **options: Any) -> tuple[TagFile, dict[str, Any]]:
    window = {key: options.pop(key) for key in ("window", "overlap") if key in options}
    given = TagInput(source, **{"states": THREE, **options})
    content = prepare_tags(given, folder / "out.h5", parse_tag_split(split), note="made up", **window)
    return TagFile(folder / "out.h5"), content


def test_labels_are_joined_by_id_and_masked(tmp_path: Path) -> None:
    paths = files(tmp_path, s_fa=SEQUENCES, l_fa=LABELS, m_fa=MASK)
    found, content = run(tmp_path, paths["s_fa"], labels=paths["l_fa"], mask=paths["m_fa"])
    with found as file:
        assert file.strings("id") == ["a", "b", "c"]
        assert [sequence(file.tokens(row)) for row in range(3)] == ["MKVA", "ACDX", "WYWY"]
        assert [file.labels(row).tolist() for row in range(3)] == [[255, 0, 1, 2], [1] * 4, [255, 2, 2, 255]]
        assert file.file["split"][:].tolist() == [0, 1, 2]
        assert file.tags == {
            "name": "secondary structure", "states": "HEC", "names": ["helix", "strand", "coil"]
        }  # fmt: skip
        assert set(file.sources) == {str(path) for path in paths.values()}
        assert file.targets == []
    assert content["counts"] == {"kept": 3}
    assert content["splits"]["test"]["labelled"] == 2
    assert content["states"]["train"] == pytest.approx({"H": 1 / 3, "E": 1 / 3, "C": 1 / 3})
    assert content["leakage"]["valid"]["proteins"] == 1
    json.dumps(content, allow_nan=False)
    assert any("train: 1 sequence, 4 residues" in line for line in lines(content))


def test_an_archive_of_flip_gives_the_same(tmp_path: Path) -> None:
    paths = files(tmp_path, s_fa=SEQUENCES, l_fa=LABELS, m_fa=MASK)
    folder = tmp_path / "splits"
    folder.mkdir()
    for name, path in zip(("sequences", "sampled", "mask"), paths.values(), strict=True):
        (folder / f"{name}.fasta").write_text(path.read_text())
    one, _ = run(tmp_path, paths["s_fa"], labels=paths["l_fa"], mask=paths["m_fa"])
    with one as file:
        kept = {name: file.file[name][:] for name in ("tokens", "labels", "offsets", "split")}
    other, _ = run(tmp_path, folder)
    with other as file:
        assert all(np.array_equal(values, file.file[name][:]) for name, values in kept.items())


def test_a_table_of_labels_and_one_of_values(tmp_path: Path) -> None:
    path = files(tmp_path, t_csv=TABLE)["t_csv"]
    with run(tmp_path, path, "column:set")[0] as file:
        assert [file.labels(row).tolist() for row in range(2)] == [[0, 0, 2, 1], [2, 2]]
        assert file.file["split"][:].tolist() == [0, 1]
    found, content = run(tmp_path, path, "column:set", values=["x", "y"])
    with found as file:
        assert np.array_equal(file.labels(0)[:, 0], np.float32([1, 2, np.nan, np.nan]), equal_nan=True)
        assert [one["name"] for one in file.targets] == ["x", "y"]
        assert file.tags is None
    assert content["targets"]["x"]["statistics"]["train"]["missing"] == 2


def test_splits_from_a_file_and_by_chance(tmp_path: Path) -> None:
    split = "id\tsplit\na\ttest\nb\ttrain\nc\tval\n"
    paths = files(tmp_path, s_fa=SEQUENCES, l_fa=LABELS, split_tsv=split)
    with run(tmp_path, paths["s_fa"], f"file:{paths['split_tsv']}", labels=paths["l_fa"])[0] as file:
        assert file.file["split"][:].tolist() == [2, 0, 1]
    with run(tmp_path, paths["s_fa"], "random:0.34,0.33,0.33", labels=paths["l_fa"])[0] as file:
        assert sorted(file.file["split"][:].tolist()) == [0, 1, 2]


def test_what_teaches_nothing_is_counted(tmp_path: Path) -> None:
    more = {"s_fa": ">d\nXXXX\n", "l_fa": ">d SET=train\nHHHH\n", "m_fa": ">d\n1111\n"}
    given = {"s_fa": SEQUENCES, "l_fa": LABELS, "m_fa": swapped(MASK, "0110", "0000")}
    paths = files(tmp_path, **{name: text + more[name] for name, text in given.items()})
    _, content = run(tmp_path, paths["s_fa"], labels=paths["l_fa"], mask=paths["m_fa"])
    assert content["counts"] == {"kept": 2, "dropped: no label": 1, "dropped: no known residue": 1}


def test_segments_of_dna(tmp_path: Path) -> None:
    bed = "chr1\t2\t5\tgene\nchr1\t4\t6\tgene\nchr2\t0\t1\ttRNA\n"
    paths = files(tmp_path, g_fa=">chr1 x\nACGTN\nacgta\n>chr2\nAAAA\n", g_bed=bed)
    found, content = run(tmp_path, paths["g_fa"], "random:0.5,0.5,0", bed=paths["g_bed"], alphabet="dna")
    with found as file:
        assert file.alphabet == DNA
        assert file.tokens(0).tolist() == [1, 2, 3, 4, 5, 1, 2, 3, 4, 1]
        assert file.labels(0).tolist() == [0, 0, 1, 1, 1, 1, 0, 0, 0, 0]
        assert file.tags == {"name": "segment", "states": "NGT", "names": ["none", "gene", "tRNA"]}
    assert content["leakage"]["valid"]["compared"] == 0


@pytest.mark.parametrize(("length", "overlap"), [(100, 8), (101, 9), (41, 0), (40, 8), (47, 39)])
def test_windows_label_every_base_once_and_regions_keep_apart(length: int, overlap: int) -> None:
    size = 40
    row = TagRow("c", np.arange(length).astype(np.uint8), np.arange(length).astype(np.uint8))
    regions = Reference((Region("c", length // 2, length, 1),))
    for wanted in (None, regions):
        windows = list(cut_windows(row, size, overlap, wanted))
        known = np.concatenate([one.tags[one.tags != NO_STATE] for one in windows])
        assert np.array_equal(np.sort(known), np.arange(length))
        assert all(len(one.tokens) == len(one.tags) <= size for one in windows)
        assert len({one.id for one in windows}) == len(windows)
        if wanted is not None:
            assert all((one.tokens < length // 2).all() == (one.split == 0) for one in windows)
            assert all((one.tokens >= length // 2).all() == (one.split == 1) for one in windows)


def test_windows_of_a_sequence_are_in_one_split(tmp_path: Path) -> None:
    fasta = "".join(f">c{row}\n{'ACGT' * 30}\n" for row in range(6))
    table = "id,split\n" + "".join(f"c{row},{'valid' if row % 2 else 'train'}\n" for row in range(6))
    paths = files(tmp_path, g_fa=fasta, g_bed="c0\t0\t9\tgene\n", s_csv=table)
    for split in ("random:0.5,0.5,0", f"file:{paths['s_csv']}"):
        found, _ = run(tmp_path, paths["g_fa"], split, bed=paths["g_bed"], alphabet="dna", window=50, overlap=4)
        with found as file:
            splits: dict[str, set[int]] = {}
            for name, code in zip(file.strings("id"), file.file["split"][:], strict=True):
                splits.setdefault(name.split(":")[0], set()).add(int(code))
        assert sorted(map(len, splits.values())) == [1] * 6


def test_a_row_that_fits_stays_whole() -> None:
    row = TagRow("c", np.ones(40, np.uint8), np.zeros((40, 2), np.float32))
    assert [(one.id, one.tags.shape) for one in cut_windows(row, 40, 8)] == [("c", (40, 2))]


@pytest.mark.parametrize(
    ("texts", "problem"),
    [
        ({"l_fa": swapped(LABELS, "HHEC", "HHE")}, r"l.fa: record 'a': found 3 labels; the sequence in .*s.fa has 4"),
        ({"l_fa": swapped(LABELS, "HHEC", "HHEZ")}, r"l.fa: record 'a': label 'Z' at position 4"),
        ({"l_fa": swapped(LABELS, ">b", ">d")}, r"l.fa: record 'b': has no labels of this sequence"),
        ({"s_fa": swapped(SEQUENCES, ">b\nACDX\n", "")}, r"l.fa: record 'b': is of no sequence in .*s.fa"),
        ({"m_fa": swapped(MASK, ">b\n1111\n", "")}, r"m.fa: record 'b': has no mask"),
        ({"m_fa": swapped(MASK, "0110", "0112")}, r"m.fa: record 'c': found '2'; allowed in a mask are 0 and 1"),
        ({"m_fa": swapped(MASK, "0110", "011")}, r"m.fa: record 'c': found 3 letters"),
        ({"s_fa": swapped(SEQUENCES, "MKVA", "MK-V")}, r"s.fa: record 'a': found '-' at position 3"),
        ({"s_fa": swapped(SEQUENCES, "MKVA", "MK7A")}, r"s.fa: record 'a': residue '7' at position 3"),
        (
            {"l_fa": swapped(LABELS, "SET=test", "SET=tset")},
            r"record 'c': SET: found 'SET=tset'; allowed is train",
        ),
        ({"l_fa": swapped(LABELS, " SET=test", "")}, r"l.fa: record 'c': SET: found ''; allowed is train"),
    ],
)
def test_what_does_not_fit_names_file_and_record(tmp_path: Path, texts: dict[str, str], problem: str) -> None:
    paths = files(tmp_path, **{"s_fa": SEQUENCES, "l_fa": LABELS, "m_fa": MASK} | texts)
    with pytest.raises(InputError, match=problem):
        run(tmp_path, paths["s_fa"], labels=paths["l_fa"], mask=paths["m_fa"])
    assert not list(tmp_path.glob("*.h5"))


@pytest.mark.parametrize(
    ("table", "options", "problem"),
    [
        (
            swapped(TABLE, '"3,4"', '"3,4,5"'),
            {"values": ["x"]},
            r"record 'b': column 'x': found 3 values for 2",
        ),
        (swapped(TABLE, '"3,4"', '"3,high"'), {"values": ["x"]}, r"record 'b': column 'x': found 'high' at position 2"),
        (swapped(TABLE, "CC", "CCC"), {}, r"record 'b': found 3 labels"),
        (swapped(TABLE, "b,AC", "a,AC"), {}, r"record 'a': row 2: the id is given twice"),
        (swapped(TABLE, "valid", "held"), {}, r"record 'b': set: found 'held'; allowed is train"),
        (TABLE, {"label_column": "lables"}, r"column 'lables' is missing; did you mean 'labels'"),
    ],
)
def test_tables_that_do_not_fit(tmp_path: Path, table: str, options: dict[str, Any], problem: str) -> None:
    path = files(tmp_path, t_csv=table)["t_csv"]
    with pytest.raises(InputError, match=problem):
        run(tmp_path, path, "column:set", **options)


@pytest.mark.parametrize(
    ("bed", "problem"),
    [
        ("chr1\t0\t99\tgene\n", "record 'chr1': line 1: ends at 99; the sequence has 8"),
        ("chr1\t0\t4\tgene\nchr1\t3\t6\ttRNA\n", "record 'chr1': line 2: 'tRNA' overlaps"),
        ("chr9\t0\t4\tgene\n", "record 'chr9': the segments are of no sequence"),
        ("chr1\t0\t4\tnone\n", "names no segment but 'none'"),
    ],
)
def test_segments_that_do_not_fit(tmp_path: Path, bed: str, problem: str) -> None:
    paths = files(tmp_path, g_fa=">chr1\nACGTACGT\n", g_bed=bed)
    with pytest.raises(InputError, match=problem):
        run(tmp_path, paths["g_fa"], "random:1,0,0", bed=paths["g_bed"], alphabet="dna")


@pytest.mark.parametrize(
    ("source", "split", "options", "problem"),
    [
        ("s_fa", "header:SET", {}, "name them with --labels or --bed"),
        ("s_fa", "column:set", {"labels": "l_fa"}, "needs a table"),
        ("t_csv", "column:set", {"labels": "l_fa"}, "--labels: does not go with"),
        ("s_fa", "header:SET", {"labels": "l_fa", "values": ["x"]}, "--value: does not go with"),
        ("s_fa", "header:SET", {"labels": "l_fa", "bed": "l_fa"}, "allowed is one of them"),
        ("s_fa", "cluster:0.5", {"labels": "l_fa", "alphabet": "dna"}, "--split cluster: is for proteins"),
        ("s_fa", "header:SET", {"labels": "l_fa", "alphabet": "rna"}, "--alphabet 'rna' is unknown"),
        ("s_fa", "header:SET", {"labels": "l_fa", "overlap": 3}, "for sequences cut with --window"),
        ("s_fa", "header:SET", {"labels": "l_fa", "window": 40, "overlap": 40}, "--overlap: found 40"),
    ],
)
def test_options_that_do_not_fit(
    tmp_path: Path, source: str, split: str, options: dict[str, Any], problem: str
) -> None:
    paths = files(tmp_path, s_fa=SEQUENCES, l_fa=LABELS, t_csv=TABLE)
    options = {key: paths.get(value, value) if isinstance(value, str) else value for key, value in options.items()}
    with pytest.raises(ConfigError, match=problem):
        run(tmp_path, paths[source], split, **options)


@pytest.mark.parametrize("split", ["header", "file:", "colum:set", "cluster:9"])
def test_splits_that_do_not_exist(split: str) -> None:
    with pytest.raises(BiorrnError, match="--split"):
        parse_tag_split(split)


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda file: file["labels"].__setitem__(0, 7), "labels: found 7; allowed is 0 to 2"),
        (lambda file: file["tokens"].__setitem__(0, 77), "tokens: found 2 to 77"),
        (lambda file: file["labels"].resize(2, axis=0), "labels has 2 entries for 3 residues"),
        (lambda file: file.__delitem__("labels"), "labels and the attribute tags do not go together"),
        (lambda file: file.attrs.__setitem__("tags", '{"states": 3}'), "does not name the states"),
        (lambda file: file.attrs.__delitem__("alphabet"), "alphabet missing"),
    ],
)
def test_a_damaged_file_is_one_error(tmp_path: Path, damage: Any, problem: str) -> None:
    path = tmp_path / "t.h5"
    with tag_writer(path, DNA, parse_states("3")) as writer:
        writer.add("a", np.uint8([1, 2, 3]), np.uint8([0, 1, 255]))
    assert account(path, {})["splits"]["train"]["labelled"] == 2
    with h5py.File(path, "a") as file:
        damage(file)
    with pytest.raises(InputError, match=problem):
        TagFile(path)


def test_the_real_set_has_its_published_sizes(tmp_path: Path, shared_data: Path) -> None:
    path = shared_data / "protein" / "secondary_structure" / "splits.zip"
    if not path.is_file():
        pytest.skip("the secondary-structure splits are not there")
    found, _ = run(tmp_path, path)
    with found as file:
        codes, labels = file.file["split"][:], file.file["labels"][:]
        assert np.bincount(codes).tolist() == [9712, 1080, 364]
        lengths = np.diff(file.file["offsets"][:])
    assert [int(lengths[codes == code].sum()) for code in range(3)] == [2_479_773, 280_780, 84_541]
    assert set(np.unique(labels)) == {0, 1, 2, NO_STATE}
