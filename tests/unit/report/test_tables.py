"""Mappings of any shape become tables, and nothing of them is lost without a word."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from biorrn.report.tables import BARS, ROWS, bars, blocks, histogram
from biorrn.report.wording import text

KNOWN = {
    "rows": 12345,
    "splits": {"train": {"rows": 10, "identical": 0}, "valid": {"rows": 2, "identical": 1}},
    "lengths": {"edges": [0, 10, 20], "counts": [5, 7]},
    "sources": [{"path": "a.csv", "sha256": "ab"}],
    "deep": {"one": {"two": {"x": 1}, "y": 2}},
}


def test_each_shape_has_its_block() -> None:
    found = {block["title"]: block for block in blocks(KNOWN)}
    assert found[""]["rows"] == [("rows", "12,345")]
    assert found["splits"]["columns"] == ["", "rows", "identical"]
    assert found["splits"]["rows"] == [["train", "10", "0"], ["valid", "2", "1"]]
    assert [(row["label"], row["count"]) for row in found["lengths"]["rows"]] == [("0", "5"), ("10", "7")]
    assert found["sources"]["rows"] == [["a.csv", "ab"]]
    assert found["deep: one"]["rows"] == [("y", "2")]
    assert found["deep: one: two"]["rows"] == [("x", "1")]


def test_wide_tables_are_turned() -> None:
    (found,) = blocks({"composition": {"train": dict.fromkeys("ACDEFGHIKL", 0.1), "valid": {"A": 1.0}}})
    assert found["columns"] == ["", "train", "valid"]
    assert found["rows"][:2] == [["A", "0.1", "1"], ["C", "0.1", ""]]


def test_long_tables_say_how_much_is_left_out() -> None:
    (found,) = blocks({"reads": [{"n": i} for i in range(ROWS + 7)]})
    assert len(found["rows"]) == ROWS
    assert found["more"] == 7


def test_bars_keep_the_sum_and_drop_empty_ends() -> None:
    counts = [0.0] * 5 + [1.0] * 200 + [0.0]
    found = bars("x", [float(i) for i in range(206)], counts)
    assert len(found["rows"]) <= BARS
    assert sum(int(row["count"]) for row in found["rows"]) == 200
    assert found["rows"][0]["label"] == "5"
    assert bars("x", [0.0], [0.0])["rows"] == []


def test_histogram_needs_numbers_that_fit() -> None:
    assert histogram({"edges": [0, 1], "counts": [3]}) == ([0, 1], [3])
    assert histogram({"edges": [0, 1, 2], "counts": [3]}) is None
    assert histogram({"edges": ["a"], "counts": [3]}) is None
    assert histogram({"counts": [3]}) is None


def test_text_of_odd_values() -> None:
    assert text(float("nan")) == text(None) == "–"
    assert text(float("inf")) == "inf"
    assert text({"a": 1}) == "a 1"
    assert text(list(range(100))).endswith("(100 in all)")


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.text(max_size=4), values, max_size=4))
def test_any_json_becomes_blocks(content: dict[str, object]) -> None:
    for block in blocks(json.loads(json.dumps(content))):
        assert block["kind"] in ("facts", "table", "bars")
        if block["kind"] == "table":
            assert all(len(row) == len(block["columns"]) for row in block["rows"])
