"""Mutations are parsed in every notation, checked against the wild type, and applied to it."""

import gzip
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biorrn.base.errors import ConfigError, InputError
from biorrn.sequences.records import ProteinRecord
from biorrn.sequences.variants import (
    STANDARD,
    LetterError,
    MissingError,
    PositionError,
    RepeatError,
    ResidueError,
    UndefinedError,
    VariantError,
    apply_variants,
    best_offset,
    hold_variants,
    mutate,
    parse_variant,
    variant_texts,
)

PROTEIN = "MAKGWLE"

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
    *((f"A2G{sign}W5F", "A2G:W5F", "MGKGFLE") for sign in (",", ";", "/", "+", " ", ", ", " : ", "|", "&", "_", "-")),
    ("A2G;", "A2G", "MGKGWLE"),
    ("p.[Ala2Gly;Trp5Phe]", "A2G:W5F", "MGKGFLE"),
    ("p.[(Ala2Gly);(Trp5Phe)]", "A2G:W5F", "MGKGFLE"),
    ("p.A2G:p.W5F", "A2G:W5F", "MGKGFLE"),
    ("p.Ala2Gly;p.Trp5Phe", "A2G:W5F", "MGKGFLE"),
    ("ENSP00000269305.4:p.Ala2Gly", "A2G", "MGKGWLE"),
    ("NP_000.1(GENE):p.(Ala2Gly)", "A2G", "MGKGWLE"),
    ("NP_1.1:p.Ala2Gly;NP_1.1:p.Trp5Phe", "A2G:W5F", "MGKGFLE"),
    ("ala2gly", "A2G", "MGKGWLE"),
    ("A2>G", "A2G", "MGKGWLE"),
    ("p.Met1del", "M1del", "AKGWLE"),
    ("M1-", "M1del", "AKGWLE"),
    ("ΔM1", "M1del", "AKGWLE"),
    ("a2_g4del", "A2_G4del", "MWLE"),
    ("A2dup", "A2dup", "MAAKGWLE"),
    ("p.Ala2_Gly4dup", "A2_G4dup", "MAKGAKGWLE"),
    ("A2_K3insWFSP", "A2_K3insWFSP", "MAWFSPKGWLE"),  # FS is no frameshift
    ("A2=", "A2A", "MAKGWLE"),
    *((text, "WT", "MAKGWLE") for text in ("WT", "wt", "_wt", "wild-type", "Wild type", "=", "p.=", "p.(=)", "_sy")),
]


@pytest.mark.parametrize(("written", "name", "mutant"), WRITTEN)
def test_written_to_sequence(written: str, name: str, mutant: str) -> None:
    variant = parse_variant(written)
    assert variant.name == name
    assert mutate(PROTEIN, variant) == mutant
    assert parse_variant(name).changes == variant.changes


