"""States of residues, and residues replaced by BLOSUM62."""

import numpy as np
import pytest

from biorrn.base.errors import BiorrnError, ConfigError
from biorrn.sequences.alphabets import NO_STATE, STANDARD, STATES, UNKNOWN, letters_for, parse_states, tokens
from biorrn.tagging.data import Substitution, conditional

EVEN = np.full(20, 100.0)


@pytest.mark.parametrize("name", sorted(STATES))
def test_every_letter_of_dssp_has_a_state(name: str) -> None:
    states = STATES[name]
    assert len(states.letters) == len(states.names) == int(name)
    codes = states.encode("GHIBESTC- P")
    assert codes.max() < len(states.letters)


def test_eight_states_become_three() -> None:
    three, eight = parse_states("3"), parse_states("8")
    assert "".join(three.letters[code] for code in three.encode("HGIEBTSC- P")) == "HHHEECCCCCC"
    assert "".join(eight.letters[code] for code in eight.encode("HGIEBTSC-")) == "HGIEBTSCC"


def test_a_letter_may_say_that_nothing_is_known() -> None:
    assert parse_states("8", unknown="-").encode("H-")[1] == NO_STATE
    assert parse_states("io", "?", "inside,outside", "topology").encode("i?o").tolist() == [0, NO_STATE, 1]


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (("7",), "found '7'"),
        (("HH",), "different letters"),
        (("io", "", "inside"), "allowed are 2 different names"),
        (("io", "o"), "'o' is a state"),
    ],
)
def test_states_that_cannot_be(given: tuple[str, ...], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        parse_states(*given)


def test_every_name_gets_a_letter() -> None:
    names = [f"gene {number}" for number in range(26)]
    assert len(set(letters_for(names))) == 26
    with pytest.raises(BiorrnError, match="at most 26"):
        letters_for([*names, "one more"])


def test_a_residue_is_replaced_by_others_as_blosum62_has_them() -> None:
    chances = conditional(EVEN)
    assert np.allclose(chances.sum(1), 1)
    assert not np.diag(chances).any()
    isoleucine = dict(zip(STANDARD, chances[STANDARD.index("I")], strict=True))
    assert sorted(isoleucine, key=isoleucine.__getitem__)[-2:] == ["L", "V"] or isoleucine["V"] > isoleucine["L"]
    rare = EVEN.copy()
    rare[STANDARD.index("V")] = 0
    assert conditional(rare)[STANDARD.index("I"), STANDARD.index("V")] < isoleucine["V"] / 10


def test_the_mean_share_is_the_rate_and_x_stays() -> None:
    change, given = Substitution(0.2, EVEN), tokens("ACDEFGHIKLMNPQRSTVWYX" * 10)
    shares = [(change(given, np.random.default_rng(seed)) != given).mean() for seed in range(200)]
    assert np.mean(shares) == pytest.approx(0.2 * 20 / 21, abs=0.03)
    assert max(shares) > 0.3
    assert min(shares) < 0.1
    changed = change(given, np.random.default_rng(1))
    assert (changed[given == UNKNOWN] == UNKNOWN).all()
    assert changed.min() >= 1
    assert changed[given != UNKNOWN].max() <= 20
    assert np.array_equal(changed, change(given, np.random.default_rng(1)))


def test_a_rate_of_0_changes_nothing() -> None:
    given = tokens("MKV")
    assert Substitution(0.0, EVEN)(given, np.random.default_rng(0)) is given
