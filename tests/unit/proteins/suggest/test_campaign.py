"""Campaigns: what was measured, the posterior, and what is suggested."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from biorrn.base.errors import BiorrnError, ConfigError, InputError
from biorrn.proteins.suggest.campaign import (
    Measured,
    Oracle,
    Wish,
    averaged,
    one_protein,
    open_campaign,
    read_campaign,
    suggest,
)
from biorrn.proteins.suggest.candidates import Candidate, Rules, parse_motifs
from biorrn.proteins.suggest.posterior import fit, setting_for
from biorrn.proteins.train_table.table import Columns
from biorrn.sequences.variants import STANDARD
from biorrn.training.gaussian import warp

WILD = "MANKSGTCDEMLIVRW"
SITES = (3, 6, 9)  # from 0
GOOD = {3: "W", 6: "F", 9: "Y"}


def value(sequence: str) -> float:
    """Return how many of the three sites hold what is good there, and a little for what is alike."""
    return float(sum((sequence[p] == new) + 0.3 * (sequence[p] in "FWYH") for p, new in GOOD.items()))


def variants(count: int, seed: int = 0, sites: Sequence[int] = SITES) -> list[str]:
    rng = np.random.default_rng(seed)
    found: dict[str, None] = {}
    while len(found) < count:
        letters = list(WILD)
        for place in sites:
            letters[place] = STANDARD[rng.integers(20)]
        found["".join(letters)] = None
    return list(found)


def campaign(count: int = 60, sign: float = 1.0) -> Measured:
    known = variants(count)
    return averaged("y", "", known, np.array([sign * value(one) for one in known]), WILD, "a test")


def wish(count: int = 8, acquisition: str = "ucb", **options: object) -> Wish:
    rules = Rules(most=3, positions=tuple((place + 1, place + 1) for place in SITES))
    return Wish(count, acquisition, **{"rules": rules} | options)  # type: ignore[arg-type]


def test_proteins_measured_several_times_are_averaged() -> None:
    found = averaged("y", "", ["MA", "MC", "MA", "MD"], np.array([1.0, 2.0, 3.0, np.nan]), "MA", "")
    assert found.sequences == ["MA", "MC"]
    assert found.values.tolist() == [2.0, 2.0]
    assert found.counts.tolist() == [2.0, 1.0]


@pytest.mark.parametrize("sites", [SITES, range(1, 16)], ids=["few sites", "many positions"])
def test_the_posterior_is_that_of_the_closed_form(sites: Sequence[int]) -> None:
    known, asked = variants(40, 0, sites), variants(12, 1, sites)
    setting, settings = setting_for(WILD, [*known, *asked])
    assert (setting.told is None) == (len(sites) <= 8)
    values = np.array([value(one) for one in known]) + np.arange(40) / 100
    posterior = fit(setting, settings, known, values)
    codes = posterior.encode(asked)
    mean, deviation = posterior.marginals(codes)
    covariance = posterior.covariance(codes)
    assert np.sqrt(np.maximum(covariance.diagonal(), 1e-6)) == pytest.approx(deviation, abs=1e-6)
    assert np.linalg.eigvalsh(covariance).min() > -1e-8
    # by the inverse in place of the Cholesky factor
    across = posterior.kernel.gram(posterior.codes, codes).numpy()
    every = posterior.kernel.gram(posterior.codes, posterior.codes).numpy() + (posterior.noise + 1e-6) * np.eye(40)
    before = posterior.kernel.gram(codes, codes).numpy()
    assert covariance == pytest.approx(before - across.T @ np.linalg.inv(every) @ across, abs=1e-6)
    scaled = warp(values, settings)[0]
    assert mean == pytest.approx(across.T @ np.linalg.inv(every) @ scaled, abs=1e-6)
    alone = posterior.marginals(codes[3:4])
    assert alone[0] == pytest.approx(mean[3:4])
    back, slopes = posterior.values(posterior.latent(values))
    assert back == pytest.approx(values, abs=1e-4)
    assert (slopes > 0).all()


def test_what_was_measured_is_certain() -> None:
    oracle = Oracle(campaign(), None, 0, 1.0)
    known, new = oracle.believe(campaign().sequences), oracle.believe(variants(80, 5))
    assert known.deviation.mean() < new.deviation.mean()


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("acquisition", ["ucb", "ei", "thompson", "greedy"])
def test_a_round_finds_better_ones(acquisition: str, sign: float) -> None:
    measured = campaign(sign=sign)
    made = suggest(measured, wish(acquisition=acquisition, minimise=sign < 0))
    true = [value(one.candidate.sequence) for one in made.chosen]
    assert np.mean(true) > np.mean([value(one) for one in measured.sequences]) + 0.5
    assert max(true) >= 2.3
    assert not {one.candidate.sequence for one in made.chosen} & set(measured.sequences)
    assert made.best is not None
    assert value(made.best.candidate.sequence) == max(map(value, measured.sequences))
    assert np.corrcoef([one.value for one in made.chosen], np.multiply(sign, true))[0, 1] > 0  # in the table's sign
    assert all(0 <= one.chance <= 1 for one in made.chosen)


def test_the_same_seed_gives_the_same_round() -> None:
    first, again = (suggest(campaign(), wish(acquisition="thompson", seed=3)) for _ in range(2))
    assert first.chosen == again.chosen


def test_rules_hold_and_lines_tell_why() -> None:
    rules = Rules(most=2, keep=((4, 4),), avoid=parse_motifs(["C"]))
    made = suggest(campaign(), Wish(12, "ei", rules))
    assert all(one.candidate.sequence[3] == "K" and one.candidate.mutations <= 2 for one in made.chosen)
    assert all(one.candidate.sequence.count("C") <= 1 for one in made.chosen)
    assert any("--avoid C" in line for line in made.lines)


def test_a_list_of_candidates() -> None:
    made = suggest(campaign(), wish(9, candidates="K4W:T7F,K4W,T7D", rules=Rules()))
    assert made.chosen[0].candidate.mutation == "K4W:T7F"
    assert any("chosen: 3, not 9" in line for line in made.lines)


def test_by_default_one_substitution_more_than_measured() -> None:
    known = [WILD[:3] + new + WILD[4:] for new in STANDARD if new != "K"]
    measured = averaged("y", "", known, np.array([value(one) for one in known]), WILD, "")
    assert measured.most_mutations == 1
    made = suggest(measured, Wish(4, "greedy", Rules()))
    assert max(one.mutations for one in made.library.candidates) == 2


def test_what_cannot_be_suggested() -> None:
    nothing = averaged("y", "", [], np.zeros(0), WILD, "")
    with pytest.raises(ConfigError, match="neither measured values nor a model"):
        suggest(nothing, wish())
    with pytest.raises(ConfigError, match="did you mean 'ucb'"):
        suggest(campaign(), wish(acquisition="uct"))
    with pytest.raises(ConfigError, match="--number: found 0"):
        suggest(campaign(), wish(0))
    with pytest.raises(BiorrnError, match="no candidate is left; measured: 1"):
        suggest(campaign(), wish(candidates=measured_mutation(), rules=Rules()))


def measured_mutation() -> str:
    return Candidate.of(campaign().sequences[0], WILD).mutation


def test_tables(tmp_path: Path) -> None:
    known = variants(20)
    table = tmp_path / "t.csv"
    table.write_text("sequence,y (U/mg)\n" + "".join(f"{one},{value(one) + k / 50}\n" for k, one in enumerate(known)))
    measured = read_campaign(Columns(str(table), ("y (U/mg)",)), WILD)
    assert (len(measured), measured.wild_type, measured.source) == (20, WILD, "--wild-type")
    found = read_campaign(Columns(str(table), ("y (U/mg)",)), None)
    assert sum(a != b for a, b in zip(found.wild_type, WILD, strict=True)) <= 3  # the consensus
    again, stored = open_campaign(str(table), None, "y (U/mg)", WILD)
    assert stored is None
    assert again.sequences == measured.sequences
    two = tmp_path / "two.fa"
    two.write_text(f">a\n{WILD}\n>b\n{WILD}A\n")
    with pytest.raises(InputError, match="holds 2 proteins"):
        one_protein(str(two))
    with pytest.raises(BiorrnError, match="allowed is FASTA or a sequence"):
        one_protein("MA8K")


def test_unlike_proteins_need_a_list(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    letters = np.array(list(STANDARD))
    known = ["".join(rng.choice(letters, rng.integers(30, 90))) for _ in range(24)]
    values = np.array([one.count("W") / len(one) for one in known])
    measured = averaged("y", "", known, values, "", "")
    with pytest.raises(ConfigError, match="--wild-type: found none"):
        suggest(measured, Wish(2, "ucb", Rules()))
    fasta = tmp_path / "c.fasta"
    fasta.write_text("".join(f">p{k}\n{''.join(rng.choice(letters, 50))}\n" for k in range(10)))
    made = suggest(measured, Wish(3, "ucb", Rules(), str(fasta)))
    assert len({one.candidate.id for one in made.chosen}) == 3
    assert made.wild_type is None


def test_a_model_alone_asks_its_members(shared_model: Path) -> None:
    measured, stored = open_campaign(str(shared_model), None, None, WILD)
    assert len(measured) == 0
    made = suggest(measured, Wish(5, "thompson", Rules(most=1)), stored)
    assert len(made.chosen) == 5
    assert made.best is None
    assert (made.deviations > 0).any()
    oracle = Oracle(measured, stored, 0, 1.0)
    sequences = [one.sequence for one in made.library.candidates[:40]]
    own = oracle.believe(sequences)
    covariance = own.covariance(np.arange(40))
    assert covariance.diagonal() == pytest.approx(own.deviation**2)
    assert np.linalg.matrix_rank(covariance) == 40  # one choice does not tell all others
    alone = oracle.believe(sequences[7:8])
    assert (alone.mean[0], alone.deviation[0]) == pytest.approx((own.mean[7], own.deviation[7]), rel=1e-4)


@pytest.fixture(scope="module")
def shared_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an untrained ensemble of two networks."""
    from biorrn.config.recipe import parse_recipe
    from biorrn.nn.sequence import build
    from biorrn.nn.store import save_model

    folder = tmp_path_factory.mktemp("models") / "two"
    own = {
        "name": "one",
        "task": "regression",
        "model": {
            "frontend": {"name": "embedding", "width": 8},
            "core": {"cell": "gru", "hidden": 8, "layers": 1},
            "pool": ["mean"],
        },
    }
    recipe = parse_recipe(
        {"name": "two", "task": "regression", "members": [{"recipe": own, "seed": k} for k in (0, 1)]}
    )
    facts = {"task": "regression", "outputs": 1, "targets": [{"name": "y", "unit": ""}]}
    torch.manual_seed(0)
    save_model(folder, build(recipe, facts).eval(), recipe, facts)
    return folder