BAD: list[tuple[str, type[VariantError], str]] = [
    ("", MissingError, "found ''"),
    ("NA", MissingError, "found 'NA'"),
    ("nan", MissingError, "found 'nan'"),
    ("23G", VariantError, "is not understood"),
    ("A", VariantError, "is not understood"),
    ("c.68C>T", VariantError, "of DNA or RNA"),
    ("NM_000.1:c.68C>T", VariantError, "of DNA or RNA"),
    ("A23", LetterError, "found nothing for the residues that come"),
    ("A2X", LetterError, "found 'X' for the residues that come"),
    ("A2B", LetterError, "found 'B' for the residues that come"),
    ("Abc2G", LetterError, "'Abc' is no residue"),
    ("W5*", UndefinedError, "stop codon"),
    ("p.Trp5Ter", UndefinedError, "stop codon"),
    ("W5ter", UndefinedError, "stop codon"),
    ("W5Stop", UndefinedError, "stop codon"),
    ("W5_", UndefinedError, "stop codon"),
    ("A2G:W5*", UndefinedError, "stop codon"),
    ("A2delinsTer", UndefinedError, "stop codon"),
    ("*8W", UndefinedError, "stop lost"),
    ("p.Ter8GlnextTer17", UndefinedError, "stop lost"),
    ("A2fs", UndefinedError, "frameshift"),
    ("p.Arg97ProfsTer23", UndefinedError, "frameshift"),
    ("p.Arg97Profs*23", UndefinedError, "frameshift"),
    ("p.?", UndefinedError, "unknown effect"),
    ("p.Met1?", UndefinedError, "unknown effect"),
    ("p.0", UndefinedError, "unknown effect"),
    ("p.[Ala2Gly];[Trp5Phe]", UndefinedError, "two alleles"),
    ("A2GP", VariantError, "for more write A2delinsGP"),
    ("A2_K3G", VariantError, "for more write A2_K3delinsG"),
    ("A2insW", VariantError, "between two neighbours"),
    ("A2_G4insW", VariantError, "between two neighbours"),
    ("A2_K3ins", LetterError, "found nothing"),
    ("A2delA", VariantError, "nothing follows 'del'"),
    ("G4_A2del", VariantError, "the range ends at 2"),
    ("A2_A2del", VariantError, "the range ends at 2"),
    ("A2G:A2W", RepeatError, "'A2G' and 'A2W' of one variant overlap"),
    ("A2G,A2G", RepeatError, "overlap"),
    ("A2_G4del:K3R", RepeatError, "overlap"),
    ("A2_K3insW:A2_K3insP", RepeatError, "overlap"),
    ("A2_G4del:A2_K3insW", RepeatError, "overlap"),
]


@pytest.mark.parametrize(("written", "error", "message"), BAD)
def test_what_cannot_be_used(written: str, error: type[VariantError], message: str) -> None:
    with pytest.raises(error) as caught:
        parse_variant(written)
    assert type(caught.value) is error
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("written", "offset", "error", "message"),
    [
        ("K2G", 0, ResidueError, "mutation 'K2G': found 'A' at position 2 of the wild type, expected 'K'"),
        ("K102G", 100, ResidueError, "found 'A' at position 102"),
        ("A8G", 0, PositionError, "position 8 is outside the wild type, whose 7 residues are numbered 1 to 7"),
        ("A0G", 0, PositionError, "position 0 is outside"),
        ("A2G", 10, PositionError, "numbered 11 to 17"),
        ("E7_A8insW", 0, PositionError, "position 8 is outside"),
        ("A2_W4del", 0, ResidueError, "found 'G' at position 4"),
        ("M1_E7del", 0, UndefinedError, "no residue is left"),
    ],
)
def test_what_does_not_fit_the_sequence(written: str, offset: int, error: type[VariantError], message: str) -> None:
    with pytest.raises(error) as caught:
        mutate(PROTEIN, parse_variant(written), offset)
    assert message in str(caught.value)


def test_offset_moves_the_numbers_only() -> None:
    for shift in (-3, 0, 40):
        assert mutate(PROTEIN, parse_variant(f"A{2 + shift}G"), shift) == "MGKGWLE"
        assert mutate(PROTEIN, parse_variant(f"A{2 + shift}_G{4 + shift}dup"), shift) == "MAKGAKGWLE"


def test_odd_residues_are_x_as_in_the_reader() -> None:
    assert mutate("MAXG", parse_variant("p.Sec3Cys")) == "MACG"
    assert mutate("MAXG", parse_variant("U3C")) == "MACG"


@given(st.data())
def test_a_substitution_changes_one_place(data: st.DataObject) -> None:
    sequence = data.draw(st.text(STANDARD, min_size=1, max_size=30))
    place = data.draw(st.integers(0, len(sequence) - 1))
    new = data.draw(st.sampled_from(STANDARD))
    offset = data.draw(st.integers(-50, 50))
    variant = parse_variant(f"{sequence[place]}{place + 1 + offset}{new}")
    expected = sequence[:place] + new + sequence[place + 1 :]
    assert mutate(sequence, variant, offset) == expected


