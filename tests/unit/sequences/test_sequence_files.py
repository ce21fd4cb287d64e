"""Sequence files as people have them: each habit is read, or the one bad record is named and left out."""

import bz2
import io
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest

from biorrn.base.errors import InputError
from biorrn.sequences.fasta import FORMATS, identify, read_entries, read_fasta
from biorrn.sequences.records import ProteinRecord

WW = "KLPPGWEKRMSRSSGRVYYFNHITNASQWERPSG"
GB1 = "MTYKLILNGKTLKGETTTEAVDAATAEKVFKQYANDNGVDGEWTYDDATKTFTVTE"
BLOCKS = " ".join(GB1[place : place + 10] for place in range(0, len(GB1), 10))

Read = Callable[..., tuple[list[ProteinRecord], list[InputError]]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Return a function that reads the text or the bytes of a file, and gives its records and what was left out."""

    def run(content: str | bytes, name: str = "x.fa") -> tuple[list[ProteinRecord], list[InputError]]:
        (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
        problems: list[InputError] = []
        records = list(read_fasta(tmp_path / name, problems.append, lambda name: None, keep=True))
        return records, problems

    return run


def wrapped(sequence: str, width: int = 20) -> str:
    return "\n".join(sequence[place : place + width] for place in range(0, len(sequence), width))


def genpept(sequence: str) -> str:
    lines = []
    for place in range(0, len(sequence), 60):
        blocks = " ".join(sequence[at : at + 10].lower() for at in range(place, min(place + 60, len(sequence)), 10))
        lines.append(f"{place + 1:>9} {blocks}")
    return "\n".join(lines)


# habit -> the file; it holds WW as "a" and GB1 as "b"
READ = {
    "plain": f">a\n{WW}\n>b some words\n{GB1}\n",
    "UTF-16": f">a\n{WW}\n>b\n{GB1}\n".encode("utf-16"),
    "Latin-1 in a header": f">a Käse µ\n{WW}\n>b\n{GB1}\n".encode("latin-1"),
    "bzip2": bz2.compress(f">a\n{WW}\n>b\n{GB1}\n".encode()),
    "xz": lzma.compress(f">a\n{WW}\n>b\n{GB1}\n".encode()),
    "CR alone": f">a\r{WW}\r>b\r{wrapped(GB1)}".replace("\n", "\r"),
    "semicolons": f"; exported\n; by a tool\n>a\n{WW}\n; remark\n>b\n{wrapped(GB1)}\n;end\n",
    "comments of #": f"# exported\n#A3M#\n>a\n{WW}\n>b\n{GB1}\n",
    "gaps of three kinds": f">a\n--{WW[:9]}~~{WW[9:]}..\n>b\n{GB1[:30]}-{GB1[30:]}\n",
    "A2M": f">a\n{WW[:9]}{WW[9:12].lower()}...{WW[12:]}\n>b\n{GB1}\n",
    "lower case": f">a\n{WW.lower()}\n>b\n{wrapped(GB1.lower())}\n",
    "soft masked": f">a\n{WW[:5]}{WW[5:20].lower()}{WW[20:]}\n>b\n{GB1[:20]}\n{GB1[20:40].lower()}\n{GB1[40:]}\n",
    "stars at the end": f">a\n{WW}*\n>b\n{wrapped(GB1)}*\n",
    "numbers of GenPept": f">a\n{genpept(WW)}\n>b\n{genpept(GB1)}\n//\n",
    "ORIGIN": f">a\nORIGIN\n{genpept(WW)}\n//\n>b\n{GB1}\n",
    "numbers at the end, as of EMBL": f">a\n{WW}\n>b\n{BLOCKS[:32]} 30\n{BLOCKS[33:]} 56\n",
    "blocks": f">a\n{WW}\n>b\n{BLOCKS}\n",
    "letters apart": f">a\n{' '.join(WW)}\n>b\n{GB1}\n",
    "PIR": f">P1;a\nhuman Pin WW domain\n{WW}*\n>P1;b\n\n{wrapped(GB1)}\n*\n",
    "PIR with text after its end": f">P1;a\nWW domain\n{WW}*\nC;comment\nR;reference\n>F1;b\nx - y\n{GB1}*\n",
    "modifications": f">a\n{WW[:10]}[Phospho]{WW[10:]}\n>b\n[Acetyl]-{GB1[:9]}(ox){GB1[9:]}C[+57.02]\n".replace(
        "C[+57.02]", ""
    ),
    "no line feed where files were joined": f">a\n{WW}>b\n{GB1}\n",
    "what nobody sees": f">a\n{WW[:10]}\u200b{WW[10:]}\u00ad\n>b\n\ufeff{GB1}\u2060\n",
    "blank lines and spaces": f"\n\n >a \n\n{WW}  \n\n>b\n  {GB1}\n\n",
}


@pytest.mark.parametrize("habit", READ)
def test_habits_are_read(read: Read, habit: str) -> None:
    records, problems = read(READ[habit])
    assert problems == []
    assert [(one.id, one.sequence) for one in records] == [("a", WW), ("b", GB1)]


def test_what_was_removed_is_kept_with_the_record(read: Read) -> None:
    (gaps, plain), _ = read(f">a\n--{WW}\n>b\n{WW}*\n")
    assert (gaps.changes, plain.changes) == (("gaps_removed",), ())
    (modified,), _ = read(f">a\n{WW[:10]}[Phospho]{WW[10:]}\n")
    assert modified.changes == ("modifications_removed",)
    (phosphorylated, masked), _ = read(">a\nMKpSLLpTAApYVV\n>b\nmkpsllAAPT\n")
    assert (phosphorylated.sequence, phosphorylated.changes) == ("MKSLLTAAYVV", ("modifications_removed",))
    assert (masked.sequence, masked.changes) == ("MKPSLLAAPT", ())
    (_, again), _ = read(f">a\n{WW}\n>a\n{GB1}\n")
    assert again.changes == ("id_given_before",)


# what is wrong -> the record "a" (lines after the header), and the flag
BAD = {
    "a stop inside": (f"{WW[:10]}*{WW[10:]}", "stop_inside"),
    "stars alone": ("***", "empty"),
    "nothing": ("", "empty"),
    "gaps alone": ("--..~~", "empty"),
    "a digit": ("MK7V", "not_a_residue"),
    "a digit amid blocks": (f"{WW[:10]} 7 {WW[10:20]}", "not_a_residue"),
    "a letter that is none": ("MKÄV", "not_a_residue"),
    "a zero byte": ("MK\0V", "not_a_residue"),
    "alternatives in brackets": ("MK[ST]V", "not_a_residue"),
    "alternatives with a stroke": ("MK(A/g)V", "not_a_residue"),
    "a chain break": ("MKV/LAE", "not_a_residue"),
    "DNA": ("ACGT" * 12, "nucleotides"),
    "three-letter codes": ("MetThrTyrLysLeuIle", "three_letter"),
    "three-letter codes in capitals": ("MET THR TYR LYS LEU ILE", "three_letter"),
    "three-letter codes with dashes": ("Met-Thr-Tyr-Lys-Leu-Ile", "three_letter"),
    "a stray sentence": (f"{WW}\nMaybe I pasted a sentence", "text"),
    "a description": (f"human Pin WW domain\n{WW}", "text"),
    "a description of one word": (f"Ubiquitin\n{WW}", "text"),
    "a description in lower case": (f"ubiquitin\n{WW}", "text"),
    "a description in capitals": (f"WW DOMAIN OF PIN\n{WW}", "text"),
    "a signature": (f"{WW}\nBest regards, Anna", "text"),
}


@pytest.mark.parametrize("fault", BAD)
@pytest.mark.parametrize("last", [False, True])
def test_one_bad_record_is_left_out_and_named(read: Read, fault: str, last: bool) -> None:
    lines, flag = BAD[fault]
    good, bad = f">b\n{GB1}\n", f">a\n{lines}\n"
    records, problems = read(good + bad if last else bad + good)
    assert [one.problem for one in sorted(records, key=lambda one: one.id)] == [flag, ""]
    assert [one.sequence for one in sorted(records, key=lambda one: one.id)] == ["", GB1]
    assert [problem.record for problem in problems] == ["a"]
    assert "\n" not in str(problems[0])
    with pytest.raises(InputError, match="record 'a': "):
        list(read_fasta(problems[0].source))


def test_headers_without_an_id_have_their_line_named(read: Read) -> None:
    records, problems = read(f">\n{WW}\n>b\n{GB1}\n>  \n{WW}\n")
    assert [(one.id, one.problem) for one in records] == [(".", "no_id"), ("b", ""), (".", "no_id")]
    assert ["line 1:" in str(problems[0]), "line 5:" in str(problems[1])] == [True, True]


def test_pir_without_an_end_is_not_guessed(read: Read) -> None:
    """Its second line may be a sequence or a description."""
    records, problems = read(f">P1;a\n{WW}\n>P1;b\nprotein G\n{GB1}*\n")
    assert [(one.id, one.problem) for one in records] == [("a", "cut_off"), ("b", "")]
    assert "no such end" in str(problems[0])


def test_residues_without_a_header_are_one_record(
    read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, content in {"one.fa": WW, "lines.txt": wrapped(WW), "numbers.seq": genpept(WW)}.items():
        (record,), problems = read(content, name)
        assert (record.id, record.sequence, problems) == (name.partition(".")[0], WW, [])
    assert capsys.readouterr().err.count("has no header '>'; read as one sequence") == 3
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(WW.encode()))))
    assert [(one.id, one.sequence) for one in read_fasta("-")] == [("stdin", WW)]


@pytest.mark.parametrize("content", [f"{WW}\n{GB1}\n", f"{WW}\n\n{WW}\n", f"{GB1}\n{WW}\n{GB1}\n"])
def test_lines_that_may_be_several_sequences_are_told_of(
    content: str, read: Read, capsys: pytest.CaptureFixture[str]
) -> None:
    (record,), _ = read(content)
    assert record.sequence == "".join(content.split())
    assert "its lines look like several sequences" in capsys.readouterr().err
    read(wrapped(GB1))
    assert "look like several" not in capsys.readouterr().err


ALIGNED = {
    "stockholm": f"# STOCKHOLM 1.0\n#=GF ID x\na  {WW[:9]}--{WW[9:]}\nb  {'-' * 36}\n//\n",
    "clustal": f"CLUSTAL W (1.83) multiple sequence alignment\n\n\na   {WW[:9]}--{WW[9:]}\nb   {WW}--\n\n",
    "phylip": f" 2 36\na         {WW[:9]}--{WW[9:]}\nb         {WW}--\n",
    "nexus": (
        f"#NEXUS\nbegin data;\ndimensions ntax=2 nchar=36;\nformat datatype=protein gap=-;\nmatrix\n"
        f"a {WW[:9]}--{WW[9:]}\nb {WW}--\n;\nend;\n"
    ),
}


@pytest.mark.parametrize("kind", ALIGNED)
def test_alignments_are_read(read: Read, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    records, _ = read(ALIGNED[kind], "x.aln")
    assert (records[0].id, records[0].sequence, records[0].changes) == ("a", WW, ("gaps_removed",))
    assert len(records) == 2
    assert "alignment; its sequences are read, without gaps" in capsys.readouterr().err


UNIPROT = f"""ID   PIN1_HUMAN              Reviewed;          34 AA.
AC   Q13526;
DE   RecName: Full=Pin1;
SQ   SEQUENCE   34 AA;  4000 MW;  0000000000000000 CRC64;
     {" ".join(WW[place : place + 10] for place in range(0, 34, 10))}
//
"""
GENPEPT = f"""LOCUS       a                         34 aa            linear   SYN 01-JAN-2020
DEFINITION  WW domain.
ACCESSION   a
VERSION     a
FEATURES             Location/Qualifiers
ORIGIN
{genpept(WW)}
//
"""


@pytest.mark.parametrize(("content", "name"), [(UNIPROT, "Q13526"), (GENPEPT, "a")], ids=["UniProt", "GenPept"])
def test_flat_files_are_read_through_biopython(read: Read, content: str, name: str) -> None:
    records, problems = read(content + content.replace(f"{name};", "P00001;"), "x.txt")
    assert problems == []
    assert [one.sequence for one in records] == [WW, WW]
    assert records[0].id == name


OTHERS = {
    "FASTQ": "@read1\nACGT\n+\nIIII\n",
    "SAM": "@HD\tVN:1.6\nr\t4\t*\n",
    "a PDB file": "HEADER    HYDROLASE   01-JAN-00   1ABC\nATOM      1  N   MET A   1\n",
    "an mmCIF file": "data_1ABC\n#\n_entry.id 1ABC\n",
    "XML": '<?xml version="1.0"?>\n<uniprot>\n</uniprot>\n',
    "an HTML page": "<!DOCTYPE html>\n<html><body>MKV</body></html>\n",
    "JSON": '{"id": "a", "sequence": "MKV"}\n',
    "a table": f"name,protein\na,{WW}\n",
    "a GFF file": "##gff-version 3\nchr1\t.\tgene\t1\t9\n",
}


@pytest.mark.parametrize("kind", OTHERS)
def test_other_formats_are_named_with_the_way_out(read: Read, kind: str) -> None:
    with pytest.raises(InputError, match=rf"looks like {kind}, which is not read; \w"):
        read(OTHERS[kind])


@pytest.mark.parametrize("content", ["", "\n \n", "; a comment\n", "# only\n"])
def test_nothing_is_an_empty_file(read: Read, content: str) -> None:
    with pytest.raises(InputError, match="the file is empty; FASTA is"):
        read(content)


@pytest.mark.parametrize("content", ["Dear colleague\nhere it is\n", "see below:\n\nMKV\n"])
def test_text_is_no_sequence(read: Read, content: str) -> None:
    with pytest.raises(InputError, match=r"line 1: found '.*' before the first header '>'"):
        read(content)


def test_damaged_alignments_are_one_line(read: Read) -> None:
    for content in (
        "# STOCKHOLM 1.0\na MKV\nb MKVL\n//\n",
        " 2 3\na MKVL\nb MK\n",
        "CLUSTAL W (1.83) mul",
        "CLUSTAL W (1.83)\n\na MKV\nb MKVL\n",
        "#NEXUS\nbegin data;\nmatrix\na MKV\n",
    ):
        with pytest.raises(InputError, match=r"x\.fa: a .* alignment: ") as error:
            read(content)
        assert "\n" not in str(error.value)


def test_every_format_has_a_way() -> None:
    assert all(bool(one.biopython) != bool(one.way) for one in FORMATS)
    assert identify([">a", "MKV"]) is identify([WW]) is identify(["; x", ">a"]) is identify([]) is None


def test_other_alphabets_stay_as_written(tmp_path: Path) -> None:
    (tmp_path / "x.fa").write_text("; note\n>a x\nHHEE\nCC\n>b\n1 0 1\n")
    assert list(read_entries(tmp_path / "x.fa")) == [("a", "HHEECC"), ("b", "1 0 1")]


# what a reader makes of each file of the shared cases: records used, and flags of those left out; None: an error
CASES = {
    "fasta/05_utf16.fa": (3, []),
    "fasta/08_semicolon_comments.fa": (3, []),
    "fasta/09_gt_only.fa": (0, ["no_id", "no_id"]),
    "fasta/14_stop_inside.fa": (1, ["stop_inside"]),
    "fasta/15_all_stars.fa": (1, ["empty"]),
    "fasta/19_aligned.fa": (2, []),
    "fasta/21_pir.pir": (2, []),
    "fasta/23_numbers_genpept.fa": (1, []),
    "fasta/24_no_header.fa": (1, []),
    "fasta/28_empty_record.fa": (1, ["empty"]),
    "fasta/29_last_empty.fa": (1, ["empty"]),
    "fasta/53_stockholm.sto": (1, []),
    "fasta/55_ptm_mod.fa": (1, []),
    "fasta/62_bz2.fa.bz2": (3, []),
    "more/dup_ids.fa": (2, []),
    "more/pir_letters2.pir": (1, []),
    "more/stray_text.fa": (0, ["text"]),
}


@pytest.mark.parametrize("case", CASES)
def test_the_real_cases(shared_data: Path, case: str) -> None:
    path = shared_data.parent / "cases" / case
    if not path.exists():
        pytest.skip(f"{case} is not there")
    problems: list[InputError] = []
    records = list(read_fasta(path, problems.append, lambda name: None))
    assert (len(records), [problem.flag for problem in problems]) == CASES[case]
    assert {one.sequence for one in records} <= {WW, WW + "K", GB1, "LSDEDFKAVFGMTRSAFANLPLWKQQNLKKEKGLF"}


def test_every_real_case_is_told_of(shared_data: Path) -> None:
    folder = shared_data.parent / "cases"
    if not folder.exists():
        pytest.skip("no cases")
    found = {f"{path.parent.name}/{path.name}" for name in ("fasta", "more") for path in (folder / name).iterdir()}
    assert {name for name in found if not name.endswith(".csv")} <= set(CASES)
