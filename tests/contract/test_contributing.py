"""CONTRIBUTING.md names files that exist, and the tables and functions that stand in them."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
TABLES = TEXT[TEXT.index("## Where do I add") : TEXT.index("## House rules")]
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in TABLES.splitlines() if line.startswith("| ")]
ROWS = [row for row in ROWS if row[0] not in ("to add", "a fault in")]
DEFINED = r"^(?:    )?(?:def |class )?{}\b"
WORD = re.compile(r"`([^`]+)`")


def entries(row: list[str]) -> list[tuple[str, list[str]]]:
    """Return the tables and functions that a row names, each with the files that may hold it."""
    if len(row) == 2:  # path (`name`: ...), path (...)
        path, found = "", []
        for word in WORD.findall(row[1]):
            path, found = (word, found) if "/" in word else (path, [*found, (word, [path])])
        return found
    default = [word for word in WORD.findall(row[1]) if "/" in word]
    found = []
    for part in re.split(
        r";", row[2]
    ):  # `A`, `B` in `path` and `C` in `path`; without a path, the file of the column before
        waiting: list[str] = []
        for word in WORD.findall(part):
            if "/" in word:
                found += [(name, [word]) for name in waiting]
                waiting = []
            elif word.isupper():
                waiting.append(word)
            elif re.fullmatch(r"[A-Z]\w+\.\w+", word):  # a key of a recipe
                waiting.append(word.split(".")[0])
        found += [(name, default) for name in waiting]
    return found


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_row_names_what_there_is(row: list[str]) -> None:
    for path in (word for cell in row[1:] for word in WORD.findall(cell) if "/" in word and "<domain>" not in word):
        pattern = path.replace("<id>", "*")
        assert list(ROOT.glob(pattern)), f"{path} is not there"
    for name, files in entries(row):
        held = [path for path in files if re.search(DEFINED.format(re.escape(name)), source(path), re.MULTILINE)]
        assert held, f"{name} is not in {' or '.join(files)}"


def source(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def test_tables_are_found() -> None:
    assert dict(entries(next(row for row in ROWS if row[0] == "recurrent cell"))) == {
        "CELLS": ["biorrn/nn/cells.py"],
        "Core": ["biorrn/config/network.py"],
        "REFERENCES": ["biorrn/nn/cells_reference.py"],
    }


def test_tree_names_folders() -> None:
    tree = TEXT[TEXT.index("\nbiorrn/\n") : TEXT.index("\ntests/ ")]
    named = set(re.findall(r"^  (\w+)/ ", tree, re.MULTILINE))
    assert named == {path.parent.name for path in (ROOT / "biorrn").glob("*/__init__.py")}
