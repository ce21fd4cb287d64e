"""FASTA and other sequence files."""

import bz2
import gzip
import io
import lzma
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biorrn.base.errors import Fault, InputError
from biorrn.sequences.alphabets import RESIDUES
from biorrn.sequences.fasta import AMBIGUOUS, FORMATS, Ids, cleaned, identify, read_entries, read_fasta
from biorrn.sequences.records import ProteinRecord


def read(tmp_path, text, name="a.fa"):
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return list(read_fasta(path))


def test_records_in_order_with_description(tmp_path):
    first, second = read(tmp_path, ">P53_HUMAN  tumour\tsuppressor \r\nMEEP\r\nQSD\r\n\r\n>b\nMK\n")
    assert (first.id, first.description, first.sequence) == ("P53_HUMAN", "tumour suppressor", "MEEPQSD")
    assert (second.id, second.description, second.sequence, second.unknown) == ("b", "", "MK", 0)


def test_residue_letters_are_those_of_the_encoders():
    from biorrn.sequences import alphabets

    assert alphabets.RESIDUES == RESIDUES


@pytest.mark.parametrize(
    ("written", "sequence", "unknown"),
    [
        ("mkvl", "MKVL", 0),
        ("MKVL*", "MKVL", 0),
        ("MKVL**", "MKVL", 0),
        ("MK-V..L-", "MKVL", 0),
        ("M K\tV L", "MKVL", 0),
        ("MXKV", "MXKV", 1),
        ("MBZJUOK", "MXXXXXK", 5),
        ("mbzjuok", "MXXXXXK", 5),
    ],
)
def test_what_is_cleaned(written, sequence, unknown):
    assert cleaned(written)[:2] == (sequence, unknown)


@given(st.text(alphabet=RESIDUES + AMBIGUOUS + "-.", min_size=1, max_size=25), st.booleans())
def test_cleaning_twice_is_cleaning_once(written, lower):
    written = "M" + (written.lower() if lower else written)
    sequence, unknown = cleaned(written)[:2]
    assert cleaned(sequence)[:2] == (sequence, unknown)
    assert set(sequence) <= set(RESIDUES)
    assert len(sequence) == sum(letter not in "-." for letter in written)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("MK7V", "residue '7' at position 3 is not one of ACDEFGHIKLMNPQRSTVWYX"),
        ("MK-V?", "residue '?' at position 5 is not one of"),
        ("MKé", "residue 'é' at position 3"),
        ("MK*VL*", "stop codon '*' at position 3; allowed is one at the end only"),
        ("", "the sequence is empty"),
        ("---*", "the sequence is empty"),
        ("ACGTACGTNN" * 3, "looks like DNA or RNA: 100 % of 30 letters"),
        ("acgu" * 20 + "mk", "looks like DNA or RNA: 98 %"),
    ],
)
def test_what_is_refused(written, message):
    with pytest.raises(Fault) as error:
        cleaned(written)
    assert message in str(error.value)


@pytest.mark.parametrize("written", ["ACGT" * 7, "GA" * 40, "ACGT" * 7 + "MKLV", "MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQ"])
def test_short_or_repetitive_proteins_are_not_dna(written):
    assert cleaned(written).residues == written


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("\n\n", "the file is empty"),
        ("MKVL\n>a\nMK\n", "line 1: found 'MKVL' before the first header '>'"),
        ("@read1\nACGT\n+\nIIII\n", "looks like FASTQ, which is not read; expected proteins"),
        (">a\nMK\n>\nMK\n", "line 3: a header without an id"),
        (">a\n>b\nMK\n", "record 'a': the sequence is empty"),
        (">a\nMK\n>b\nMV\n>a more\nMK\n", "record 'a': the id is given twice, on lines 1 and 5"),
        (">P53\nMKV\nLK1\n", "record 'P53': residue '1' at position 6"),
        (b"\xff\xfe\x00", "not text: byte 2 is not UTF-16-LE"),
        (gzip.compress(b">a\n" + bytes(65 + i * i % 20 for i in range(500)), mtime=0)[:-20], "damaged gzip"),
        (b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03" + b"\xff" * 20, "damaged gzip"),
    ],
)
def test_bad_files_are_one_line_that_names_the_file(tmp_path, text, message):
    with pytest.raises(InputError) as error:
        read(tmp_path, text)
    assert str(error.value).startswith(f"{tmp_path / 'a.fa'}: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_records_before_a_fault_are_yielded(tmp_path):
    path = tmp_path / "a.fa"
    path.write_text(">a\nMK\n>b\nM1\n")
    records = read_fasta(path)
    assert next(records).id == "a"
    with pytest.raises(InputError, match="record 'b'"):
        next(records)


def test_missing_file():
    with pytest.raises(InputError, match=r"nothere\.fa: cannot be read: No such file"):
        list(read_fasta("nothere.fa"))


def test_gzip_is_told_by_content_and_standard_input_by_its_name(tmp_path, monkeypatch):
    (record,) = read(tmp_path, gzip.compress(b">a\nMK\n"), "plain_name.fa")
    assert record.sequence == "MK"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(b">a\nMV\n"))))
    assert [record.sequence for record in read_fasta("-")] == ["MV"]