@given(st.text(STANDARD, min_size=2, max_size=20), st.data())
def test_an_insertion_and_its_deletion_cancel(sequence: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(1, len(sequence) - 1))  # residues before the insertion
    new = data.draw(st.text(STANDARD, min_size=1, max_size=4))
    longer = mutate(
        sequence,
        parse_variant(f"{sequence[place - 1]}{place}_{sequence[place]}{place + 1}ins{new}"),
    )
    assert len(longer) == len(sequence) + len(new)
    last = f"_{new[-1]}{place + len(new)}" if len(new) > 1 else ""
    assert mutate(longer, parse_variant(f"{new[0]}{place + 1}{last}del")) == sequence


@pytest.mark.parametrize(
    ("text", "new"), [("A1_A2insPYL", "PYL"), ("A1_A2insSer", "S"), ("A1_A2insALA", "ALA"), ("A1SER", "S")]
)
def test_three_capitals_are_residues_where_several_may_come(text: str, new: str) -> None:
    assert parse_variant(text).changes[0].new == new


def names(given: Path | str, column: str | None = None) -> list[str]:
    return [parse_variant(text).name for _, text in variant_texts(str(given), column)]


def test_lists_and_files(tmp_path: Path) -> None:
    wanted = ["A2G", "K3R:W5F", "M1del"]
    assert names("A2G, K3R:W5F,M1del") == wanted
    assert names("A2G,p.[Lys3Arg,Trp5Phe],M1del") == wanted  # brackets hold a variant together
    text = "# of a screen\nA2G\n\nK3R,W5F  # double\np.Met1del\n"
    (tmp_path / "list.txt").write_text(text)
    (tmp_path / "list.txt.gz").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "table.csv").write_text("Mutant,score\nA2G,1\nK3R:W5F,2\nMet1del,3\n")
    (tmp_path / "table.tsv").write_text("score\tchange\n1\tA2G\n2\tK3R:W5F\n3\tM1del\n")
    for file, column in (("list.txt", None), ("list.txt.gz", None), ("table.csv", None), ("table.tsv", "change")):
        assert names(tmp_path / file, column) == wanted
    assert names("A2G," * 400 + "A2W")[-1] == "A2W"  # too long for a file's name


def test_a_sheet_of_a_workbook(tmp_path: Path) -> None:
    book = tmp_path / "plate.xlsx"
    with pd.ExcelWriter(book) as writer:
        pd.DataFrame({"note": ["by hand"]}).to_excel(writer, sheet_name="about", index=False)
        pd.DataFrame({"mutant": ["A2G", "K3R:W5F"]}).to_excel(writer, sheet_name="chosen", index=False)
    assert [text for _, text in variant_texts(str(book), sheet="chosen")] == ["A2G", "K3R:W5F"]
    with pytest.raises(InputError, match=r"the first of 2: about, chosen \(--sheet\)"):
        list(variant_texts(str(book)))
    for other in ({"sheet": "chosen"}, {"column": "mutant"}):
        with pytest.raises(ConfigError, match="no table, so there is no"):
            list(variant_texts("A2G,K3R", **other))


def test_a_bad_line_of_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("A2G\nA2?\n")
    made = apply_variants(list(variant_texts(str(tmp_path / "list.txt"))), [ProteinRecord("p", PROTEIN)] * 2)
    assert [one.sequence for one in made] == ["MGKGWLE", ""]
    assert made[1].place == f"{tmp_path}/list.txt: line 2"
    assert isinstance(made[1].error, UndefinedError)
    (tmp_path / "table.csv").write_text("id,mutation\n1,A2G\n2,A2*\n")
    assert [place for place, _ in variant_texts(str(tmp_path / "table.csv"))][1] == f"{tmp_path}/table.csv: row 2"
    with pytest.raises(InputError, match="column 'muttion' is missing; did you mean 'mutation'"):
        names(tmp_path / "table.csv", "muttion")
    (tmp_path / "empty.txt").write_text("# none\n")
    with pytest.raises(InputError, match="holds no mutation"):
        names(tmp_path / "empty.txt")
    with pytest.raises(InputError, match="cannot be read"):
        names(tmp_path / "missing.csv")


