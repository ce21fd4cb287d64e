"""Every id is found again with the line on which it came first."""

from hypothesis import given
from hypothesis import strategies as st

from biorrn.sequences.fasta import Ids


@given(st.lists(st.text(max_size=3), max_size=60))
def test_as_a_dictionary_would(names: list[str]) -> None:
    ids, first = Ids(), {}
    for line, name in enumerate(names, 1):
        assert ids.seen(name, line) == first.get(name, 0)
        first.setdefault(name, line)
    assert len(ids) == len(first)


def test_it_grows() -> None:
    ids = Ids()
    assert [ids.seen(f"P{n}", n + 1) for n in range(5000)] == [0] * 5000
    assert [ids.seen(f"P{n}", 9) for n in range(5000)] == list(range(1, 5001))
    assert len(ids) == 5000