def test_a_byte_order_mark_is_passed_over(tmp_path):
    assert read(tmp_path, "\ufeff>a\nMK\n")[0].id == "a"


def test_the_same_sequence_under_two_ids_is_two_records(tmp_path):
    assert len(read(tmp_path, ">a\nMK\n>b\nMK\n")) == 2


def test_memory_does_not_grow_with_the_sequences(tmp_path):
    path = tmp_path / "long.fa"
    with open(path, "w") as file:
        for number in range(300):
            print(f">p{number}", "MKVLAETR" * 2500, sep="\n", file=file)  # 20 kB each, 6 MB in all
    tracemalloc.start()
    assert sum(len(record.sequence) for record in read_fasta(path)) == 300 * 20_000
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


@given(st.lists(st.text(max_size=3), max_size=60))
def test_as_a_dictionary_would(names: list[str]) -> None:
    ids, first = Ids(), {}
    for line, name in enumerate(names, 1):
        assert ids.seen(name, line) == first.get(name, 0)
        first.setdefault(name, line)
    assert len(ids) == len(first)


def test_it_grows() -> None:
    ids = Ids()
    assert [ids.seen(f"P{n}", n + 1) for n in range(5000)] == [0] * 5000
    assert [ids.seen(f"P{n}", 9) for n in range(5000)] == list(range(1, 5001))
    assert len(ids) == 5000


WW = "KLPPGWEKRMSRSSGRVYYFNHITNASQWERPSG"
GB1 = "MTYKLILNGKTLKGETTTEAVDAATAEKVFKQYANDNGVDGEWTYDDATKTFTVTE"
BLOCKS = " ".join(GB1[place : place + 10] for place in range(0, len(GB1), 10))

Read = Callable[..., tuple[list[ProteinRecord], list[InputError]]]


@pytest.fixture
def records_of(tmp_path: Path) -> Read:
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
def test_habits_are_read(records_of: Read, habit: str) -> None:
    records, problems = records_of(READ[habit])
    assert problems == []
    assert [(one.id, one.sequence) for one in records] == [("a", WW), ("b", GB1)]


def test_what_was_removed_is_kept_with_the_record(records_of: Read) -> None:
    (gaps, plain), _ = records_of(f">a\n--{WW}\n>b\n{WW}*\n")
    assert (gaps.changes, plain.changes) == (("gaps_removed",), ())
    (modified,), _ = records_of(f">a\n{WW[:10]}[Phospho]{WW[10:]}\n")
    assert modified.changes == ("modifications_removed",)
    (phosphorylated, masked), _ = records_of(">a\nMKpSLLpTAApYVV\n>b\nmkpsllAAPT\n")
    assert (phosphorylated.sequence, phosphorylated.changes) == ("MKSLLTAAYVV", ("modifications_removed",))
    assert (masked.sequence, masked.changes) == ("MKPSLLAAPT", ())
    (_, again), _ = records_of(f">a\n{WW}\n>a\n{GB1}\n")
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
def test_one_bad_record_is_left_out_and_named(records_of: Read, fault: str, last: bool) -> None:
    lines, flag = BAD[fault]
    good, bad = f">b\n{GB1}\n", f">a\n{lines}\n"
    records, problems = records_of(good + bad if last else bad + good)
    assert [one.problem for one in sorted(records, key=lambda one: one.id)] == [flag, ""]
    assert [one.sequence for one in sorted(records, key=lambda one: one.id)] == ["", GB1]
    assert [problem.record for problem in problems] == ["a"]
    assert "\n" not in str(problems[0])
    with pytest.raises(InputError, match="record 'a': "):
        list(read_fasta(problems[0].source))