def test_the_offset_that_fits_is_found() -> None:
    """Whatever the numbering starts at, most of the mutations say so, though one of them is wrong."""
    sequence = "MAKGWLEDRTYVACFHIKLMNPQ"
    for offset in (-1, 0, 23, -7):
        texts = [f"{sequence[place]}{place + 1 + offset}G" for place in (0, 1, 4, 9, 14, 20)] + ["P3A"]
        variants = [parse_variant(text) for text in texts]
        assert best_offset(variants, [sequence] * len(variants)) == (offset, 6, 7)
    assert best_offset([parse_variant("A2G")], [sequence]) is None  # by chance
    assert best_offset([parse_variant("A2G"), parse_variant("A2W"), parse_variant("A2F")], [sequence] * 3) is None
    assert best_offset([parse_variant("A999999999G")] * 3, [sequence] * 3) is None


def test_a_numbering_that_does_not_fit_is_an_error_that_says_which_would() -> None:
    wild = [ProteinRecord("p", PROTEIN)] * 4
    texts = [("row 1", "M0A"), ("row 2", "A1G"), ("row 3", "K2R"), ("row 4", "G3W")]
    with pytest.raises(ResidueError) as caught:
        apply_variants(texts, wild)
    assert str(caught.value) == (
        "row 1: mutation 'M0A': position 0 is outside the wild type, whose 7 residues are numbered 1 to 7; 4 of 4 "
        "variants do not fit the wild type; with --offset -1 all 4 residues that they name match"
    )
    assert [one.sequence for one in apply_variants(texts, wild, -1)] == ["AAKGWLE", "MGKGWLE", "MARGWLE", "MAKWWLE"]
    with pytest.raises(ResidueError, match="no --offset makes most of them fit"):
        apply_variants([("a", "C1A"), ("b", "D2A"), ("c", "H3R"), ("d", "Y5A")], wild)


def test_one_bad_variant_among_many_is_left_out() -> None:
    texts = [
        ("row 1", "A2G"),
        ("row 2", "W5*"),
        ("row 3", "D3G"),
        ("row 4", ""),
        ("row 5", "K3R"),
        ("row 6", "A2G;A2W"),
    ]
    made = apply_variants(texts, [ProteinRecord("p", PROTEIN)] * 6)
    assert [one.sequence for one in made] == ["MGKGWLE", "", "", "", "MARGWLE", ""]
    assert [type(one.error).__name__ for one in made if one.error] == [
        *("UndefinedError", "ResidueError", "MissingError", "RepeatError"),
    ]
    with pytest.raises(VariantError, match="none of 2 variants can be used"):
        apply_variants([texts[1], texts[3]], [ProteinRecord("p", PROTEIN)] * 2)


@pytest.mark.parametrize(
    ("cells", "held"),
    [
        (["A23G", "K41E", "WT", ""], True),
        (["p.Ala23Gly", "p.=", "NA"], True),
        (["A23G", "W5*", "R97fs", "K41E"], True),
        (["A1", "A2", "B12"], False),  # wells of a plate
        (["P12345", "Q9H0A1"], False),  # accessions
        (["MKVLA", "MKVLG"], False),
        (["1.5", "2"], False),
        (["WT", "WT"], False),
        ([], False),
    ],
)
def test_a_column_of_mutations_is_known_by_its_cells(cells: list[str], held: bool) -> None:
    assert hold_variants(cells) is held


@pytest.mark.parametrize(
    ("text", "name"), [("Z9A", "Z9A"), ("p.Glx9Ala", "Z9A"), ("u9del", "U9del"), ("O9=", "O9O"), ("J9dup", "J9dup")]
)
def test_an_ambiguous_residue_is_told_as_given_and_read_as_x(text: str, name: str) -> None:
    variant = parse_variant(text)
    assert variant.name == name
    assert variant.changes[0].named == ((9, "X"),)
    mutate("MKTAYIAKX", variant)
    with pytest.raises(ResidueError, match=f"'{name}': found 'Q' at position 9 .*, expected 'X', as B, Z, "):
        mutate("MKTAYIAKQ", variant)
