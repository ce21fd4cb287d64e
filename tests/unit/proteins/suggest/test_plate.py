"""Plates: wells, controls, and the table of a round."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from biorrn.base.errors import ConfigError
from biorrn.proteins.suggest.campaign import NEW, THE_BEST, THE_WILD_TYPE, Measured, Round, Suggestion
from biorrn.proteins.suggest.candidates import Candidate, Library
from biorrn.proteins.suggest.figures import round_figures
from biorrn.proteins.suggest.plate import PLATES, control_places, laid_out, room, well_name, write_round
from biorrn.sequences.tables.writer import Memory

WILD = "MANKSGTC"


def a_round(count: int) -> Round:
    candidates = [Candidate.of(WILD[:2] + new + WILD[3:], WILD) for new in "ACDEFGHIKL"] * (count // 10 + 1)
    chosen = [Suggestion(one, NEW, 1.0, 0.5, 0.25) for one in candidates[:count]]
    wild, best = (
        Suggestion(Candidate.of(one, WILD, 0, role), role, 0.0, 0.1, np.nan)
        for one, role in ((WILD, THE_WILD_TYPE), ("MANKSGTW", THE_BEST))
    )
    measured = Measured("tm", "°C", ["MANKSGTW"], np.array([1.0]), np.ones(1), WILD, "")
    values = np.linspace(0, 1, count)
    return Round(chosen, wild, best, measured, Library(candidates[:count]), values, values, np.arange(count), [])


@pytest.mark.parametrize("wells", PLATES)
def test_names_of_wells(wells: int) -> None:
    names = [well_name(place, wells) for place in range(wells)]
    assert len(set(names)) == wells
    rows, columns = PLATES[wells]
    assert names[0] == "A1"
    assert names[-1] == f"{chr(64 + rows)}{columns}"


@pytest.mark.parametrize("wells", PLATES)
@pytest.mark.parametrize("count", [0, 1, 4, 9])
def test_controls_are_spread(wells: int, count: int) -> None:
    places = control_places(wells, count)
    assert len(set(places)) == count
    if count == 4:
        assert len({place % PLATES[wells][1] for place in places}) >= 3  # columns
        assert len({place // PLATES[wells][1] for place in places}) >= 3  # rows


def test_layout_of_two_plates() -> None:
    layout = laid_out(a_round(100), 96, 2)
    assert Counter((one.plate, one.suggestion.role) for one in layout) == {
        (1, NEW): 92, (1, THE_WILD_TYPE): 2, (1, THE_BEST): 2,
        (2, NEW): 8, (2, THE_WILD_TYPE): 2, (2, THE_BEST): 2,
    }  # fmt: skip
    assert len({(one.plate, one.name) for one in layout}) == len(layout)
    assert [one.rank for one in layout if one.rank] == list(range(1, 101))
    assert room(96, 2) == 92


@pytest.mark.parametrize(("wells", "controls", "message"), [(95, 2, "--plate: found 95"), (24, 12, "--controls")])
def test_plates_that_are_none(wells: int, controls: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        room(wells, controls)


def test_table() -> None:
    table = Memory()
    write_round(table, a_round(3))
    frame = table.frame()
    assert frame.columns.tolist() == [
        *("rank", "id", "mutation", "mutations", "tm", "tm_spread", "tm_unit", "chance", "sequence")
    ]
    assert frame["rank"].tolist() == [1, 2, 3]
    table = Memory()
    write_round(table, a_round(3), laid_out(a_round(3), 24, 1))
    frame = table.frame()
    assert frame["role"].tolist().count("new") == 3
    assert frame["well"].is_unique
    assert frame.set_index("role").loc["wild_type", "sequence"] == WILD


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_figure(suffix: str, tmp_path: Path) -> None:
    with round_figures(tmp_path / f"f{suffix}") as draw:
        draw(a_round(12))
    assert (tmp_path / f"f{suffix}").stat().st_size > 5000