def test_another_wild_type() -> None:
    known = campaign()
    for other in (WILD[::-1], WILD + "A"):
        measured = averaged("y", "", known.sequences, known.values, other, "--wild-type")
        with pytest.raises(ConfigError, match="most of the 60 measured proteins are no variants"):
            suggest(measured, wish())


def noise(count: int = 60) -> Measured:
    known = variants(count)
    return averaged("y", "", known, np.random.default_rng(2).normal(size=count), WILD, "a test")


def test_values_that_predict_nothing_are_told_and_those_that_do_are_not() -> None:
    good, poor = suggest(campaign(), wish()), suggest(noise(), wish())
    assert not good.caution
    assert any(line.startswith("measured variants, each predicted from the others: Spearman 0.") for line in good.lines)
    assert "they do not show yet what is good" in poor.caution
    (line,) = (line for line in poor.lines if line.startswith("warning: "))
    assert line.endswith("Take this round as exploration")
    (line,) = (line for line in suggest(noise(), wish(acquisition="greedy")).lines if line.startswith("warning: "))
    assert "ucb weighs their uncertainty" in line


def test_a_check_learns_the_kernel_without_the_rows_it_predicts() -> None:
    """Of pure noise nothing can be predicted, though a process that has seen all rows explains them."""
    assert np.mean([Oracle(noise(40), None, 0, 1.0, seed).check()["low"] for seed in range(4)]) < 0
    assert Oracle(campaign(), None, 0, 1.0).check()["low"] > 0.3
    assert Oracle(campaign(8), None, 0, 1.0).check() == {}
    assert any("8 measured variants, too few to check" in line for line in suggest(campaign(8), wish()).lines)


def test_repeats_are_averaged_and_it_is_said(tmp_path: Path) -> None:
    rows = [f"{name},{value(name)}" for name in variants(20)]
    table = tmp_path / "t.csv"
    table.write_text("\n".join(["sequence,y", *rows, *rows[:6], f"{variants(20)[6]},30"]) + "\n")
    said: list[str] = []
    measured = read_campaign(Columns(str(table), ("y",)), WILD, said.append)
    assert said[-1].startswith("warning: 1 of 7 proteins that were measured several times have values that contradict")
    assert "measured: 20 proteins in 27 rows; repeats are averaged" in suggest(measured, wish()).lines[0]
