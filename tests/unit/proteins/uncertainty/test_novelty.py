"""What is unlike the training rows is flagged, and about one in a hundred of what is like them."""

import csv
import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from biorrn.base.errors import BiorrnError
from biorrn.proteins.uncertainty import novelty
from biorrn.proteins.uncertainty.novelty import WIDTH, describe, distances, fit, unlike
from biorrn.sequences.alphabets import RESIDUES, tokens

LETTERS = list(RESIDUES[:-1])


def packed(sequences: list[str]) -> tuple[np.ndarray, np.ndarray]:
    return tokens("".join(sequences)), np.array([len(sequence) for sequence in sequences])


def designs(count: int, seed: int) -> list[str]:
    """Return proteins of 40 to 50 residues that are rich in a few of them."""
    rng = np.random.default_rng(seed)
    share = np.array([4.0 if letter in "EKLAR" else 0.0 if letter == "C" else 1.0 for letter in LETTERS])
    return ["".join(rng.choice(LETTERS, rng.integers(40, 51), p=share / share.sum())) for _ in range(count)]


@pytest.fixture(scope="module")
def entry() -> dict:
    found = fit(*packed(designs(2000, 0)), *packed(designs(1000, 1)))
    assert found is not None
    return found


def test_one_in_a_hundred_of_the_same_kind(entry: dict) -> None:
    assert unlike(entry, *packed(designs(1000, 1))).mean() == pytest.approx(0.01, abs=0.001)
    assert 0.001 < unlike(entry, *packed(designs(2000, 2))).mean() < 0.03


@pytest.mark.parametrize(
    "sequence",
    ["ACGT" * 11, "GATTACA" * 6, "A" * 45, "G" * 45, "C" * 45, "W" * 3, "X" * 45, "LK" * 22, "EKLAR" * 80, "M" * 5000],
)
def test_what_is_flagged(entry: dict, sequence: str) -> None:
    assert unlike(entry, *packed([sequence]))[0]


def test_what_a_model_keeps_is_small_and_survives_json(entry: dict) -> None:
    text = json.dumps(entry)
    assert len(text) < 25_000
    sequences = packed(designs(20, 3))
    assert np.array_equal(distances(json.loads(text), *sequences), distances(entry, *sequences))


