"""Mutations are read as they are written, checked against the sequence, and laid on it."""

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biorrn.errors import BiorrnError, ConfigError, InputError
from biorrn.inference.mutations import STANDARD, mutate, parse_variant, parse_variants, read_variants
from biorrn.readers.records import ProteinRecord

PROTEIN = ProteinRecord("p", "MAKGWLE")

# what is written, its name in one-letter codes, the mutant of PROTEIN
WRITTEN = [
    ("A2G", "A2G", "MGKGWLE"),
    (" a2g ", "A2G", "MGKGWLE"),
    ("p.Ala2Gly", "A2G", "MGKGWLE"),
    ("p.(ALA2GLY)", "A2G", "MGKGWLE"),
    ("A2A", "A2A", "MAKGWLE"),
    ("p.Ala2=", "A2A", "MAKGWLE"),
    ("M1del", "M1del", "AKGWLE"),
    ("E7del", "E7del", "MAKGWL"),
    ("A2_G4del", "A2_G4del", "MWLE"),
    ("p.Ala2_Gly4del", "A2_G4del", "MWLE"),
    ("A2_K3insWWP", "A2_K3insWWP", "MAWWPKGWLE"),
    ("p.Ala2_Lys3insTrpPro", "A2_K3insWP", "MAWPKGWLE"),
    ("A2_K3insPro", "A2_K3insP", "MAPKGWLE"),
    ("A2delinsGP", "A2delinsGP", "MGPKGWLE"),
    ("A2_G4delinsGP", "A2_G4delinsGP", "MGPWLE"),
    ("A2G:W5F", "A2G:W5F", "MGKGFLE"),
    ("W5F:A2G", "W5F:A2G", "MGKGFLE"),
    ("M1del:E7del", "M1del:E7del", "AKGWL"),
    ("A2G:A2_K3insW:K3R", "A2G:A2_K3insW:K3R", "MGWRGWLE"),  # an insertion between two changes
    ("K3_G4del:G4_W5insAA", "K3_G4del:G4_W5insAA", "MAAAWLE"),
]


@pytest.mark.parametrize(("written", "name", "mutant"), WRITTEN)
def test_written_to_sequence(written: str, name: str, mutant: str) -> None:
    variant = parse_variant(written)
    assert variant.name == name
    assert mutate(PROTEIN, variant) == mutant
    assert parse_variant(name).changes == variant.changes


BAD = [
    ("", "is not understood"),
    ("A23", "found nothing for the residues that come"),
    ("23G", "is not understood"),
    ("A2G+K3R", "is not understood"),
    ("W5*", "makes a stop codon"),
    ("p.Trp5Ter", "makes a stop codon"),
    ("W5ter", "makes a stop codon"),
    ("*8W", "makes a stop codon"),
    ("A2fs", "frameshift"),
    ("p.Arg97ProfsTer23", "frameshift"),
    ("A2delinsTer", "makes a stop codon"),
    ("A2X", "found 'X' for the residues that come"),
    ("A2B", "found 'B' for the residues that come"),
    ("Abc2G", "'Abc' is no residue"),
    ("A2GP", "for more write A2delinsGP"),
    ("A2_K3G", "for more write A2_K3delinsG"),
    ("A2insW", "between two neighbours"),
    ("A2_G4insW", "between two neighbours"),
    ("A2_K3ins", "found nothing"),
    ("A2delA", "nothing follows 'del'"),
    ("G4_A2del", "the range ends at 2"),
    ("A2_A2del", "the range ends at 2"),
    ("A2G:A2W", "'A2G' and 'A2W' of one variant overlap"),
    ("A2_G4del:K3R", "overlap"),
    ("A2_K3insW:A2_K3insP", "overlap"),
    ("A2_G4del:A2_K3insW", "overlap"),
]


