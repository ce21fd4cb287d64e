"""Baselines learn what they can, and a model that does not beat them is told so."""

import numpy as np
import pytest

from biorrn.base.errors import BiorrnError, ConfigError
from biorrn.nn.forest import learn, learn_in_folds, substitutions
from biorrn.proteins.baselines import (
    classical as baselines_features,
)
from biorrn.proteins.baselines import (
    classical as baselines_neighbours,
)
from biorrn.proteins.baselines import (
    networks as baselines_networks,
)
from biorrn.proteins.baselines.fit import BASELINES, SETS, choose, compare
from biorrn.proteins.baselines.problem import Problem, one_hot, padded
from biorrn.proteins.predictions import Proteins
from biorrn.sequences.alphabets import RESIDUES, consensus, tokens
from biorrn.stats.baselines import Baseline, difference, headline, verdict


def proteins(sequences: list[str], targets: list[float], weights: list[float] | None = None) -> Proteins:
    coded = [tokens(sequence) for sequence in sequences]
    return Proteins(
        np.array([f"p{i}" for i in range(len(sequences))], dtype=object),
        np.concatenate([*coded, np.zeros(0, np.uint8)]),
        np.array([len(code) for code in coded], np.int64),
        np.array(targets, dtype=float)[:, None],
        np.ones(len(sequences)) if weights is None else np.array(weights),
    )


def random_proteins(n: int, seed: int) -> Proteins:
    """Return proteins whose target is their alanines less the tryptophans at position 0."""
    rng = np.random.default_rng(seed)
    sequences = ["".join(rng.choice(list("ACDEW"), int(rng.integers(8, 12)))) for _ in range(n)]
    return proteins(sequences, [s.count("A") / len(s) - 2.0 * (s[0] == "W") for s in sequences])


