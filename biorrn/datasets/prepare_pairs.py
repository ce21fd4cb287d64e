"""Pairs of sequences -> the rows of a prepared file of pairs."""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from biorrn.datasets.account import account
from biorrn.datasets.pairs import PairDataset, pair_writer
from biorrn.datasets.schema import SPLITS
from biorrn.datasets.splits import Column, Rows, Splitter
from biorrn.encoders.symbols import ALPHABETS
from biorrn.errors import BiorrnError, InputError
from biorrn.files import one_line, sha256, write_text
from biorrn.lookup import lookup
from biorrn.readers.pairs import Pair


def prepare_pairs(
    pairs: Iterable[Pair],
    out: str | Path,
    splitter: Splitter,
    source: str,
    target: str,
    *,
    inputs: Iterable[str | Path] = (),
    note: str = "",
    advance: Callable[[int], None] = lambda pairs: None,
) -> dict[str, Any]:
    """Write pairs to a prepared file, a buffer of them in memory at a time, and return its account.

    Parameters
    ----------
    pairs : as `readers.pairs` yields them.
    splitter : from `datasets.splits.parse_split(..., "pairs")`.
    source, target : str: entries of `ALPHABETS`.
    inputs : the files behind the pairs; the first is named in errors, and all are kept with their SHA-256.

    Raises
    ------
    ConfigError: no such alphabet.
    InputError: a sequence is empty or not of its alphabet, or a cell of the split column names no split.
    """
    sides = [lookup(ALPHABETS, name, f"{side} alphabet") for name, side in ((source, "source"), (target, "target"))]
    files = [str(path) for path in inputs]
    named = files[0] if files else out
    column = splitter if isinstance(splitter, Column) else None
    with pair_writer(out, source, target) as writer:
        writer.file.attrs["note"] = note
        writer.file.attrs["sources"] = json.dumps({path: sha256(path) for path in files if Path(path).is_file()})
        for pair in pairs:
            code = column.code(pair.split) if column else 0
            if code is None:
                problem = f"column '{splitter.name}': found '{pair.split}'; allowed is {', '.join(SPLITS)}"  # type: ignore[attr-defined]
                raise InputError(named, problem, pair.id)
            codes = []
            for alphabet, text in zip(sides, (pair.source, pair.target), strict=True):
                try:
                    codes.append(alphabet.encode(text))
                except BiorrnError as error:
                    raise InputError(named, str(error), pair.id) from error
            writer.add(pair.id, codes[0], codes[1], code)
            advance(1)
        writer.flush()
        if not writer.rows:
            raise InputError(named, "holds no pair")
        if column is None:
            writer.file["split"][:] = splitter.assign(Rows(list(writer.file["id"].asstr()[:])))
    return account(out, {"kept": writer.rows}, note)


def export_sources(prepared: str | Path, exports: Mapping[str, Path]) -> None:
    """Write the sources of each of these splits as FASTA, in file order.

    Raises
    ------
    InputError: a split is empty.
    """
    for split, path in exports.items():
        data = PairDataset(prepared, split)
        with write_text(path) as stream:
            for row in range(len(data)):
                print(f">{one_line(data.ids[row])}\n{data.source.decode(data.symbols('source', row))}", file=stream)