def test_alone_as_in_company(entry: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    sequences = [*designs(20, 4), "", "A", "AC", "M" * 300, ""]
    together = distances(entry, *packed(sequences))
    alone = np.concatenate([distances(entry, *packed([sequence])) for sequence in sequences])
    np.testing.assert_allclose(together, alone, rtol=1e-9)
    monkeypatch.setattr(novelty, "BLOCK", 100)
    np.testing.assert_allclose(distances(entry, *packed(sequences)), together, rtol=1e-9)
    assert not unlike(entry, *packed([""])).any()


def test_a_description_by_hand() -> None:
    [row] = describe(*packed(["LKLX"]))
    assert row.shape == (WIDTH,)
    shares = dict(zip(RESIDUES, row, strict=False))
    assert {letter: share for letter, share in shares.items() if share} == {"L": 0.5, "K": 0.25, "X": 0.25}
    kinds = row[len(RESIDUES) : len(RESIDUES) + 36].reshape(6, 6)
    assert kinds[0, 3] == kinds[3, 0] == pytest.approx(1 / 3)  # L then K, K then L; X is in no class
    assert kinds.sum() == pytest.approx(2 / 3)
    assert row[-5] == pytest.approx(1 / 2)  # L and L are two apart, out of two such pairs
    assert row[-1] == pytest.approx(np.log(4))


def test_neighbours_in_the_batch_are_not_neighbours_in_a_protein() -> None:
    both = describe(*packed(["LL", "LL"]))
    np.testing.assert_array_equal(both[0], both[1])
    np.testing.assert_array_equal(both[0], describe(*packed(["LL"]))[0])


def test_variants_of_one_protein() -> None:
    """Nothing varies but a residue or two: a third is no reason for alarm, another protein is."""
    rng = np.random.default_rng(0)
    wild = "".join(rng.choice(LETTERS, 120))

    def mutant(changes: int) -> str:
        letters = list(wild)
        for place in rng.integers(0, 120, changes):
            letters[place] = str(rng.choice(LETTERS))
        return "".join(letters)

    entry = fit(*packed([mutant(2) for _ in range(500)]), *packed([mutant(2) for _ in range(200)]))
    assert entry is not None
    assert unlike(entry, *packed([mutant(3) for _ in range(200)])).mean() < 0.2
    assert unlike(entry, *packed(["".join(rng.permutation(LETTERS * 6)) for _ in range(20)])).all()


@pytest.mark.parametrize("held", [0, 3])
def test_few_rows(held: int) -> None:
    assert fit(*packed(["MKV"]), *packed([])) is None
    entry = fit(*packed(["MKV", "MKL"]), *packed(["MKI"] * held))
    assert entry is not None
    assert np.isfinite(entry["threshold"])
    assert unlike(entry, *packed(["W" * 50]))[0]


def test_without_held_out_rows_the_threshold_is_no_tighter() -> None:
    entry = fit(*packed(designs(150, 5)), *packed([]))
    assert entry is not None
    assert unlike(entry, *packed(designs(1000, 6))).mean() < 0.05
    assert unlike(entry, *packed(["ACGT" * 11]))[0]


def test_real_mini_proteins(shared_data: Path) -> None:
    sets: dict[str, list[str]] = {"train": [], "valid": []}
    with gzip.open(shared_data / "protein" / "stability" / "stability.csv.gz", "rt") as stream:
        for row in csv.DictReader(stream):
            sets[row["set"]].append(row["sequence"])
    entry = fit(*packed(sets["train"][::6]), *packed(sets["valid"]))
    assert entry is not None
    assert unlike(entry, *packed(sets["valid"])).mean() == pytest.approx(0.01, abs=0.003)
    rng = np.random.default_rng(0)
    dna = ["".join(rng.choice(list("ACGT"), 45)) for _ in range(200)]
    assert unlike(entry, *packed([*dna, "A" * 43])).all()
    with gzip.open(shared_data / "protein" / "pfam_domains" / "domains.csv.gz", "rt") as stream:
        domains = [row["sequence"] for row in csv.DictReader(stream)]
    domains = [domain for domain in domains if set(domain) <= set(RESIDUES)][::10]
    assert unlike(entry, *packed(domains)).mean() > 0.99
    short = [domain[:43] for domain in domains if len(domain) >= 43]
    assert unlike(entry, *packed(short)).mean() > 0.95


def test_relatives_share_words() -> None:
    rng = np.random.default_rng(0)
    train = [rng.integers(1, 21, 300).astype(np.uint8) for _ in range(200)]
    lengths = np.full(200, 300)
    packed = novelty.sketch(np.concatenate(train), lengths)
    near = train[7].copy()
    near[rng.choice(300, 30, replace=False)] = 1  # 90 % identity
    cut = train[8][50:250]
    fresh = [rng.integers(1, 21, 300).astype(np.uint8) for _ in range(50)]
    asked = [train[3], near, cut, *fresh, np.zeros(0, np.uint8)]
    found = novelty.alone(packed, np.concatenate(asked), np.array([len(one) for one in asked]))
    assert found[:3].tolist() == [False, False, False]
    assert found[3:-1].mean() > 0.95
    assert not found[-1]
    assert novelty.alone(packed, np.array([1, 2, 3], np.uint8), np.array([3])).tolist() == [True]
    with pytest.raises(BiorrnError, match="relatives"):
        novelty.alone("AAAA", fresh[0], np.array([300]))


@pytest.mark.parametrize(("part", "expected"), [(0.0, False), (0.01, False), (0.1, True), (1.0, True)])
def test_rows_that_are_mutants_of_others_are_seen(part: float, expected: bool) -> None:
    rng = np.random.default_rng(1)
    rows = [rng.integers(1, 21, 40).astype(np.uint8) for _ in range(300)]
    for place in rng.choice(300, int(150 * part), replace=False):
        twin = rows[place].copy()
        twin[5] = twin[5] % 20 + 1
        rows.append(twin)
    found = novelty.has_mutants(np.concatenate(rows), np.full(len(rows), 40))
    assert found is expected
