"""User's table of proteins: columns, usable rows, summary of the data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from biorrn.base.errors import ConfigError, InputError
from biorrn.base.terminal import plural
from biorrn.sequences import embeddings, repeats
from biorrn.sequences.alphabets import consensus as consensus_of
from biorrn.sequences.alphabets import sequence, tokens
from biorrn.sequences.prepared.files import offsets_of
from biorrn.sequences.prepared.schema import SPLITS
from biorrn.sequences.rows import (
    CHOOSING,
    LAYOUTS,
    SETS,
    YES,
    ProteinRow,
    TableOptions,
    is_fasta,
    layout_of,
    protein_rows,
)
from biorrn.sequences.similarity import edit_distance
from biorrn.sequences.splits import Column
from biorrn.sequences.tables.classes import Classes, labels_of
from biorrn.sequences.tables.reader import Reading, column_names, find_column, is_labelled, other_sheets, plain

NO_SPLIT = len(SPLITS)  # code of a row that no column has placed
LEAST_OF_CLASS = 5  # proteins; rows of a smaller class are left out
LEAST_ROWS = 12  # fewer measured proteins than this can train nothing that could be checked


@dataclass(frozen=True, slots=True)
class Columns:
    """Columns and reading options of the input, from the command line.

    Attributes
    ----------
    path : str: a table with sequences, or FASTA; then `values` is the table.
    targets : names of the columns to learn.
    sequence, id : columns; None finds them. That of sequences may hold mutations.
    wild_type, offset : for a table of mutations; see `sequences.rows.TableOptions`.
    weight, groups : columns; None is none.
    split : the column that says train, valid or test; None looks for one of `SETS`.
    sheet, decimal, censored, strict, type : how the table is read, see `sequences.tables.reader.Reading`.
    """

    path: str
    targets: tuple[str, ...]
    values: str | None = None
    sequence: str | None = None
    id: str | None = None
    weight: str | None = None
    groups: str | None = None
    split: str | None = None
    wild_type: str | None = None
    offset: int = 0
    sheet: str | None = None
    decimal: str | None = None
    censored: str = "use"
    strict: bool = False
    type: str = "auto"

    @property
    def table(self) -> str:
        """Return the file that holds the values."""
        return self.values if self.values is not None else self.path


@dataclass(frozen=True, slots=True)
class Table:
    """Usable rows of the table.

    Attributes
    ----------
    rows : list of ProteinRow (N,).
    targets : float64 array (N, K): NaN is missing.
    tokens, offsets : uint8 (total,), int64 (N + 1,): the sequences.
    codes : uint8 array (N,): split in a column of the table, `NO_SPLIT` if there is none.
    groups : int64 array (N,), or None: rows of one group stay in one split.
    split_column : str: the column of the split, "" for none.
    counts : rows dropped, by reason.
    reading : Reading: how the table was read, and its unusual cells.
    """

    rows: list[ProteinRow]
    targets: np.ndarray
    tokens: np.ndarray
    offsets: np.ndarray
    codes: np.ndarray
    groups: np.ndarray | None = None
    split_column: str = ""
    counts: dict[str, int] = field(default_factory=dict)
    reading: Reading = field(default_factory=Reading)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def lengths(self) -> np.ndarray:
        """Return the residues of each row, int64 (N,)."""
        return np.diff(self.offsets)

    @property
    def wild_type(self) -> str:
        """Return the protein that all mutations are of, "" where it is not given or there are several."""
        known = {row.wild_type for row in self.rows}
        return known.pop() if len(known) == 1 else ""

    @property
    def sets(self) -> bool:
        """Return whether a row may have several classes."""
        return any(isinstance(one, Classes) and one.sets for one in self.reading.conventions.values())

    @property
    def classes(self) -> list[str]:
        """Return the classes of the target; none of numbers."""
        named = [target.names for target in self.reading.conventions.values() if isinstance(target, Classes)]
        return [] if not named else labels_of(named[0])[0] if self.sets else named[0]

    @property
    def members(self) -> np.ndarray:
        """Return which classes each row has, bool (N, C); the target is known in every row."""
        column = next(one for one in self.reading.conventions.values() if isinstance(one, Classes))
        return members_of(column)[self.targets[:, 0].astype(np.int64)]

    def sequence(self, row: int) -> np.ndarray:
        """Return the tokens of one row, uint8 (T,)."""
        return self.tokens[self.offsets[row] : self.offsets[row + 1]]


def read_table(columns: Columns, of_model: str = "") -> Table:
    """Read a table, or FASTA with a table of values.

    Parameters
    ----------
    of_model : str: wild type of a model, see `sequences.rows.TableOptions`; "" for none.

    Raises
    ------
    ConfigError: no target is named, or standard input is given.
    InputError: a column is missing, a cell cannot be used, a target is constant, or too few rows have one.
    """
    if "-" in (columns.path, columns.values):
        raise ConfigError("a table to learn from is read more than once; found standard input, give a file")
    if columns.values is None and is_fasta(columns.path) and not is_labelled(columns.path):
        raise ConfigError(f"{columns.path}: is FASTA, which holds no values; name their table with --targets")
    reading = Reading(columns.sheet, columns.decimal, columns.censored, columns.strict, columns.type, whole=True)
    names = column_names(columns.table, reading)
    if not columns.targets:
        layout = layout_of(names)
        kinds = "numbers" if columns.type == "number" else "numbers or classes"
        hint = f"; {layout} has its values in '{LAYOUTS[layout][1]}'" if layout else ""
        raise ConfigError(
            f"--target: found none; name a column of {kinds} of {columns.table}: {', '.join(names)[:200]}{hint}"
            + other_sheets(reading)
        )
    counts: Counter[str] = Counter()
    sets = [columns.split] if columns.split else [name for name in names if plain(name) in SETS]
    choosing = [name for name in names if plain(name) in map(plain, CHOOSING)]
    more = [*sets, *choosing, *([columns.groups] if columns.groups is not None else [])]
    for name in more:
        find_column(columns.table, name, names, reading)
    rows = list(
        protein_rows(
            columns.path,
            columns.targets,
            counts,
            options=TableOptions(columns.sequence, columns.id, None, columns.wild_type, columns.offset, of_model),
            table=columns.values,
            weight_column=columns.weight,
            cells=more,
            reading=reading,
        )
    )
    if reading.dropped:
        counts["dropped: row cannot be used"] = reading.dropped
    values = np.array([row.targets for row in rows], np.float64).reshape(len(rows), len(columns.targets))
    cells = {name: [row.cells[place] for row in rows] for place, name in enumerate(more)}
    split, codes = _splits(columns, rows, cells, sets, choosing)
    groups = None
    if columns.groups is not None:
        groups = np.unique(cells[columns.groups], return_inverse=True)[1]
    column = _one_class_column(columns, reading)
    small = np.zeros(len(rows), bool) if column is None else _without_small(columns, column, values, counts)
    usable = np.isfinite(values).any(axis=1) | np.array([bool(row.bounds) for row in rows], bool)
    if missing := int((~usable).sum()) - int(small.sum()):
        counts["dropped: no target value"] = missing
    known = np.array([bool(row.sequence.strip("X")) for row in rows], bool)
    if not known.all():
        counts["dropped: no known residue"] = int((~known).sum())
    kept = np.flatnonzero(usable & known)
    _check(columns, values[kept])
    sequences = [tokens(rows[place].sequence) for place in kept]
    return Table(
        [rows[place] for place in kept],
        values[kept],
        np.concatenate(sequences),
        offsets_of([len(entry) for entry in sequences]),
        codes[kept],
        None if groups is None else groups[kept],
        split,
        {reason: number for reason, number in counts.items() if number},
        reading,
    )


def members_of(column: Classes) -> np.ndarray:
    """Return which classes each value of a column stands for, bool (values, C)."""
    if not column.sets:
        return np.eye(len(column.names), dtype=bool)
    names, places = labels_of(column.names)
    found = np.zeros((len(column.names), len(names)), bool)
    for row, own in zip(found, places, strict=True):
        row[own] = True
    return found


def _one_class_column(columns: Columns, reading: Reading) -> Classes | None:
    """Return the column of classes, None of numbers; ConfigError for classes beside other targets."""
    found = [name for name in columns.targets if reading.classes(name)]
    if found and len(columns.targets) > 1:
        raise ConfigError(
            f"--target: '{found[0]}' holds classes, which are learned alone; found {len(columns.targets)} targets"
        )
    column = reading.conventions.get(found[0]) if found else None
    return column if isinstance(column, Classes) else None


def _without_small(columns: Columns, column: Classes, values: np.ndarray, counts: Counter[str]) -> np.ndarray:
    """Take the classes with too few rows to learn and to check out of `values` (N, 1); return the rows that lost all.

    Raises
    ------
    InputError: fewer than two classes are left.
    """
    known = np.isfinite(values[:, 0])
    _enough(columns, column.name, int(known.sum()))
    if np.ptp(values[known, 0]) == 0:
        every = column.names[int(values[known, 0][0])]
        raise InputError(columns.table, f"column '{column.name}': every protein is '{every}', which cannot be learned")
    members = members_of(column)
    names = np.array(labels_of(column.names)[0] if column.sets else column.names, object)
    rows = members[values[known, 0].astype(np.int64)]
    number = rows.sum(axis=0)
    rare = (number > 0) & (number < LEAST_OF_CLASS)
    if (left := int((number >= LEAST_OF_CLASS).sum())) < 2:
        order = np.argsort(-number, kind="stable")[:3]
        most = ", ".join(f"{names[place]} ({number[place]:,})" for place in order)
        have = "has" if left == 1 else "have"
        raise InputError(
            columns.table,
            f"column '{column.name}': {left} of {int((number > 0).sum()):,} classes {have} "
            f"{LEAST_OF_CLASS} proteins or more (the largest: {most}); allowed are two or more such classes",
        )
    lost = np.zeros(len(values), bool)
    lost[known] = rows.any(axis=1) & ~rows[:, ~rare].any(axis=1)
    values[lost, 0] = np.nan
    if rare.any():
        shown = ", ".join(f"{names[place]} ({number[place]})" for place in np.flatnonzero(rare)[:3])
        shown += ", ..." if rare.sum() > 3 else ""
        what = f"{plural(int(rare.sum()), 'class')} with fewer than {LEAST_OF_CLASS} proteins "
        what += f"({shown})"
        counts[f"dropped: proteins of {what}{' and no other' * column.sets}"] = int(lost.sum())
        if column.sets:
            column.forget(set(names[rare]))
            counts[f"not learned in sets: {what}"] = int(number[rare].sum())
    return lost


def with_embeddings(table: Table, columns: Columns, path: str) -> tuple[Table, list[str]]:
    """Return the rows that a file has an embedding of, and lines about it and the others.

    The file is then open in this process, and joined to the rows; see `sequences.embeddings`.

    Raises
    ------
    InputError: the file cannot be used, or too few rows have an embedding.
    """
    source, missing = embeddings.use(path), embeddings.Missing(asked=len(table))
    there = np.array([source.join(row.id, row.sequence) for row in table.rows], bool)
    for row in np.flatnonzero(~there):
        missing.add(table.rows[row].id)
    said = [f"embeddings: {path}: {source.described}"]
    if there.all():
        return table, said
    if not there.any():
        hint = "ids and sequences are compared; the first row is "
        raise InputError(path, f"{missing.line([columns.table])}; {hint}'{table.rows[0].id}'")
    kept = np.flatnonzero(there)
    _check(columns, table.targets[kept])
    chosen = replace(
        table,
        rows=[table.rows[row] for row in kept],
        targets=table.targets[kept],
        tokens=np.concatenate([table.sequence(row) for row in kept.tolist()]),
        offsets=offsets_of(table.lengths[kept]),
        codes=table.codes[kept],
        groups=None if table.groups is None else table.groups[kept],
        counts=table.counts | {"dropped: no embedding": missing.count},
    )
    return chosen, [*said, f"embeddings: {missing.line([path])}; their rows are left out"]


def distinct(table: Table) -> np.ndarray:
    """Return a number for each row, the same for rows of the same sequence: int64 (N,)."""
    return repeats.distinct(table.tokens, table.offsets)


def _splits(
    columns: Columns,
    rows: Sequence[ProteinRow],
    cells: dict[str, list[str]],
    sets: Sequence[str],
    choosing: Sequence[str],
) -> tuple[str, np.ndarray]:
    """Return the column of the split and the code of each row."""
    for name in sets:
        column = Column(name)
        found = [column.code(cell) for cell in cells[name]]
        if None in found:
            if columns.split:
                row = found.index(None)
                problem = f"column '{name}': found '{cells[name][row]}'; allowed is {', '.join(SPLITS)}"
                raise InputError(columns.table, problem, rows[row].id)
            continue
        codes = np.array(found, np.uint8)
        if not (codes == 0).any():
            raise InputError(columns.table, f"column '{name}' puts no row into train; --split overrides it")
        for other in choosing:
            marked = np.array([cell.lower() in YES for cell in cells[other]], bool)
            codes[marked & (codes == 0)] = 1
        if len(set(codes.tolist())) > 1:
            return name, codes
    return "", np.full(len(rows), NO_SPLIT, np.uint8)


def _enough(columns: Columns, name: str, rows: int) -> None:
    """Raise InputError for too few measured proteins."""
    if rows < LEAST_ROWS:
        raise InputError(
            columns.table,
            f"column '{name}': {plural(rows, 'protein')} with a value; expected at least {LEAST_ROWS} to learn and to "
            "check",
        )


def _check(columns: Columns, values: np.ndarray) -> None:
    for place, name in enumerate(columns.targets):
        known = values[np.isfinite(values[:, place]), place]
        _enough(columns, name, len(known))
        if np.ptp(known) == 0:
            raise InputError(
                columns.table, f"column '{name}': every value is {known[0]:g}; a constant cannot be learned"
            )


def sources(columns: Columns) -> list[Path]:
    """Return the files that are read."""
    given = [Path(path) for path in (columns.path, columns.values) if path is not None]
    wild_type = Path(columns.wild_type or "")
    return [*given, wild_type] if wild_type.is_file() else given


SAMPLE = 2000  # rows that are compared with the consensus
NEAR = 0.15  # edits from the consensus, as a part of its length, up to which a row is a variant
LEAST_EDITS = 5  # a short protein may differ by so many and still be one
VARIANTS = 0.8  # part of the rows that makes a set one of variants
VARIED = 0.002  # part of the rows that differ at a place that varies
NARROW = 0.25  # the middle nine tenths of the lengths span less of the median: designed to a length


@dataclass(frozen=True, slots=True)
class Look:
    """Summary of a table.

    Attributes
    ----------
    rows, residues, sequences : int: proteins, residues of all, distinct sequences.
    shortest, middle, longest, lengths : int: residues; how many distinct lengths.
    kind : str: "variants" of one protein, "designs" (unlike, of about one length) or "natural" (unlike, any length).
    variants : float: part of the rows that are variants of the consensus.
    edits : float: median edits of a row from the consensus; NaN where the set is no set of variants.
    most_edits : float: the same, 99th percentile.
    reference : str: the consensus of a set of variants, "" otherwise.
    positions : int: places of the consensus where more than 2 rows in 1,000 of its length differ.
    repeats : float: standard deviation between measurements of one sequence, of the first target; NaN without any.
    embeddings : str: file of the rows' embeddings, "" for none.
    tuned : dict: front end and batch size of a language model whose adapters are trained, empty for none.
    contradictions : list of str: a sentence for each target with proteins whose values contradict one another.
    targets : list of {"name", "known", "missing", "mean", "standard_deviation", "lowest", "highest", "distinct"}; of
        classes {"name", "known", "missing", "classes": {name: rows}}, with "sets" where a row may have several.
    """

    rows: int
    residues: int
    sequences: int
    shortest: int
    middle: int
    longest: int
    lengths: int
    kind: str
    variants: float
    edits: float
    most_edits: float
    reference: str
    positions: int
    repeats: float
    embeddings: str = ""
    tuned: dict[str, Any] = field(default_factory=dict)
    contradictions: list[str] = field(default_factory=list)
    targets: list[dict[str, Any]] = field(default_factory=list)


def look(table: Table, names: tuple[str, ...] | list[str], seed: int = 0) -> Look:
    """Summarise a table: kind of data, lengths, variation, targets.

    Parameters
    ----------
    table : Table of N rows.
    names : of its K targets.
    seed : int: chooses the rows that are compared.
    """
    lengths = table.lengths
    numbers = distinct(table)
    consensus = consensus_of(table.tokens, lengths)
    edits = edits_from(table, consensus, seed)
    limit = variant_limit(len(consensus))
    share = float((edits <= limit).mean())
    is_variants = share >= VARIANTS
    low, middle, high = np.quantile(lengths, [0.05, 0.5, 0.95])
    kind = "variants" if is_variants else "designs" if high - low <= NARROW * middle else "natural"
    near = edits[edits <= limit]
    values = [] if table.classes else list(table.targets.T)
    found = [repeats.repeats_of(numbers, own) for own in values]
    ids = [row.id for row in table.rows]
    told = [one.line(ids, own) for one, own in zip(found, values, strict=True)] or [""] * len(names)
    return Look(
        rows=len(table),
        residues=int(lengths.sum()),
        sequences=int(numbers.max()) + 1,
        shortest=int(lengths.min()),
        middle=int(middle),
        longest=int(lengths.max()),
        lengths=len(np.unique(lengths)),
        kind=kind,
        variants=share,
        edits=float(np.median(near)) if is_variants else float("nan"),
        most_edits=float(np.quantile(near, 0.99)) if is_variants else float("nan"),
        reference=sequence(consensus) if is_variants else "",
        positions=_positions(table, consensus) if is_variants else 0,
        repeats=float("nan") if table.classes else found[0].spread,
        contradictions=[f"{name}: {line}" for name, line in zip(names, told, strict=True) if line],
        targets=[_target(name, table, place) for place, name in enumerate(names)],
    )


def variant_limit(length: int) -> int:
    """Return the most edits at which a protein counts as a variant of one of `length` residues."""
    return max(min(LEAST_EDITS, length // 4), int(NEAR * length))


def edits_from(table: Table, consensus: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return the edits between each of at most `SAMPLE` rows and the consensus, float64; infinite above the limit."""
    limit = variant_limit(len(consensus))
    chosen = np.arange(len(table))
    if len(chosen) > SAMPLE:
        chosen = np.sort(np.random.default_rng(seed).choice(chosen, SAMPLE, replace=False))
    edits = np.full(len(chosen), np.inf)
    for place, row in enumerate(chosen):
        tokens = table.sequence(int(row))
        if len(tokens) == len(consensus):
            edits[place] = int((tokens != consensus).sum())
        elif abs(len(tokens) - len(consensus)) <= limit:
            edits[place] = edit_distance(tokens, consensus, limit)
    return np.where(edits <= limit, edits, np.inf)


