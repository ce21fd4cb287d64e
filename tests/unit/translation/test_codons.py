"""Made-up coding sequences, and the genetic code."""

import pytest
from Bio.Data.CodonTable import standard_dna_table
from Bio.Seq import Seq

from biorrn.translation.data import CODONS, STANDARD, coding_pairs, translate


def test_code_is_that_of_table_1() -> None:
    assert {codon: letter for codon, letter in STANDARD.items() if letter != "*"} == standard_dna_table.forward_table
    assert sorted(CODONS["*"]) == sorted(standard_dna_table.stop_codons)
    assert sum(map(len, CODONS.values())) == 64


def test_pairs_are_what_biopython_translates() -> None:
    pairs = list(coding_pairs(60, 3, 9, seed=4))
    assert {len(pair.target) for pair in pairs} == set(range(3, 10))
    for pair in pairs:
        assert pair.source.startswith("ATG")
        assert str(Seq(pair.source).translate(cds=True)) == pair.target == translate(pair.source)
    assert {letter for pair in pairs for letter in pair.target} == set(CODONS) - {"*"}


@pytest.mark.parametrize("seed", [0, 7])
def test_same_seed_same_pairs_and_more_begin_alike(seed: int) -> None:
    few, many = list(coding_pairs(3, 5, 9, seed)), list(coding_pairs(6, 5, 9, seed))
    assert few == many[:3]
    assert [pair.source for pair in few] != [pair.source for pair in coding_pairs(3, 5, 9, seed + 1)]