@pytest.fixture
def few_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let networks train briefly, where what they learn does not matter."""
    monkeypatch.setattr(baselines_networks, "MOST_EPOCHS", 3)


def fitted(name: str, train: Proteins, rows: Proteins, target: np.ndarray | None = None) -> Baseline:
    return BASELINES[name](Problem(train, train.targets[:, 0] if target is None else target, rows))


def test_one_hot_is_by_position_and_cut_at_the_longest() -> None:
    dense = one_hot(proteins(["AC", "CAW"], [0, 0]), longest=2).toarray()
    assert dense.shape == (2, 44)
    assert np.flatnonzero(dense[0]).tolist() == [1, 22 + 2]
    assert np.flatnonzero(dense[1]).tolist() == [2, 22 + 1]


def test_padded_holds_each_row_and_zeros() -> None:
    assert padded(proteins(["AC", "CAW"], [0, 0]), 2).tolist() == [[1, 2], [2, 1]]
    assert padded(proteins(["AC", "C"], [0, 0]), 3).tolist() == [[1, 2, 0], [2, 0, 0]]


def test_select_keeps_sequences_with_their_rows() -> None:
    rows = proteins(["AAC", "W", "CC"], [1, 2, 3]).select(np.array([False, True, True]))
    assert rows.tokens.tolist() == [*tokens("W"), *tokens("CC")]
    assert rows.targets[:, 0].tolist() == [2, 3]


@pytest.mark.parametrize("name", BASELINES)
def test_every_baseline_gives_one_finite_number_a_row_and_is_repeatable(name: str, few_epochs: None) -> None:
    train, rows = random_proteins(60, 0), random_proteins(9, 1)
    first, second = fitted(name, train, rows), fitted(name, train, rows)
    assert first.predicted.shape == (9,)
    assert np.isfinite(first.predicted).all()
    assert np.array_equal(first.predicted, second.predicted)
    assert "60" in first.description


HARD = {
    "one training row": (["ACD"], ["ACDEFG", "W"]),
    "one residue": (["A", "C", "W"], ["A", "C", "X"]),
    "lengths far apart": (["A" * 5, "ACDEFGHIKL" * 150, "W" * 40], ["C" * 1200, "A"]),
    "all training rows the same": (["ACDEF"] * 12, ["ACDEF", "ACDEG"]),
}


@pytest.mark.parametrize("case", HARD)
@pytest.mark.parametrize("name", BASELINES)
def test_every_baseline_copes_with(name: str, case: str, few_epochs: None) -> None:
    train, rows = (proteins(sequences, [2.0] * len(sequences)) for sequences in HARD[case])
    found = fitted(name, train, rows)
    assert found.predicted.shape == (len(rows),)
    assert found.predicted == pytest.approx(np.full(len(rows), 2.0), abs=1e-3)  # there is nothing else to learn


@pytest.mark.parametrize("name", [name for name in BASELINES if name != "length"])
def test_a_row_gets_the_same_answer_alone(name: str, few_epochs: None) -> None:
    train, rows = random_proteins(60, 0), random_proteins(9, 1)
    together = fitted(name, train, rows).predicted
    alone = fitted(name, train, rows.select(np.arange(9) == 4)).predicted
    assert alone == pytest.approx(together[4:5], rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("name", ["dense", "cnn"])
def test_networks_leave_the_random_state_and_the_threads_as_they_were(name: str, few_epochs: None) -> None:
    import torch

    state, threads = torch.random.get_rng_state(), torch.get_num_threads()
    fitted(name, random_proteins(30, 0), random_proteins(3, 1))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_mean_is_weighted() -> None:
    train = proteins(["A", "C"], [0.0, 4.0], [3.0, 1.0])
    assert fitted("mean", train, train).predicted.tolist() == [1.0, 1.0]


def test_length_learns_what_the_length_says() -> None:
    train = proteins(["A" * n for n in (10, 20, 30) * 40], [1.0, 2.0, 3.0] * 40)
    found = fitted("length", train, proteins(["C" * 10, "C" * 20, "C" * 30, "C" * 90, "C"], [0.0] * 5)).predicted
    assert found == pytest.approx([1, 2, 3, 3, 1], abs=0.15)


@pytest.mark.parametrize("name", ["ridge", "dense"])
def test_a_position_is_learnt(name: str) -> None:
    train, rows = random_proteins(400, 0), random_proteins(100, 1)
    assert np.corrcoef(fitted(name, train, rows).predicted, rows.targets[:, 0])[0, 1] > 0.9


@pytest.mark.parametrize("name", ["forest", "extra_trees", "svm"])
def test_a_composition_is_learnt(name: str) -> None:
    train, rows = random_proteins(400, 0), random_proteins(100, 1)
    share = [np.array([s.sum() / len(s) for s in np.split(part.tokens == 1, np.cumsum(part.lengths)[:-1])])
             for part in (train, rows)]  # fmt: skip
    assert np.corrcoef(fitted(name, train, rows, share[0]).predicted, share[1])[0, 1] > 0.95


def test_cnn_finds_a_motif_anywhere() -> None:
    rng = np.random.default_rng(0)
    sequences = ["".join(rng.choice(list("ACDE"), 30)) for _ in range(300)]
    with_motif = [s[: (k := int(rng.integers(0, 26)))] + "WWW" + s[k + 3 :] for s in sequences[:150]]
    found = [*with_motif, *sequences[150:]]
    train = proteins(found, [1.0] * 150 + [0.0] * 150)
    rows = proteins(["ACDEACDEACDE" * 2 + "WWWACDEAC", "ACDEACDEACDE" * 3], [1, 0])
    high, low = fitted("cnn", train, rows).predicted
    assert high > 0.8
    assert low < 0.2


def test_neighbour_copies_the_nearest_and_averages_ties() -> None:
    train = proteins(["ACDEFGHIKL", "ACDEFGHIKW", "WWWWWWWWWW", "MNPQRSTVWYMNPQRSTVWY"], [1.0, 2.0, 5.0, 9.0])
    rows = proteins(
        ["ACDEFGHIKL", "ACDEFGHIKM", "WWWWWWWWWC", "MNPQRSTVWYMNPQRSTVW", "LLLLLLLLLLLLLLLLLLLLLLL"], [0.0] * 5
    )
    assert fitted("neighbour", train, rows).predicted.tolist() == [1.0, 1.5, 5.0, 9.0, 4.25]  # the last: the mean


def scan(seed: int, number: int) -> tuple[Proteins, np.ndarray]:
    """Return single substitutions of a protein, whose value is the sum of the site's weight and the residue's."""
    rng = np.random.default_rng(seed)
    wild = "".join(np.random.default_rng(9).choice(list(RESIDUES[:20]), 40))
    weights = np.random.default_rng(7).normal(size=(40, 1)) + 0.5 * np.random.default_rng(8).normal(size=20)
    texts, values = [], []
    for site, new in zip(rng.integers(0, 40, number), rng.integers(0, 20, number), strict=True):
        texts.append(wild[:site] + RESIDUES[new] + wild[site + 1 :])
        values.append(weights[site, new] if RESIDUES[new] != wild[site] else 0.0)
    return proteins(texts, values), np.array(values)


def test_site_trees_learn_sites_and_never_their_own_value() -> None:
    train, values = scan(0, 300)
    rows, true = scan(1, 100)
    found = fitted("site_trees", train, rows, values)
    assert np.corrcoef(found.predicted, true)[0, 1] > 0.8
    # of noise there is nothing to learn: in folds, the means of the sites do not give away a row's own value
    drawn = np.random.default_rng(3).normal(size=300)
    known = substitutions(padded(train, 40), consensus(train.tokens, train.lengths))
    learned = learn_in_folds(known, drawn, np.ones(300), 40, 0)[:, 0]
    assert abs(np.corrcoef(learned, drawn[known.row])[0, 1]) < 0.3
    seen = learn(known, drawn, np.ones(300), 40).of(known)[:, 0]
    assert np.corrcoef(seen, drawn[known.row])[0, 1] > 0.3


def test_site_trees_of_unlike_proteins_are_the_mean() -> None:
    rng = np.random.default_rng(0)
    train = proteins(["".join(rng.choice(list("ACDEFGHIKL"), 30)) for _ in range(50)], list(rng.normal(size=50)))
    found = fitted("site_trees", train, train)
    assert np.ptp(found.predicted) == 0
    assert "no variants of one protein" in found.description


LIMITS = [
    (baselines_features, "FOREST_ROWS", "forest", "20 of 50"),
    (baselines_features, "FOREST_ROWS", "extra_trees", "20 of 50"),
    (baselines_features, "SVM_ROWS", "svm", "20 of 50"),
    (baselines_networks, "NETWORK_ROWS", "cnn", "18 of 50"),  # and 2 that choose the epoch
    (baselines_neighbours, "NEIGHBOUR_ROWS", "neighbour", "20 of 50"),
]


@pytest.mark.parametrize(("module", "limit", "name", "words"), LIMITS)
def test_a_baseline_says_how_many_rows_it_used(
    monkeypatch: pytest.MonkeyPatch, module: object, limit: str, name: str, words: str
) -> None:
    monkeypatch.setattr(module, limit, 20)
    train = random_proteins(50, 0)
    assert words in fitted(name, train, train).description


def test_names_and_sets() -> None:
    assert choose("all") == tuple(BASELINES)
    assert choose("none") == ()
    assert set(choose("fast")) < set(BASELINES)
    assert choose(" cnn, mean,cnn") == ("cnn", "mean")
    assert set(SETS).isdisjoint(BASELINES)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ("rigde", "did you mean 'ridge'"),
        ("fats", "did you mean 'fast'"),
        ("mean,all", "'all' is unknown"),
        (",", "found ','"),
    ],
)
def test_unknown_names(names: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        choose(names)


def test_a_perfect_model_beats_and_a_random_one_does_not() -> None:
    train, rows = random_proteins(200, 0), random_proteins(150, 1)
    names = ["mean", "ridge", "neighbour"]
    perfect = compare(train, rows, rows.targets[:, 0], 0, names=names)
    assert list(perfect) == ["ridge", "neighbour", "mean"]  # the best first
    assert all(entry["beats"] for entry in perfect.values())
    assert headline(perfect) == "The model beats all 3 baselines."
    noise = compare(train, rows, np.random.default_rng(0).normal(size=150), 0, names=names)
    assert "does not beat" in headline(noise)
    assert "is worse than ridge" in headline(noise)
    assert not noise["ridge"]["beats"]
    assert "does not beat" in noise["ridge"]["sentence"]
    assert "worse" in noise["ridge"]["sentence"]
    constant = compare(train, rows, np.zeros(150), 0, names=["mean"])
    assert not constant["mean"]["beats"]  # both rank nothing


def test_training_rows_without_the_target_are_left_out() -> None:
    train = proteins(["A", "C", "D"], [1.0, np.nan, 3.0])
    found = compare(train, train, np.zeros(3), 0, names=["mean"])
    assert "2 training rows" in found["mean"]["description"]
    with pytest.raises(BiorrnError, match="no-baselines"):
        compare(proteins(["A"], [np.nan]), train, np.zeros(3), 0)


def test_difference_is_paired() -> None:
    rng = np.random.default_rng(0)
    true = rng.normal(size=100)
    predicted = true + rng.normal(size=100)
    same = difference("spearman", true, predicted, predicted.copy())
    assert (same["value"], same["low"], same["high"]) == (0, 0, 0)
    assert verdict("twin", same)[0] is False
    assert difference("rmse", true, predicted, np.zeros(100))["n"] == 100


def test_verdict_on_too_few_rows() -> None:
    beats, sentence = verdict("mean", difference("spearman", np.zeros(0), np.zeros(0), np.zeros(0)))
    assert not beats
    assert "too few" in sentence


@pytest.mark.parametrize(
    ("low", "high", "beats", "words"),
    [(0.01, 0.2, True, "beats"), (-0.01, 0.2, False, "may be chance"), (-0.3, -0.1, False, "is worse")],
)
def test_only_a_whole_interval_above_zero_beats(low: float, high: float, beats: bool, words: str) -> None:
    found, sentence = verdict("ridge", {"n": 50, "value": (low + high) / 2, "low": low, "high": high})
    assert found is beats
    assert words in sentence
    assert sentence.startswith(f"The model {'beats' if beats else 'does not beat'} the baseline 'ridge'")
