"""Splitters: what each promises, and what `--split` accepts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biorrn.base.errors import ConfigError
from biorrn.sequences.alphabets import tokens
from biorrn.sequences.prepared.schema import SPLITS
from biorrn.sequences.splits import (
    FOLDS,
    LEFT_OUT,
    SPLITTERS,
    SYNONYMS,
    Cluster,
    Column,
    Folds,
    Random,
    Rows,
    changed_positions,
    mutated_sites,
    order_split,
    parse_folds,
    parse_split,
    site_fold_splits,
    site_folds,
)

EXAMPLES = {
    "column": "column:set",
    "random": "random:0.5,0.25,0.25",
    "cluster": "cluster:0.8:0.5,0.25,0.25",
    "reference": "reference:chr1:5-9=valid,chr1:9-12=test",
}


def rows(number=40, seed=0):
    """Return rows that every splitter can use."""
    rng = np.random.default_rng(seed)
    sequences = ["".join(rng.choice(list("ACDEFGHIKL"), 30)) for _ in range(number)]
    return Rows(
        ids=[f"p{i}" for i in range(number)],
        values=[SPLITS[i % 3] for i in range(number)],
        tokens=tokens("".join(sequences)),
        offsets=np.arange(0, 30 * number + 1, 30),
        reference="chr1",
        positions=np.arange(number),
    )


def splitter(name, seed=0):
    return parse_split(EXAMPLES[name], SPLITTERS[name].kinds[0], seed)


@pytest.mark.parametrize("name", SPLITTERS)
def test_every_row_gets_a_code_and_every_split_some_rows(name):
    codes = splitter(name).assign(rows())
    assert codes.dtype == np.uint8
    assert codes.shape == (40,)
    assert set(codes.tolist()) == {0, 1, 2}


@pytest.mark.parametrize("name", SPLITTERS)
def test_the_same_twice(name):
    assert np.array_equal(splitter(name).assign(rows()), splitter(name).assign(rows()))


@pytest.mark.parametrize("name", ["random", "cluster"])
def test_another_seed_another_split(name):
    assert not np.array_equal(splitter(name, 0).assign(rows()), splitter(name, 1).assign(rows()))


seeds = st.integers(0, 5)


def test_every_splitter_has_an_example():
    assert set(EXAMPLES) == set(SPLITTERS)


@given(st.lists(st.sampled_from("abcdefgh"), min_size=3, max_size=30).filter(lambda ids: len(set(ids)) > 2), seeds)
def test_random_keeps_an_id_together_and_ignores_the_order(ids, seed):
    split = Random((0.6, 0.2, 0.2), seed)
    codes = split.assign(Rows(ids=ids))
    of = dict(zip(ids, codes.tolist(), strict=True))
    assert [of[name] for name in ids] == codes.tolist()
    assert split.assign(Rows(ids=ids[::-1])).tolist() == codes.tolist()[::-1]


@given(st.integers(3, 60), st.integers(0, 20))
def test_random_parts_have_their_sizes(number, seed):
    codes = Random((0.8, 0.1, 0.1), seed).assign(Rows(ids=[str(i) for i in range(number)]))
    sizes = np.bincount(codes, minlength=3)
    assert (sizes >= 1).all()
    assert np.abs(sizes - number * np.array([0.8, 0.1, 0.1])).max() <= 2


@pytest.mark.parametrize(
    ("text", "message"),
    [("random", "found 2 ids; expected at least 3"), ("cluster:0.8", "found 1 clusters of identity 0.8")],
)
def test_too_few_to_split_is_an_error(text, message):
    same = Rows(ids=["a", "a", "b"], tokens=tokens("ACDEFGHIKLMNPQRSTVWY" * 3), offsets=np.array([0, 20, 40, 60]))
    with pytest.raises(ConfigError, match=message):
        parse_split(text, "protein").assign(same)
    codes = parse_split(f"{text}:0,0,1", "protein").assign(same)
    assert codes.tolist() == [2, 2, 2]


def test_a_part_of_zero_stays_empty():
    codes = Random((0.5, 0.5, 0.0)).assign(Rows(ids=[str(i) for i in range(20)]))
    assert np.bincount(codes, minlength=3).tolist() == [10, 10, 0]


def test_cluster_keeps_similar_sequences_on_one_side():
    rng = np.random.default_rng(0)
    centres = ["".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), 40)) for _ in range(30)]
    sequences = [centre[:i] + "W" + centre[i + 1 :] for centre in centres for i in (3, 17, 30, 38)]
    codes = Cluster(0.7).assign(Rows(tokens=tokens("".join(sequences)), offsets=np.arange(0, 40 * 120 + 1, 40)))
    assert (codes.reshape(30, 4) == codes.reshape(30, 4)[:, :1]).all()
    assert np.abs(np.bincount(codes, minlength=3) - [96, 12, 12]).max() <= 4


def test_a_large_cluster_goes_to_train():
    rng = np.random.default_rng(1)
    others = ["".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), 40)) for _ in range(60)]
    sequences = ["ACDEFGHIKLMNPQRSTVWY" * 2] * 40 + others
    offsets = np.arange(0, 4000 + 1, 40)
    for seed in range(5):
        codes = Cluster(0.7, seed=seed).assign(Rows(tokens=tokens("".join(sequences)), offsets=offsets))
        assert not codes[:40].any()
        assert (np.bincount(codes, minlength=3)[1:] > 0).all()


@pytest.mark.parametrize("strand", [1, -1])
def test_reference_is_by_place_whatever_the_strand(strand):
    positions = np.arange(20)[::strand]
    codes = parse_split("reference:chr1:5-9=valid", "signal").assign(Rows(reference="chr1", positions=positions))
    assert np.array_equal(np.sort(positions[codes == 1]), [5, 6, 7, 8])
    assert not codes[(positions < 5) | (positions >= 9)].any()


def test_another_reference_trains():
    codes = parse_split("reference:chr1:5-9=valid", "signal").assign(Rows(reference="chr2", positions=np.arange(20)))
    assert not codes.any()


def test_a_reference_name_may_hold_colons():
    region = parse_split("reference:HLA:A*01:5-9=test", "signal").regions[0]
    assert (region.reference, region.start, region.end, region.code) == ("HLA:A*01", 5, 9, 2)


@pytest.mark.parametrize(("value", "code"), [("train", 0), (" Valid ", 1), ("TEST", 2), ("unknown", None), ("", None)])
def test_column_values(value, code):
    assert Column("set").code(value) == code


@pytest.mark.parametrize(("value", "name"), SYNONYMS.items())
def test_column_synonyms(value, name):
    assert Column("set").code(value) == SPLITS.index(name)


def test_a_column_value_that_names_no_split():
    with pytest.raises(ConfigError, match="found 'holdout'; allowed is train, valid, test"):
        Column("set").assign(Rows(values=["train", "holdout"]))


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("colum:set", "protein", "did you mean 'column'"),
        ("nothing", "signal", "Known: random, reference"),
        ("column:set", "signal", "cannot split signal data; allowed is random, reference"),
        ("reference:chr1:0-5=valid", "protein", "cannot split protein data"),
        ("column", "protein", "names no column"),
        ("random:0.8,0.1", "protein", "three parts that sum to 1"),
        ("random:0.8,0.1,0.3", "protein", "three parts that sum to 1"),
        ("random:0.8,0.4,-0.2", "protein", "three parts that sum to 1"),
        ("random:a,b,c", "protein", "found 'a,b,c'"),
        ("cluster", "protein", "found identity ''; allowed is 0.3 to 1"),
        ("cluster:50", "protein", "found identity '50'"),
        ("cluster:0.5:1,2,3", "protein", "three parts that sum to 1"),
        ("reference:chr1", "signal", "allowed is NAME:START-END=SPLIT"),
        ("reference:chr1:0-5", "signal", "allowed is NAME:START-END=SPLIT"),
        ("reference:chr1:9-5=valid", "signal", "found the span 9-5; its start must be before its end"),
        ("reference:chr1:0-5=vaild", "signal", "split 'vaild' is unknown; did you mean 'valid'"),
    ],
)
def test_a_bad_split_is_one_clear_line(text, kind, message):
    with pytest.raises(ConfigError, match=message) as error:
        parse_split(text, kind)
    assert "\n" not in str(error.value)


def test_random_alone_has_default_parts():
    assert parse_split("random", "protein").fractions == (0.8, 0.1, 0.1)


# -- folds of positions ------------------------------------------------------------------------------------------------
WILD = "MKVLAAGIVGLCAKRTEDFYWHNQSP"
TEST = SPLITS.index("test")


def mutant(*positions, letter="W"):
    """Return the wild type with another residue at these positions, from 0."""
    letters = list(WILD)
    for place in positions:
        letters[place] = letter if WILD[place] != letter else "D"
    return "".join(letters)


def sites_of(sequences):
    offsets = np.concatenate([[0], np.cumsum([len(text) for text in sequences])])
    return mutated_sites(tokens("".join(sequences)), offsets, tokens(WILD))


def scan(letters="GWK"):
    """Return three mutants of each position."""
    return [mutant(place, letter=letter) for letter in letters for place in range(len(WILD))]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", Folds()),
        ("7", Folds("", 7)),
        ("random", Folds("random", 5)),
        ("modulo:4", Folds("position", 4)),
        ("contiguous", Folds("contiguous", 5)),
        ("order", Folds("order", 2)),
        ("order:1", Folds("order", 1)),
    ],
)
def test_what_folds_accepts(text, found):
    assert parse_folds(text) == found
    assert found.rounds == (0 if found.kind in ("order",) or not text else found.number)


@pytest.mark.parametrize(
    "text", ["1", "-3", "0", "position:1", "position:x", "order:0", "position:", "positions", "5:5"]
)
def test_what_folds_refuses(text):
    if text == "position:":
        assert parse_folds(text) == Folds("position", 5)
        return
    with pytest.raises(ConfigError, match="--folds"):
        parse_folds(text)


def test_a_misspelt_kind_is_told():
    with pytest.raises(ConfigError, match="did you mean 'contiguous'"):
        parse_folds("contigous")
    assert all(parse_folds(kind).kind in FOLDS for kind in FOLDS)


@pytest.mark.parametrize(
    ("text", "places"),
    [
        (WILD, []),
        (mutant(3), [3]),
        (mutant(3, 20), [3, 20]),
        (WILD[:7] + WILD[8:], [7]),
        (WILD[:7] + WILD[10:], [7, 8, 9]),
        (WILD[1:], [0]),
        (WILD[:8] + "WW" + WILD[8:], [7]),
        ("W" + WILD, [0]),
        (mutant(20)[:7] + mutant(20)[8:], [7, 20]),
    ],
)
def test_the_positions_of_a_mutant(text, places):
    assert changed_positions(tokens(text), tokens(WILD)).tolist() == places


def test_a_deletion_in_a_run_is_at_one_position_however_it_is_written():
    places = {tuple(changed_positions(tokens(WILD[:k] + WILD[k + 1 :]), tokens(WILD)).tolist()) for k in (4, 5)}
    assert len(places) == 1  # of the run AA


@pytest.mark.parametrize("kind", ["position", "contiguous"])
@pytest.mark.parametrize("number", [2, 5, 26])
def test_no_position_is_on_both_sides(kind, number):
    """Single mutants: each is tested once, by rows that have no mutation at its position."""
    sites = sites_of([*scan(), WILD])
    tested = np.zeros(sites.rows, int)
    for codes in site_fold_splits(sites, Folds(kind, number), 0):
        tested += codes == TEST
        assert set(codes.tolist()) == {0, 1, TEST}
        assert not set(sites.first[codes == TEST]) & set(sites.first[codes != TEST])
        assert not set(sites.first[codes == 0]) & set(sites.first[codes == 1])  # whole positions choose, too
    assert tested.tolist() == [1] * (sites.rows - 1) + [0]  # the wild type is in no test


def test_positions_are_dealt_out_as_in_proteingym():
    """Modulo by the rank of a mutated position, and stretches of equally many; of positions 3, 4, ..., 14 here."""
    sites = sites_of([mutant(place) for place in range(3, 15)])
    assert sites.positions.tolist() == list(range(3, 15))
    assert site_folds(sites, Folds("position", 5)).tolist() == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1]
    assert site_folds(sites, Folds("contiguous", 5)).tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 3, 3, 4, 4]


@given(
    st.lists(st.sets(st.integers(0, 11), max_size=4), min_size=30, max_size=60), st.integers(2, 4), st.integers(0, 2)
)
def test_rows_with_mutations_on_both_sides_are_in_neither(places, number, seed):
    sites = sites_of([mutant(*entry) for entry in places])
    for kind in ("position", "contiguous"):
        try:
            rounds = list(site_fold_splits(sites, Folds(kind, number), seed))
        except ConfigError:
            continue
        own = dict(zip(sites.positions.tolist(), site_folds(sites, Folds(kind, number)).tolist(), strict=True))
        for fold, codes in enumerate(rounds):
            for entry, code in zip(places, codes.tolist(), strict=True):
                inside = [own[place] == fold for place in entry]
                assert code in ((0, 1) if not any(inside) else (TEST,) if all(inside) else (LEFT_OUT,))


def test_double_mutants_alone_can_be_folded():
    rng = np.random.default_rng(0)
    sites = sites_of([mutant(*rng.choice(26, 2, replace=False)) for _ in range(200)])
    rounds = np.array(list(site_fold_splits(sites, Folds("position", 5), 0)))
    assert 10 < (rounds == TEST).any(0).sum() < 80  # about a fifth
    assert ((rounds == TEST).sum(0) <= 1).all()


@pytest.mark.parametrize(
    ("sequences", "message"),
    [
        ([mutant(3, letter=letter) for letter in "GWHR"], "mutations at 1 position; expected 2 or more"),
        ([mutant(3), mutant(4), mutant(5), WILD], "found 5; allowed is 2 to 3, the mutated positions"),
        ([mutant(1, 2, 3, 4, 5, 6)] * 9, "fold 1 of 5 has no rows to test or to train on: 9 of 9 rows have mutations"),
    ],
)
def test_folds_of_positions_that_cannot_be(sequences, message):
    with pytest.raises(ConfigError, match=message):
        list(site_fold_splits(sites_of(sequences), Folds("position", 5), 0))


def test_the_order_of_mutations_splits_once():
    sequences = [*scan("G"), *(mutant(k, k + 1) for k in range(20)), *(mutant(k, k + 1, k + 2) for k in range(9)), WILD]
    sites = sites_of(sequences)
    codes = order_split(sites, np.arange(len(sequences)), 2, 0)
    assert (codes == TEST).tolist() == (sites.counts > 2).tolist()
    assert set(codes.tolist()) == {0, 1, TEST}
    with pytest.raises(ConfigError, match="--folds order:3: 56 of 56 rows have at most 3 mutations, the most is 3"):
        order_split(sites, np.arange(len(sequences)), 3, 0)
