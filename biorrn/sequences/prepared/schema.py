"""Schema of prepared HDF5 files: every dataset with its shape, dtype, unit and meaning.

- protein: a row is a protein; `offsets` delimits its `tokens`. The datasets of `BOUNDS` are optional, together.
- signal: a row is a segment, i.e. a stretch of a read with known bases, all in one split; `signal_offsets` delimits its
  `signal`, `base_offsets` its `bases` and `starts`. The datasets of `OPTIONAL` are optional: the first two in a file
  mixed from several, the third where the positions of the bases in the signal are unknown.
- tags: a protein file with `labels` or `values`, one per residue (or base), in place of `targets`.
- pairs: a row is a source and a target sequence.

Attributes of all: `kind`, `schema` (this version), `note`, `sources` (JSON: path -> SHA-256). Protein: `alphabet`,
`targets` (JSON: list of name and unit; and of `classes` where the values are indices of these, with `sets` where these
are sets of several). Signal: `normaliser`, `sample_rate` (Hz),
`labels`, `chemistry` (JSON: name of `nanopore.chemistry` -> reads), `rna` (1 where signal and bases
run 3' to 5', else missing), and with the dataset `source`, `source_names` (JSON: list of files). Pairs:
`source_alphabet`, `target_alphabet` (names in `sequences.alphabets.ALPHABETS`). Tags: `alphabet` (token = index +
1), and `tags` (JSON: name, states, names) with labels, `targets` with values.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from biorrn.base.errors import InputError
from biorrn.base.lookup import lookup

VERSION = 1
SPLITS = ("train", "valid", "test")  # the code of a split is its index


@dataclass(frozen=True, slots=True)
class Field:
    """One dataset of a layout.

    Attributes
    ----------
    axis : str: what its first axis counts: rows, rows+1, or a flat axis.
    dtype : numpy dtype, or `str` for UTF-8 text.
    unit, description : str: written as attributes of the dataset.
    columns : bool: whether there is a second axis, one column a target.
    """

    axis: str
    dtype: Any
    unit: str
    description: str
    columns: bool = False


@dataclass(frozen=True, slots=True)
class Kind:
    """One layout: its datasets, its attributes, and the datasets that a file may hold besides."""

    fields: dict[str, Field]
    attributes: tuple[str, ...]
    optional: dict[str, Field] = dataclasses.field(default_factory=dict)


PROTEIN = {
    "id": Field("rows", str, "", "name of the protein, as its file has it"),
    "tokens": Field("residues", np.uint8, "token", "residues of all proteins; index in the attribute alphabet + 1"),
    "offsets": Field("rows+1", np.int64, "residues", "tokens of protein i: from entry i to entry i + 1"),
    "targets": Field("rows", np.float32, "see the attribute targets", "measured values, NaN where missing", True),
    "weights": Field("rows", np.float32, "1", "weight of the protein in the loss"),
    "split": Field("rows", np.uint8, "code", "0 train, 1 valid, 2 test"),
}

SIGNAL = {
    "read_id": Field("rows", str, "", "read that the segment is part of"),
    "signal": Field("samples", np.float16, "normalised current", "current of all segments; see attribute normaliser"),
    "signal_offsets": Field("rows+1", np.int64, "samples", "signal of segment i: from entry i to entry i + 1"),
    "bases": Field("bases", np.uint8, "code", "bases of all segments in the order of the signal; 1 A, 2 C, 3 G, 4 T"),
    "starts": Field("bases", np.int32, "samples", "where each base starts, counted from the start of its segment"),
    "base_offsets": Field("rows+1", np.int64, "bases", "bases of segment i: from entry i to entry i + 1"),
    "split": Field("rows", np.uint8, "code", "0 train, 1 valid, 2 test"),
    "reference": Field("rows", str, "", "name of the reference sequence, empty if there is none"),
    "ref_start": Field("rows", np.int64, "bases", "start on the forward strand, 0-based; -1 if there is no reference"),
    "ref_end": Field("rows", np.int64, "bases", "one past the end on the forward strand; -1 if there is no reference"),
    "strand": Field("rows", str, "", "+, - or empty"),
}

TAGS = {name: PROTEIN[name] for name in ("id", "tokens", "offsets", "split")}

PAIRS = {
    "id": Field("rows", str, "", "name of the pair, as its file has it"),
    "source": Field("source symbols", np.uint8, "code", "sources of all pairs; see the attribute source_alphabet"),
    "source_offsets": Field("rows+1", np.int64, "symbols", "source of pair i: from entry i to entry i + 1"),
    "target": Field("target symbols", np.uint8, "code", "targets of all pairs; see the attribute target_alphabet"),
    "target_offsets": Field("rows+1", np.int64, "symbols", "target of pair i: from entry i to entry i + 1"),
    "split": Field("rows", np.uint8, "code", "0 train, 1 valid, 2 test"),
}

LABELS = {  # of a tags file, which has one of the first two; the third may stand beside labels
    "labels": Field("residues", np.uint8, "code", "state of each residue, index in the attribute tags; 255 none known"),
    "values": Field("residues", np.float32, "see the attribute targets", "values a residue, NaN where missing", True),
    "probabilities": Field("residues", np.uint8, "1/255", "of each state, said by a model; 0 where none did", True),
}
NO_LABEL = 255

OPTIONAL = {
    "weight": Field("rows", np.float32, "1", "training windows are drawn in proportion to samples times weight"),
    "source": Field("rows", np.uint16, "index", "file that the segment comes from; see attribute source_names"),
    "whole": Field("rows", np.uint8, "flag", "1: starts are made up, so that the segment is one window, never cut"),
}

BOUNDS = {  # of a protein file whose values were measured up to a limit; missing in `targets`
    "lower": Field("rows", np.float32, "see the attribute targets", "least value of a censored target, else NaN", True),
    "upper": Field("rows", np.float32, "see the attribute targets", "most value of a censored target, else NaN", True),
}

KINDS = {
    "protein": Kind(PROTEIN, ("alphabet", "targets", "sources"), BOUNDS),
    "signal": Kind(SIGNAL, ("normaliser", "sample_rate", "labels", "sources"), OPTIONAL),
    "tags": Kind(TAGS, ("alphabet", "sources"), LABELS),
    "pairs": Kind(PAIRS, ("source_alphabet", "target_alphabet", "sources")),
}

# elements; a window of signal touches one or two chunks
CHUNK = {"samples": 1 << 16, "bases": 1 << 14, "residues": 1 << 16}
CHUNK |= {"source symbols": 1 << 16, "target symbols": 1 << 16}


def split_code(name: str) -> int:
    """Return the code of a split; an unknown name is a ConfigError that lists the known ones."""
    return lookup({split: code for code, split in enumerate(SPLITS)}, name, "split")


def create(file: h5py.File, kind: str, columns: int = 0, optional: Sequence[str] = ()) -> None:
    """Make every dataset of a layout and those named of its optional ones, empty, resizable; offsets start with a 0."""
    file.attrs["kind"], file.attrs["schema"] = kind, VERSION
    for name, field in (KINDS[kind].fields | {name: KINDS[kind].optional[name] for name in optional}).items():
        dtype = h5py.string_dtype() if field.dtype is str else field.dtype
        width = (columns,) if field.columns else ()
        high = CHUNK.get(field.axis, 4096) // (max(4, columns) if width and field.axis in CHUNK else 1)
        most = (columns or None,) if field.columns else ()  # without a target there is no column, but a chunk has one
        made = file.create_dataset(
            name,
            (0, *width),
            dtype,
            maxshape=(None, *most),
            chunks=(high, *(max(1, columns) for columns in width)),
        )
        made.attrs["unit"], made.attrs["description"] = field.unit, field.description
        if field.axis == "rows+1":
            made.resize(1, axis=0)  # a new element is 0


def add_optional(file: h5py.File, name: str, values: np.ndarray) -> None:
    """Add a dataset of `OPTIONAL` to an open signal file; values (N,), one a row."""
    field = OPTIONAL[name]
    made = file.create_dataset(name, data=np.asarray(values, field.dtype))
    made.attrs["unit"], made.attrs["description"] = field.unit, field.description


def fields_of(file: h5py.File, kind: str) -> dict[str, Field]:
    """Return the datasets of an open file of a kind, with those of the optional ones that it holds."""
    return KINDS[kind].fields | {name: field for name, field in KINDS[kind].optional.items() if name in file}


def _check_storage(file: h5py.File, path: str | Path, name: str, field: Field) -> None:
    """Raise where a dataset is of another type, or keeps its values in another way than `create` has it."""
    data = file[name]
    if not isinstance(data, h5py.Dataset) or data.ndim != 1 + field.columns:
        raise InputError(path, f"is damaged: {name} is not a dataset with {1 + field.columns} axes")
    text = h5py.check_string_dtype(data.dtype) is not None
    if text != (field.dtype is str) or (not text and data.dtype != np.dtype(field.dtype)):
        wanted = "text" if field.dtype is str else np.dtype(field.dtype).name
        raise InputError(path, f"is damaged: {name} holds {data.dtype}; expected {wanted}")
    if data.external or data.is_virtual:
        raise InputError(path, f"is damaged: {name} takes its values from another file")


def _check_tags(file: h5py.File, path: str | Path) -> None:
    """Raise unless a tags file has either labels or values, and their attribute."""
    for name, attribute in (("labels", "tags"), ("values", "targets")):
        if (name in file) != (attribute in file.attrs):
            raise InputError(path, f"is damaged: {name} and the attribute {attribute} do not go together")
    if ("labels" in file) == ("values" in file):
        raise InputError(path, "is damaged: a file of tags holds either labels or values")


def check(file: h5py.File, path: str | Path, kind: str | None = None) -> str:
    """Return the kind of an open prepared file after checking it against its layout.

    Raises
    ------
    InputError: not a prepared file, of another kind or version, or a dataset is missing or of another shape.
    """
    found = file.attrs.get("kind")
    if not isinstance(found, str) or found not in KINDS:
        raise InputError(path, "is HDF5 but not a file that `biorrn prepare` wrote (attribute 'kind' is missing)")
    if kind is not None and found != kind:
        raise InputError(path, f"holds {found} data; expected a file of `biorrn prepare {kind}`")
    if file.attrs.get("schema") != VERSION:
        raise InputError(path, f"has schema {file.attrs.get('schema')}; this version of biorrn reads {VERSION}")
    missing = [name for name in KINDS[found].attributes if name not in file.attrs]
    missing += [name for name in KINDS[found].fields if name not in file]
    if missing:
        raise InputError(path, f"is damaged: {', '.join(missing)} missing")
    if found == "tags":
        _check_tags(file, path)
    if found == "protein" and ("lower" in file) != ("upper" in file):
        raise InputError(path, "is damaged: lower and upper do not go together")
    fields = fields_of(file, found)
    for name, field in fields.items():
        _check_storage(file, path, name, field)
    rows = len(file["split"])
    for name, field in fields.items():
        wanted = {"rows": rows, "rows+1": rows + 1}.get(field.axis, len(file[name]))
        if len(file[name]) != wanted:
            raise InputError(path, f"is damaged: {name} has {len(file[name])} entries for {rows} rows")
    return str(found)