def test_headers_without_an_id_have_their_line_named(records_of: Read) -> None:
    records, problems = records_of(f">\n{WW}\n>b\n{GB1}\n>  \n{WW}\n")
    assert [(one.id, one.problem) for one in records] == [(".", "no_id"), ("b", ""), (".", "no_id")]
    assert ["line 1:" in str(problems[0]), "line 5:" in str(problems[1])] == [True, True]


def test_pir_without_an_end_is_not_guessed(records_of: Read) -> None:
    """Its second line may be a sequence or a description."""
    records, problems = records_of(f">P1;a\n{WW}\n>P1;b\nprotein G\n{GB1}*\n")
    assert [(one.id, one.problem) for one in records] == [("a", "cut_off"), ("b", "")]
    assert "no such end" in str(problems[0])


def test_residues_without_a_header_are_one_record(
    records_of: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, content in {"one.fa": WW, "lines.txt": wrapped(WW), "numbers.seq": genpept(WW)}.items():
        (record,), problems = records_of(content, name)
        assert (record.id, record.sequence, problems) == (name.partition(".")[0], WW, [])
    assert capsys.readouterr().err.count("has no header '>'; read as one sequence") == 3
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(WW.encode()))))
    assert [(one.id, one.sequence) for one in read_fasta("-")] == [("stdin", WW)]


@pytest.mark.parametrize("content", [f"{WW}\n{GB1}\n", f"{WW}\n\n{WW}\n", f"{GB1}\n{WW}\n{GB1}\n"])
def test_lines_that_may_be_several_sequences_are_told_of(
    content: str, records_of: Read, capsys: pytest.CaptureFixture[str]
) -> None:
    (record,), _ = records_of(content)
    assert record.sequence == "".join(content.split())
    assert "its lines look like several sequences" in capsys.readouterr().err
    records_of(wrapped(GB1))
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
def test_alignments_are_read(records_of: Read, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    records, _ = records_of(ALIGNED[kind], "x.aln")
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
def test_flat_files_are_read_through_biopython(records_of: Read, content: str, name: str) -> None:
    records, problems = records_of(content + content.replace(f"{name};", "P00001;"), "x.txt")
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
def test_other_formats_are_named_with_the_way_out(records_of: Read, kind: str) -> None:
    with pytest.raises(InputError, match=rf"looks like {kind}, which is not read; \w"):
        records_of(OTHERS[kind])


@pytest.mark.parametrize("content", ["", "\n \n", "; a comment\n", "# only\n"])
def test_nothing_is_an_empty_file(records_of: Read, content: str) -> None:
    with pytest.raises(InputError, match="the file is empty; FASTA is"):
        records_of(content)


@pytest.mark.parametrize("content", ["Dear colleague\nhere it is\n", "see below:\n\nMKV\n"])
def test_text_is_no_sequence(records_of: Read, content: str) -> None:
    with pytest.raises(InputError, match=r"line 1: found '.*' before the first header '>'"):
        records_of(content)


def test_damaged_alignments_are_one_line(records_of: Read) -> None:
    for content in (
        "# STOCKHOLM 1.0\na MKV\nb MKVL\n//\n",
        " 2 3\na MKVL\nb MK\n",
        "CLUSTAL W (1.83) mul",
        "CLUSTAL W (1.83)\n\na MKV\nb MKVL\n",
        "#NEXUS\nbegin data;\nmatrix\na MKV\n",
    ):
        with pytest.raises(InputError, match=r"x\.fa: a .* alignment: ") as error:
            records_of(content)
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
