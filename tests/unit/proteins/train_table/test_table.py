"""Tables of measured proteins: columns, units, splits."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biorrn.base.errors import BiorrnError, ConfigError
from biorrn.proteins.train_table.table import (
    NO_SPLIT,
    Columns,
    distinct,
    lines,
    look,
    read_table,
    variant_limit,
)
from biorrn.sequences.alphabets import tokens
from biorrn.sequences.similarity import families
from biorrn.sequences.splits import FRACTIONS, fold_splits, group_folds, shares

WILD = "MKVLAAGIVGLCAKRTEDFYWHNQSP"


def table(path: Path, rows: list[str], header: str = "id,sequence,y") -> Path:
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def variants(number: int, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    rows = []
    for place in range(number):
        letters = list(WILD)
        letters[rng.integers(len(WILD))] = "ACDEFGHIKL"[rng.integers(10)]
        rows.append(f"v{place},{''.join(letters)},{rng.normal():.3f}")
    return rows


def unlike(number: int, low: int = 20, high: int = 60, seed: int = 1) -> list[str]:
    rng = np.random.default_rng(seed)
    letters = list("ACDEFGHIKLMNPQRSTVWY")
    return [f"p{i},{''.join(rng.choice(letters, rng.integers(low, high)))},{rng.normal():.3f}" for i in range(number)]


def test_rows_without_a_value_are_dropped_and_counted(tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", [*variants(20), "e1,MKV,", "x1,XXX,1.0"])
    read = read_table(Columns(str(path), ("y",)))
    assert len(read) == 20
    assert read.counts == {"dropped: no target value": 1, "dropped: no known residue": 1}
    assert (read.codes == NO_SPLIT).all()
    assert read.sequence(3).tolist() == read.tokens[read.offsets[3] : read.offsets[4]].tolist()


@pytest.mark.parametrize("name", ["sequence", "Seq", "protein_sequence", "AA_seq"])
def test_a_column_of_sequences_is_found_by_name(tmp_path: Path, name: str) -> None:
    path = table(tmp_path / "t.csv", variants(15), f"id,{name},y")
    assert len(read_table(Columns(str(path), ("y",)))) == 15


def test_fasta_is_joined_with_its_groups(tmp_path: Path) -> None:
    rows = [row.split(",") for row in variants(15)]
    (tmp_path / "a.fa").write_text("".join(f">{name}\n{text}\n" for name, text, _ in reversed(rows)))
    values = table(tmp_path / "v.csv", [f"{name},{y},g{i % 3}" for i, (name, _, y) in enumerate(rows)], "id,y,family")
    read = read_table(Columns(str(tmp_path / "a.fa"), ("y",), values=str(values), groups="family"))
    assert [row.id for row in read.rows] == [name for name, _, _ in reversed(rows)]
    assert read.groups is not None
    assert read.groups.tolist() == [i % 3 for i in reversed(range(15))]


@pytest.mark.parametrize(
    ("cells", "codes"),
    [
        (["train"] * 10 + ["test"] * 5, [0] * 10 + [2] * 5),
        (["train"] * 10 + ["val"] * 5, [0] * 10 + [1] * 5),
        (["train"] * 10 + ["other"] * 5, [NO_SPLIT] * 15),  # no split: the column is not used
        (["train"] * 15, [NO_SPLIT] * 15),
    ],
)
def test_a_column_named_set_is_used_where_it_says_a_split(tmp_path: Path, cells: list[str], codes: list[int]) -> None:
    rows = [f"{row},{cell}" for row, cell in zip(variants(15), cells, strict=True)]
    read = read_table(Columns(str(table(tmp_path / "t.csv", rows, "id,sequence,y,set")), ("y",)))
    assert read.codes.tolist() == codes


def test_a_validation_column_chooses_among_training_rows(tmp_path: Path) -> None:
    rows = [
        f"{row},{'train' if i < 10 else 'test'},{'True' if i in (1, 12) else ''}" for i, row in enumerate(variants(15))
    ]
    read = read_table(Columns(str(table(tmp_path / "t.csv", rows, "id,sequence,y,set,validation")), ("y",)))
    assert read.codes.tolist() == [0, 1] + [0] * 8 + [2] * 5


@pytest.mark.parametrize(
    ("rows", "columns", "message"),
    [
        (variants(15), {"targets": ()}, "--target: found none; name a column of numbers"),
        (variants(5), {}, "5 proteins with a value; expected at least 12"),
        ([f"c{i},{WILD},1.5" for i in range(20)], {}, "every value is 1.5"),
        ([f"c1,{WILD},x;y"], {}, "1 protein with a value; expected at least 12"),
        ([f"c{i},{WILD},x;y" for i in range(20)], {}, "every protein is 'x;y', which cannot be learned"),
        (variants(15), {"targets": (), "type": "number"}, "name a column of numbers of"),
        (variants(15), {"targets": ("z",)}, "column 'z' is missing"),
        (variants(15), {"split": "y"}, "allowed is train, valid, test"),
        (variants(15), {"groups": "family"}, "column 'family' is missing"),
    ],
)
def test_what_cannot_be_learned_is_refused(tmp_path: Path, rows: list[str], columns: dict, message: str) -> None:
    path = table(tmp_path / "t.csv", rows)
    with pytest.raises(BiorrnError, match=message):
        read_table(Columns(str(path), **{"targets": ("y",), **columns}))


@pytest.mark.parametrize(
    ("rows", "kind"), [(variants(60), "variants"), (unlike(40, 40, 45), "designs"), (unlike(40, 20, 90), "natural")]
)
def test_the_kind_of_data_is_seen(tmp_path: Path, rows: list[str], kind: str) -> None:
    read = read_table(Columns(str(table(tmp_path / "t.csv", rows)), ("y",)))
    seen = look(read, ("y",))
    assert seen.kind == kind
    assert (seen.reference == WILD) == (kind == "variants")
    assert seen.rows == len(read)
    assert any("y: " in line for line in lines(seen))


def test_one_deletion_is_still_a_variant(tmp_path: Path) -> None:
    rows = variants(30) + [f"d{i},{WILD[:i] + WILD[i + 1 :]},{i}" for i in range(len(WILD) - 1)]
    seen = look(read_table(Columns(str(table(tmp_path / "t.csv", rows)), ("y",))), ("y",))
    assert seen.kind == "variants"
    assert seen.variants == 1.0
    assert seen.most_edits == 1.0


def test_repeats_tell_the_noise_of_a_measurement(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [row for name, text, _ in (entry.split(",") for entry in unlike(400))
            for row in (f"{name}a,{text},{rng.normal(5, 0.5)}", f"{name}b,{text},{rng.normal(5, 0.5)}")]  # fmt: skip
    read = read_table(Columns(str(table(tmp_path / "t.csv", rows)), ("y",)))
    assert len(set(distinct(read).tolist())) == 400
    assert look(read, ("y",)).repeats == pytest.approx(0.5, rel=0.15)


def test_values_that_contradict_one_another_are_told(tmp_path: Path) -> None:
    rows = variants(20)
    again = [f"a{row}" for row in rows[:8]]
    again[3] = again[3].rpartition(",")[0] + ",25.0"
    read = read_table(Columns(str(table(tmp_path / "t.csv", [*rows, *again])), ("y",)))
    said = lines(look(read, ("y",)))
    assert said[-1].startswith("warning: y: 1 of 8 proteins that were measured several times have values that ")
    assert "worst v3 and av3: " in said[-1]
    assert "each row trains: repeats count as their mean" in said[0]


@pytest.mark.parametrize(("length", "limit"), [(4, 1), (20, 5), (100, 15), (286, 42)])
def test_a_short_protein_may_differ_by_few(length: int, limit: int) -> None:
    assert variant_limit(length) == limit


# -- tables as people have them: the same 20 variants, written in the habit of each ------------------------------------
def as_rows() -> list[list[str]]:
    return [row.split(",") for row in variants(20)]


def habit(separator: str = ",", header: str = "id,sequence,y", cell: Callable[[int, float], str] | None = None) -> str:
    """Return a table with another separator, header or way to write a number."""
    lines = [header.replace(",", separator)]
    for place, (name, text, value) in enumerate(as_rows()):
        lines.append(separator.join([name, text, value if cell is None else cell(place, float(value))]))
    return "\n".join(lines) + "\n"


def german(place: int, value: float) -> str:
    return f"{value:.3f}".replace(".", ",")


# kind -> the file as bytes, the factor from y to what is read, and what is said of it
HABITS: dict[str, tuple[bytes, float, str]] = {
    "semicolons and decimal commas": (habit(";", cell=german).encode(), 1, "decimal comma"),
    "UTF-16 and tabs": (habit("\t").encode("utf-16"), 1, "encoding UTF-16"),
    "Latin-1": (habit(header="id,sequence,y (\u00b0C)").encode("latin-1"), 1, "Windows-1252"),
    "thousands": (
        habit(cell=lambda place, value: f'"{10_000 + 1000 * value:,.0f}"').encode(),
        1000,
        "the comma marks thousands",
    ),
    "percent": (habit(cell=lambda place, value: f"{100 * value:.1f}%").encode(), 100, "the unit is that of the column"),
    "errors": (habit(cell=lambda place, value: f"{value} \u00b1 0.3").encode(), 1, "its error becomes a weight"),
    "unicode minus": (habit(cell=lambda place, value: f"{value}".replace("-", "\u2212")).encode(), 1, ""),
    "trailing empty columns": (habit().replace("\n", ",,\n").encode(), 1, ""),
    "capitals and a unit": (habit(header="Id,Sequence,Y (\u00b0C)").encode(), 1, "'Y (\u00b0C)' in the header"),
    "spaces in the header": (habit(header="id , sequence , y ").encode(), 1, ""),
}


@pytest.mark.parametrize("kind", HABITS)
def test_each_habit_is_read_and_said(kind: str, tmp_path: Path) -> None:
    content, factor, said = HABITS[kind]
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    read = read_table(Columns(str(path), ("y",)))
    wanted = np.array([float(row[2]) for row in as_rows()]) * factor + (10_000 if kind == "thousands" else 0)
    assert read.targets[:, 0] == pytest.approx(wanted, abs=0.06 if factor == 100 else 0.51 if factor == 1000 else 5e-4)
    assert said in "\n".join(read.reading.lines())
    assert read.reading.dropped == 0


def test_missing_words_and_bounds_and_one_odd_cell(tmp_path: Path) -> None:
    words = ["NaN", "n.d.", "#N/A", ">9", "<-9", "~0.5", "high"]
    text = habit(cell=lambda place, value: words[place] if place < len(words) else f"{value}")
    path = tmp_path / "t.csv"
    path.write_text(text)
    read = read_table(Columns(str(path), ("y",)))
    assert len(read) == 16  # without three missing and the odd one
    assert read.counts == {"dropped: row cannot be used": 1, "dropped: no target value": 3}
    assert [row.bounds for row in read.rows[:3]] == [((9.0, np.inf),), ((-np.inf, -9.0),), ()]
    assert np.isnan(read.targets[:2, 0]).all()
    assert read.rows[2].weight == 0.5
    without = read_table(Columns(str(path), ("y",), censored="drop"))
    assert len(without) == 14
    with pytest.raises(BiorrnError, match="row 7: column 'y': found 'high'"):
        read_table(Columns(str(path), ("y",), strict=True))


def test_groups_and_splits_keep_to_their_rows_where_others_are_left_out(tmp_path: Path) -> None:
    lines = [f"{row},{'train' if n % 2 else 'test'},g{n}" for n, row in enumerate(variants(20))]
    lines[3] = lines[3].replace("v3,", "v3,,,extra,")
    lines[6] = "v6,MK7V,1,test,g6"
    read = read_table(Columns(str(table(tmp_path / "t.csv", lines, "id,sequence,y,set,g")), ("y",), groups="g"))
    names = [row.id for row in read.rows]
    assert names == [f"v{n}" for n in range(20) if n not in (3, 6)]
    assert read.codes.tolist() == [0 if int(name[1:]) % 2 else 2 for name in names]
    assert read.groups is not None
    assert len(set(read.groups.tolist())) == 18


def test_the_real_cases_are_read(shared_data: Path) -> None:
    folder = shared_data.parent / "cases" / "tables"
    if not folder.is_dir():
        pytest.skip("no cases beside the real data")
    targets = {"06": "kcat", "13": "activity", "47": "ddg"}
    for path in sorted(folder.iterdir()):
        if path.name[:2] not in ("17", "19"):  # these hold variants in place of sequences
            read = read_table(Columns(str(path), (targets.get(path.name[:2], "tm"),)))
            assert len(read) >= 55, path.name
            assert read.reading.dropped == 0, path.name


GROUPS = st.lists(st.integers(0, 12), min_size=6, max_size=60).filter(lambda entry: len(set(entry)) >= 4)


@given(GROUPS, st.integers(0, 5))
def test_groups_are_whole_and_every_part_has_rows(numbers: list[int], seed: int) -> None:
    groups = np.array(numbers)
    codes = shares(groups, FRACTIONS, seed)
    assert set(codes.tolist()) == {0, 1, 2}
    assert all(len(set(codes[groups == number].tolist())) == 1 for number in set(numbers))
    assert (codes == shares(groups, FRACTIONS, seed)).all()


@given(GROUPS, st.integers(2, 4), st.integers(0, 3))
def test_every_row_is_tested_in_one_fold(numbers: list[int], number: int, seed: int) -> None:
    groups = np.array(numbers)
    tested = np.zeros(len(groups), int)
    if len(np.unique(groups)) < number or min(len(np.unique(groups[group_folds(groups, number, seed) != k]))
                                              for k in range(number)) < 2:  # fmt: skip
        with pytest.raises(ConfigError, match="--folds"):
            list(fold_splits(groups, number, seed))
        return
    for codes in fold_splits(groups, number, seed):
        tested += codes == 2
        assert set(codes.tolist()) == {0, 1, 2}
        for code in range(3):
            assert not set(groups[codes == code]) & set(groups[codes != code])
    assert (tested == 1).all()


def test_parts_are_near_what_is_asked() -> None:
    codes = shares(np.arange(1000), FRACTIONS, 0)
    assert np.bincount(codes).tolist() == [800, 100, 100]
    assert np.bincount(group_folds(np.arange(100), 5, 0)).tolist() == [20] * 5


def test_too_few_groups_are_refused() -> None:
    with pytest.raises(ConfigError, match="found 2 groups; expected at least 3"):
        shares(np.array([0, 0, 1, 1]), FRACTIONS, 0)
    with pytest.raises(ConfigError, match="--folds: found 5; allowed is 2 to 3"):
        group_folds(np.array([0, 1, 2]), 5, 0)


def random_proteins(number: int, length: int, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), length)) for _ in range(number)]


def test_families_hold_relatives_and_no_strangers() -> None:
    parents = random_proteins(8, 150)
    rng = np.random.default_rng(1)
    members = []
    for parent in parents:  # 75 % identity
        letters = np.array(list(parent))
        letters[rng.permutation(150)[:37]] = "G"
        members.append("".join(letters))
    coded = [tokens(text) for text in [*parents, *members, parents[0]]]
    offsets = np.concatenate([[0], np.cumsum([len(entry) for entry in coded])])
    found = families(np.concatenate(coded), offsets, 0.05)
    assert (found[:8] == found[8:16]).all()
    assert len(set(found.tolist())) == 8
    assert found[16] == found[0]


@pytest.mark.parametrize("length", [1, 4, 5])
def test_short_proteins_have_families_of_their_own(length: int) -> None:
    coded = [tokens("ACDEF"[:length]), tokens("ACDEF"[:length]), tokens("WYKRH"[:length])]
    offsets = np.concatenate([[0], np.cumsum([len(entry) for entry in coded])])
    found = families(np.concatenate(coded), offsets, 0.05)
    assert found[0] == found[1] != found[2]
