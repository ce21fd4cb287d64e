"""The journal: whole entries come back, whatever was torn; settings that differ are named."""

import contextlib
from pathlib import Path

import pytest

from biorrn.base import journal as module
from biorrn.base.errors import BiorrnError
from biorrn.base.journal import Journal, open_journal, open_kept

HEAD = {"must": {"--decoder": "beam", "--max-reads": None, "input": {"a.pod5": [10, 7], "b.pod5": [20, 8]}}, "seen": 1}
TEXTS = ["", "one\n", "naïve\n" * 500, "a\nb\n"]


def content(journal: Journal) -> list[tuple[dict, str]]:
    return [(entry, text) for _, entry, text in journal.entries()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a journal that holds `TEXTS`."""
    path = tmp_path / "out.partial"
    journal = open_journal(path, HEAD)
    for number, text in enumerate(TEXTS):
        journal.append({"number": number}, text)
    journal.close()
    return path


WHOLE = [({"number": number}, text) for number, text in enumerate(TEXTS)]


def test_what_was_appended_comes_back_also_by_place(path: Path) -> None:
    journal = open_journal(path, HEAD, resume=True)
    assert content(journal) == WHOLE
    assert journal.count == len(TEXTS)
    places = [place for place, _, _ in journal.entries()]
    assert journal.entry(places[2]) == WHOLE[2]
    journal.append({"number": 9}, "more")
    assert content(journal) == [*WHOLE, ({"number": 9}, "more")]
    journal.close(remove=True)
    assert not path.exists()


def test_without_a_name_it_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    journal = open_journal(None, {})
    journal.append({"number": 0}, "text")
    assert content(journal) == [({"number": 0}, "text")]
    journal.close()
    assert list(tmp_path.iterdir()) == []


def test_any_cut_leaves_the_entries_before_it_and_takes_new_ones(path: Path) -> None:
    data = path.read_bytes()
    counts = []
    for cut in range(len(data) + 1):
        path.write_bytes(data[:cut])
        journal = open_journal(path, HEAD, resume=True)
        found = content(journal)
        assert found == WHOLE[: len(found)]
        assert journal.count == len(found)
        counts.append(len(found))
        journal.append({"number": 7}, "new")
        assert content(journal) == [*found, ({"number": 7}, "new")]
        journal.close()
    assert counts == sorted(counts)
    assert set(counts) == {0, 1, 2, 3, 4}


def test_damage_ends_what_is_trusted(path: Path) -> None:
    data = bytearray(path.read_bytes())
    for place in range(len(data) - 20, len(data)):
        damaged = bytearray(data)
        damaged[place] ^= 0xFF
        path.write_bytes(damaged)
        journal = open_journal(path, HEAD, resume=True)
        assert content(journal) == WHOLE[:-1]
        journal.close()
    path.write_bytes(data + bytes(100))  # as after a power cut
    journal = open_journal(path, HEAD, resume=True)
    assert content(journal) == WHOLE
    journal.close()


def test_an_unfinished_run_is_not_replaced_unasked(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(BiorrnError, match=r"out\.partial: is the partial output of an interrupted run; add --resume"):
        open_journal(path, HEAD)
    assert path.read_bytes() == before


def test_one_that_holds_nothing_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "out.partial"
    open_journal(path, HEAD).close()
    changed = {"must": {"--decoder": "greedy"}}
    journal = open_journal(path, changed)
    assert journal.head == changed
    journal.close()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"--decoder": "greedy"}, "--decoder was beam and is now greedy"),
        ({"--max-reads": 5}, "--max-reads was not given and is now 5"),
        ({"input": {"a.pod5": [10, 7], "b.pod5": [21, 8]}}, "input b.pod5 was 20, 8 and is now 21, 8"),
        ({"input": {"a.pod5": [10, 7]}}, "input b.pod5 was 20, 8 and is now not given"),
        ({"input": {"b.pod5": [20, 8], "a.pod5": [10, 7]}}, "input come in another order"),
        ({"--new": 1}, "--new was not given and is now 1"),
    ],
)
def test_what_differs_is_named(path: Path, changes: dict, message: str) -> None:
    with pytest.raises(BiorrnError) as caught:
        open_journal(path, {"must": HEAD["must"] | changes}, resume=True)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_rest_of_the_head_is_that_of_the_beginning(path: Path) -> None:
    journal = open_journal(path, {**HEAD, "seen": 2}, resume=True)
    assert journal.head["seen"] == 1
    journal.close()


def test_two_writers_are_one_too_many(path: Path) -> None:
    journal = open_journal(path, HEAD, resume=True)
    with pytest.raises(BiorrnError, match=r"another process .*is writing it"):
        open_journal(path, HEAD, resume=True)
    journal.close()
    open_journal(path, HEAD, resume=True).close()


def test_another_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "out.partial"
    path.write_text("my notes")
    for resume in (False, True):
        with pytest.raises(BiorrnError, match="is not a partial output"):
            open_journal(path, HEAD, resume)
    assert path.read_text() == "my notes"


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BiorrnError, match="cannot be written"):
        open_journal(tmp_path / "file" / "out.partial", HEAD)


def test_an_item_may_hold_several_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAIT", 0.0)
    names = (tmp_path / "out", tmp_path / "in")
    names[1].write_text("")
    with contextlib.suppress(KeyboardInterrupt), open_kept(*names, {}) as kept:
        kept.add([1, 2, 3], 3)
        kept.add([4])
        raise KeyboardInterrupt
    with open_kept(*names, {}, resume=True) as kept:
        assert kept.count == 4
        assert list(kept.items()) == [[1, 2, 3], [4]]
