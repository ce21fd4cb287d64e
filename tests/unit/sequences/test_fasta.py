"""FASTA of proteins: what is cleaned, what is refused, and in which words."""

import gzip
import io
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biorrn.base.errors import Fault, InputError
from biorrn.sequences.alphabets import RESIDUES
from biorrn.sequences.fasta import AMBIGUOUS, clean_sequence, read_fasta


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
    assert clean_sequence(written) == (sequence, unknown)


@given(st.text(alphabet=RESIDUES + AMBIGUOUS + "-.", min_size=1, max_size=25), st.booleans())
def test_cleaning_twice_is_cleaning_once(written, lower):
    written = "M" + (written.lower() if lower else written)
    sequence, unknown = clean_sequence(written)
    assert clean_sequence(sequence) == (sequence, unknown)
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
        clean_sequence(written)
    assert message in str(error.value)


@pytest.mark.parametrize("written", ["ACGT" * 7, "GA" * 40, "ACGT" * 7 + "MKLV", "MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQ"])
def test_short_or_repetitive_proteins_are_not_dna(written):
    assert clean_sequence(written)[0] == written


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