def _positions(table: Table, consensus: np.ndarray) -> int:
    starts = table.offsets[:-1][table.lengths == len(consensus)]
    differs = np.stack([table.tokens[starts + place] != residue for place, residue in enumerate(consensus)])
    return int((differs.mean(axis=1) > VARIED).sum())


def _target(name: str, table: Table, place: int) -> dict[str, Any]:
    values = table.targets[:, place]
    known = values[np.isfinite(values)]
    if table.classes:
        counts = table.members.sum(axis=0).tolist()
        rows = {one: count for one, count in zip(table.classes, counts, strict=True) if count}
        found = {"name": name, "known": len(known), "missing": len(values) - len(known), "classes": rows}
        return found | ({"sets": True} if table.sets else {})
    return {
        "name": name,
        "known": len(known),
        "missing": len(values) - len(known),
        "mean": float(known.mean()),
        "standard_deviation": float(known.std()),
        "lowest": float(known.min()),
        "highest": float(known.max()),
        "distinct": len(np.unique(known)),
    }


def lines(seen: Look) -> list[str]:
    """Return the summary as lines to print."""
    spread = f"{seen.shortest} residues" if seen.lengths == 1 else f"{seen.shortest} to {seen.longest} residues"
    said = [f"{seen.rows:,} proteins of {spread} ({plural(seen.lengths, 'distinct length')})"]
    if seen.sequences < seen.rows:
        again = f"; measurements of one sequence differ by {seen.repeats:.3g} (SD)" if seen.repeats >= 0 else ""
        said[0] += f", {seen.sequences:,} distinct sequences{again}; each row trains: repeats count as their mean"
    if seen.kind == "variants":
        said.append(
            f"{100 * seen.variants:.0f} % are variants of one protein of {len(seen.reference)} residues: "
            f"{seen.edits:g} edit{'s' * (seen.edits != 1)} in the median, up to {seen.most_edits:g}, at "
            f"{plural(seen.positions, 'position')}"
        )
    elif seen.kind == "designs":
        said.append("not variants of one protein, and of about one length: treated as designed proteins")
    else:
        said.append("not variants of one protein, and of different lengths: treated as natural proteins")
    for target in seen.targets:
        if "classes" in target:
            rows = target["classes"].values()
            what = "sets of classes" if target.get("sets") else "a class"
            sizes = f"{min(rows):,} to {max(rows):,}" if min(rows) < max(rows) else f"{min(rows):,}"
            said.append(f"{target['name']}: {what}: {len(rows):,} classes of {sizes} proteins")
            continue
        text = f"{target['name']}: {target['known']:,} values, mean {target['mean']:.4g}, SD "
        text += f"{target['standard_deviation']:.3g}, {target['lowest']:.4g} to {target['highest']:.4g}"
        said.append(text + (f", {target['missing']:,} missing" if target["missing"] else ""))
    return said + [f"warning: {line}" for line in seen.contradictions]
