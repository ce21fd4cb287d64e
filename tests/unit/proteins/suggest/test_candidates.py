"""Candidates of the next round: substitutions, combinations, lists, rules."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from biorrn.base.errors import BiorrnError, ConfigError
from biorrn.proteins.suggest.candidates import Candidate, Rules, combinations, listed, parse_motifs

WILD = "MANKSGTC"


def rate(sequences: Sequence[str]) -> np.ndarray:
    """Return the number of tryptophans."""
    return np.array([float(one.count("W")) for one in sequences])


def made(rules: Rules, measured: Sequence[str] = (), most: int = 50_000) -> dict[str, Candidate]:
    library = combinations(WILD, rules, measured, np.zeros(len(measured)), rate, most)
    assert len({one.sequence for one in library.candidates}) == len(library)
    return {one.mutation: one for one in library.candidates}


def test_single_substitutions() -> None:
    found = made(Rules(most=1))
    assert len(found) == 7 * 19  # the methionine of the start codon stays
    assert found["A2W"].sequence == "MWNKSGTC"
    assert len(made(Rules(most=1, positions=((1, 1),)))) == 19
    assert len(made(Rules(most=1, offset=10))) == 8 * 19  # a fragment
    assert "A12W" in made(Rules(most=1, offset=10))


def test_all_combinations() -> None:
    found = made(Rules(most=3, positions=((2, 4),)))
    assert len(found) == sum(math.comb(3, size) * 19**size for size in (1, 2, 3))
    assert max(one.mutations for one in found.values()) == 3
    assert found["A2W:N3W:K4W"].sequence == "MWWWSGTC"


def test_combinations_of_the_best_where_there_are_too_many() -> None:
    found = made(Rules(most=4), most=30_000)
    assert 7 * 19 < len(found) <= 30_000
    assert "A2W:N3W:K4W:S5W" in found
    best = max(found.values(), key=lambda one: one.sequence.count("W"))
    assert best.sequence.count("W") == 4


def test_the_best_measured_are_extended() -> None:
    """No pair leads to these three, but they were measured."""

    def rated(sequences: Sequence[str]) -> np.ndarray:
        return rate(sequences) + np.array([10.0 * one.startswith("MDDD") for one in sequences])

    parent = "MDDDSGTC"
    for measured, there in (([parent], True), ([], False)):
        library = combinations(WILD, Rules(most=4), measured, np.ones(len(measured)), rated, 30_000)
        assert ("A2D:N3D:K4D:S5W" in {one.mutation for one in library.candidates}) == there


def test_kept_positions_and_motifs() -> None:
    rules = Rules.of(1, keep="2-3,6", avoid=parse_motifs(["C", "N[^P][ST]"]))
    found = made(rules)
    assert not [name for name in found if name[:-1] in ("A2", "N3", "G6")]
    assert not [name for name in found if name.endswith("C")]
    assert "K4P" in found  # takes the motif that the wild type has away
    assert "K4R" in found  # keeps it, as the wild type
    assert "T7N" in found  # at the end there is no motif
    assert "S5N" in made(Rules.of(1))
    assert "S5N" not in found


@pytest.mark.parametrize(("text", "message"), [("([", "no regular expression"), ("A*", "empty sequence")])
def test_motifs_that_are_none(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_motifs([text])


def test_positions_outside() -> None:
    with pytest.raises(ConfigError, match="--keep: found 9; the wild type has residues 1 to 8"):
        Rules.of(1, keep="9").places(WILD)
    with pytest.raises(ConfigError, match="no position is left"):
        Rules.of(1, keep="1-8").places(WILD)
    with pytest.raises(ConfigError, match="--keep: found '4-2'"):
        Rules.of(1, keep="4-2")


def test_lists(tmp_path: Path) -> None:
    found = listed("A2W, N3W:K4W,A2W,WT", WILD, Rules(), ["MANKSGTW"])
    assert [one.mutation for one in found.candidates] == ["A2W", "N3W:K4W"]
    assert found.left_out == {"repeated": 1, "wild type": 1}
    fasta = tmp_path / "c.fasta"
    fasta.write_text(">one\nMWNKSGTC\n>two\nMANKSGTW\n>long\nMANKSGTCKKKK\n")
    found = listed(str(fasta), WILD, Rules(), ["MANKSGTW"])
    assert [(one.id, one.mutation, one.mutations) for one in found.candidates] == [("one", "A2W", 1), ("long", "", -1)]
    assert found.left_out == {"measured": 1}
    table = tmp_path / "c.csv"
    table.write_text("mutation,note\nA2W,x\nA2W:N3D:K4D,y\nS5W,z\n")
    found = listed(str(table), WILD, Rules(most=2, keep=((5, 5),)), [])
    assert [one.id for one in found.candidates] == ["A2W"]
    assert found.left_out == {"more than --max-mutations": 1, "changes --keep": 1}
    with pytest.raises(ConfigError, match="need --wild-type"):
        listed("A2W", "", Rules(), [])
    with pytest.raises(BiorrnError, match="wild type"):
        listed("G2W,G3W", WILD, Rules(), [])
