"""Predictions as a table: TSV, CSV, Excel or parquet, by the name of the file."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from biorrn.errors import ConfigError
from biorrn.inference.writers.tables import Memory, late, open_table, table_format

if TYPE_CHECKING:
    from biorrn.inference.predict import Prediction


def columns(
    targets: Sequence[str], *, intervals: bool = False, spread: bool = False, units: Sequence[str] = ()
) -> list[str]:
    """Return the columns of a table of predictions; a target has a column of its unit where `units` names one.

    >>> columns(["tm"], intervals=True, spread=True, units=["degrees C"])
    ['id', 'length', 'tm', 'tm_lower', 'tm_upper', 'tm_spread', 'tm_unit', 'flags']
    """
    names = ["id", "length"]
    for place, target in enumerate(targets):
        names += [target, *([f"{target}_lower", f"{target}_upper"] if intervals else [])]
        names += [f"{target}_spread"] if spread else []
        names += [f"{target}_unit"] if any(units[place : place + 1]) else []
    return [*names, "flags"]


@contextlib.contextmanager
def open_predictions(
    path: str | Path | Memory,
    targets: Sequence[str],
    *,
    intervals: bool = False,
    spread: bool = False,
    units: Sequence[str] = (),
    carried: Sequence[str] = (),
) -> Iterator[Callable[[Prediction], None]]:
    """Open a table of predictions, and yield the function that writes a row.

    The columns are those of `columns`: the id, the length in residues, for each target its value, the ends of its
    interval, its spread and its unit, then the flags, joined by commas, `.` for none. Formats as in
    `inference.writers.tables`: text has five significant digits, so that it does not show the noise of the arithmetic.

    A record that was left out has empty cells but for id, flags and those of its table. The table is opened with the
    first record that was not: an input without any leaves no file behind, and nothing on standard output.

    Parameters
    ----------
    intervals, spread : bool: whether the predictions have them.
    units : of the targets, "" where there is none; each a column that says the same in every row, so that any reader of
        tables understands it.
    carried : columns of the input's table, whose cells the predictions have; where the name is taken, with "input_"
        before it.

    Raises
    ------
    ConfigError: two columns would have one name, or the table has no format.
    BiorrnError: the file cannot be written.
    """
    names = columns(targets, intervals=intervals, spread=spread, units=units)
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ConfigError(f"{path}: two columns would be named '{twice[0]}'; rename a target of the model")
    if not isinstance(path, Memory):
        table_format(path)
    parts = ["values", *(["lower", "upper"] if intervals else []), *(["spread"] if spread else [])]
    nothing = [float("nan")] * len(targets)
    empty = [None] * (len(names) - 2)
    kinds: dict[str, type] = dict.fromkeys(names, float) | {"id": str, "length": int, "flags": str}
    kinds |= dict.fromkeys((name for name in names if name.endswith("_unit") and name not in targets), str)
    told = [[unit] if unit else [] for unit in units] or [[] for _ in targets]
    for name in carried:
        while name in kinds:
            name = f"input_{name}"
        kinds[name] = str

    def rows(prediction: Prediction) -> Iterator[list[object]]:
        doubts = ",".join(prediction.flags) or "."
        if prediction.left_out:
            yield [prediction.id, *empty, doubts, *prediction.cells]
            return
        given = [getattr(prediction, part) for part in parts]
        columns = [nothing if one is None else one.tolist() for one in given]
        numbers: list[object] = []
        for unit, *values in zip(told, *columns, strict=True):
            numbers += [*values, *unit]
        yield [prediction.id, prediction.length, *numbers, doubts, *prediction.cells]

    with late(lambda first: open_table(path, kinds), rows) as write:
        yield write