@pytest.mark.parametrize(("written", "message"), BAD)
def test_what_cannot_be_understood(written: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_variant(written)
    assert str(caught.value).startswith("--mutations: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("written", "offset", "message"),
    [
        ("K2G", 0, "record 'p': 'A' stands at position 2, not 'K'; numbering that does not start at 1"),
        ("K102G", 100, "record 'p': 'A' stands at position 102, not 'K'"),
        ("A8G", 0, "position 8 is outside its 7 residues, which are numbered 1 to 7"),
        ("A0G", 0, "position 0 is outside"),
        ("A2G", 10, "numbered 11 to 17"),
        ("E7_A8insW", 0, "position 8 is outside"),
        ("A2_W4del", 0, "'G' stands at position 4, not 'W'"),
        ("M1_E7del", 0, "no residue is left"),
    ],
)
def test_what_does_not_fit_the_sequence(written: str, offset: int, message: str) -> None:
    with pytest.raises(BiorrnError) as caught:
        mutate(PROTEIN, parse_variant(written), offset)
    assert message in str(caught.value)


def test_offset_moves_the_numbers_only() -> None:
    for shift in (-3, 0, 40):
        assert mutate(PROTEIN, parse_variant(f"A{2 + shift}G"), shift) == "MGKGWLE"


def test_odd_residues_are_x_as_in_the_reader() -> None:
    assert mutate(ProteinRecord("s", "MAXG"), parse_variant("p.Sec3Cys")) == "MACG"
    assert mutate(ProteinRecord("s", "MAXG"), parse_variant("U3C")) == "MACG"


@given(st.data())
def test_a_substitution_changes_one_place(data: st.DataObject) -> None:
    sequence = data.draw(st.text(STANDARD, min_size=1, max_size=30))
    place = data.draw(st.integers(0, len(sequence) - 1))
    new = data.draw(st.sampled_from(STANDARD))
    offset = data.draw(st.integers(-50, 50))
    variant = parse_variant(f"{sequence[place]}{place + 1 + offset}{new}")
    expected = sequence[:place] + new + sequence[place + 1 :]
    assert mutate(ProteinRecord("p", sequence), variant, offset) == expected


@given(st.text(STANDARD, min_size=2, max_size=20), st.data())
def test_an_insertion_and_its_deletion_cancel(sequence: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(1, len(sequence) - 1))  # residues before the insertion
    new = data.draw(st.text(STANDARD, min_size=1, max_size=4))
    longer = mutate(
        ProteinRecord("p", sequence),
        parse_variant(f"{sequence[place - 1]}{place}_{sequence[place]}{place + 1}ins{new}"),
    )
    assert len(longer) == len(sequence) + len(new)
    last = f"_{new[-1]}{place + len(new)}" if len(new) > 1 else ""
    assert mutate(ProteinRecord("p", longer), parse_variant(f"{new[0]}{place + 1}{last}del")) == sequence


@pytest.mark.parametrize(
    ("text", "new"), [("A1_A2insPYL", "PYL"), ("A1_A2insSer", "S"), ("A1_A2insALA", "ALA"), ("A1SER", "S")]
)
def test_three_capitals_are_residues_where_several_may_come(text: str, new: str) -> None:
    assert parse_variant(text).changes[0].new == new


def test_lists_and_files(tmp_path: Path) -> None:
    names = ["A2G", "K3R:W5F", "M1del"]
    assert [variant.name for variant in parse_variants("A2G, K3R:W5F,M1del")] == names
    text = "# of a screen\nA2G\n\nK3R:W5F  # double\np.Met1del\n"
    (tmp_path / "list.txt").write_text(text)
    (tmp_path / "list.txt.gz").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "table.csv").write_text("mutant,score\nA2G,1\nK3R:W5F,2\nMet1del,3\n")
    (tmp_path / "table.tsv").write_text("score\thgvs\n1\tA2G\n2\tK3R:W5F\n3\tM1del\n")
    for file, column in (("list.txt", None), ("list.txt.gz", None), ("table.csv", None), ("table.tsv", "hgvs")):
        assert [variant.name for variant in read_variants(str(tmp_path / file), column)] == names
    assert [variant.name for variant in read_variants("A2G," * 400 + "A2W")][-1] == "A2W"  # too long for a file's name


def test_a_bad_line_of_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("A2G\nA2?\n")
    with pytest.raises(ConfigError, match=r"list\.txt: line 2: mutation 'A2\?'"):
        list(read_variants(str(tmp_path / "list.txt")))
    (tmp_path / "table.csv").write_text("id,mutation\n1,A2G\n2,A2*\n")
    with pytest.raises(ConfigError, match=r"table\.csv: row 2: mutation 'A2\*' makes a stop codon"):
        list(read_variants(str(tmp_path / "table.csv")))
    with pytest.raises(InputError, match="column 'muttion' is missing; did you mean 'mutation'"):
        list(read_variants(str(tmp_path / "table.csv"), "muttion"))
    (tmp_path / "empty.txt").write_text("# none\n")
    with pytest.raises(InputError, match="holds no mutation"):
        list(read_variants(str(tmp_path / "empty.txt")))
    with pytest.raises(InputError, match="cannot be read"):
        list(read_variants(str(tmp_path / "missing.csv")))
