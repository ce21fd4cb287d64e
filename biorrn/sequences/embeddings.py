"""Embeddings of proteins by language models: readers of the files of other programs, and the join to sequences.

Read are HDF5 as biotrainer and bio_embeddings write it (a data set a sequence, named by a hash of the sequence or by
the id, with the attribute `original_id`), .npz, .pt (also folders of ESM's `extract.py`), and tables with a row a
protein.
An embedding is (L, D), a vector a residue without those of start and end tokens, or (D,), one a protein.

A model looks its embeddings up by sequence among the files that `use` opened in this process, so that no batch has to
carry them; `Embeddings.join` tells a file which of its entries a sequence is.
"""

from __future__ import annotations

import hashlib
import os
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from biorrn.base.errors import ConfigError, InputError, reason
from biorrn.config import network
from biorrn.config.recipe import Recipe
from biorrn.sequences.alphabets import sequence as letters
from biorrn.sequences.alphabets import tokens
from biorrn.sequences.records import ProteinRecord
from biorrn.sequences.tables.reader import is_table, open_table, plain

KEPT = 1 << 28  # bytes of values that are kept in memory once read
NAMED = 5  # missing proteins that a message names
FLAG = "no_embedding"
IDS = ("id", "name", "label", "protein", "protein_id", "accession", "mutant", "mutation", "variant")
SEQUENCES = ("sequence", "seq", "protein_sequence")
ROWS = ("embeddings", "means", "vectors", "representations", "x")  # names of one array (N, D) of all proteins
# raised by h5py, zipfile, numpy and torch on a damaged file
DAMAGE = (OSError, RuntimeError, ValueError, LookupError, TypeError, AttributeError, EOFError, MemoryError,
          zipfile.BadZipFile, zlib.error)  # fmt: skip


def sequence_hash(sequence: str) -> str:
    """Return the name of a sequence in files of biotrainer: SHA-256 of `SEQUENCE_LENGTH`, in hex digits.

    >>> sequence_hash("MKV")[:12]
    '0248cf4a15ae'
    """
    return hashlib.sha256(f"{sequence}_{len(sequence)}".encode()).hexdigest()


def names_of(sequence: str) -> tuple[str, ...]:
    """Return the names that files give a sequence: the hash of biotrainer, that of bio_embeddings (MD5), itself."""
    return sequence_hash(sequence), hashlib.md5(sequence.encode(), usedforsecurity=False).hexdigest(), sequence


class Reader(Protocol):
    """An open file of embeddings."""

    model: str  # the language model, "" where the file does not say

    def names(self, thorough: bool) -> Iterator[tuple[str, str]]:
        """Yield pairs of a name (id, hash or sequence) and the key that it has; `thorough` where that takes longer."""
        ...

    def read(self, key: str) -> np.ndarray:
        """Return one embedding, as it is stored."""
        ...


class Hdf5:
    """A data set a protein, at the root or in groups."""

    def __init__(self, path: Path) -> None:
        import h5py  # `biorrn predict` needs no HDF5 for most models

        self.file = h5py.File(path, "r")
        if "schema" in self.file.attrs and "kind" in self.file.attrs:
            raise InputError(path, "is a prepared file of biorrn; expected embeddings, a data set a protein")
        self.model = str(self.file.attrs.get("model", ""))

    def names(self, thorough: bool) -> Iterator[tuple[str, str]]:
        if not thorough:
            yield from ((name, name) for name in self.file)
            return
        stack = [self.file]
        while stack:
            group = stack.pop()
            for name in group:
                item = group[name]
                if hasattr(item, "keys"):  # a group, of an id that holds a /
                    stack.append(item)
                    continue
                key = item.name.lstrip("/")
                yield key, key
                if (given := item.attrs.get("original_id")) is not None:
                    yield (given.decode() if isinstance(given, bytes) else str(given)), key

    def read(self, key: str) -> np.ndarray:
        return np.asarray(self.file[key][()])


class Npz:
    """An array a protein, named by its id or sequence; or one array of all, beside their names."""

    def __init__(self, path: Path) -> None:
        self.file = np.load(path, allow_pickle=False)
        held = {name.lower(): name for name in self.file.files}
        self.model = str(self.file[held["model"]]) if "model" in held else ""
        ids = next((held[name] for name in ("ids", "id", "names", "labels") if name in held), None)
        whole = next((held[name] for name in ROWS if name in held), None)
        self.rows: list[np.ndarray] | np.ndarray | None = None
        if ids is not None and (whole is not None or {"states", "offsets"} <= held.keys()):
            self.ids = [str(name) for name in self.file[ids]]
            if whole is not None:
                self.rows = self.file[whole]
            else:  # of `biorrn models states`
                self.rows = np.split(self.file[held["states"]], self.file[held["offsets"]][1:-1])
            if len(self.rows) != len(self.ids):
                raise InputError(path, f"holds {len(self.ids)} names and {len(self.rows)} embeddings")

    def names(self, thorough: bool) -> Iterator[tuple[str, str]]:
        if self.rows is None:
            yield from ((name, name) for name in self.file.files if name.lower() != "model")
        else:
            yield from ((name, str(row)) for row, name in enumerate(self.ids))

    def read(self, key: str) -> np.ndarray:
        return np.asarray(self.file[key] if self.rows is None else self.rows[int(key)])


class Torch:
    """A dict of tensors, by id or sequence; or a file or folder of ESM's `extract.py`, a file a protein.

    Of several layers the last is taken, and vectors of residues before means of them. Tensors are mapped from disk.
    """

    def __init__(self, path: Path) -> None:
        self.model, self.path = "", path
        self.files: dict[str, Path] = {}
        self.content: dict[str, Any] = {}
        if path.is_dir():
            self.files = {
                str(file.relative_to(path).with_suffix("")): file
                for file in sorted(path.rglob("*.pt"))
                if file.is_file()
            }
            return
        content = self._load(path)
        if "label" in content:
            content = {str(content["label"]): content}
        self.content = {str(name): value for name, value in content.items()}

    @staticmethod
    def _load(path: Path) -> dict[str, Any]:
        import pickle

        import torch

        try:
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except (pickle.UnpicklingError, *DAMAGE) as error:
            raise InputError(path, f"is not a file of tensors alone: {str(error).splitlines()[0][:120]}") from error
        if not isinstance(content, dict):
            raise InputError(path, f"holds a {type(content).__name__}; expected a dict of id and tensor")
        return content

    def names(self, thorough: bool) -> Iterator[tuple[str, str]]:
        yield from ((name, name) for name in self.files or self.content)

    def read(self, key: str) -> np.ndarray:
        import torch

        found: Any = self._load(self.files[key]) if self.files else self.content[key]
        if isinstance(found, dict):
            layers = found.get("representations") or found.get("mean_representations")
            if not isinstance(layers, dict) or not layers:
                raise InputError(self.path, "holds neither 'representations' nor 'mean_representations'", key)
            found = layers[max(layers)]
        if not isinstance(found, torch.Tensor):
            raise InputError(self.path, f"holds a {type(found).__name__}; expected a tensor", key)
        return found.float().numpy() if found.dtype == torch.bfloat16 else found.numpy()


class Rows:
    """A table with a column of ids or sequences, and one column a number; other columns are ignored."""

    def __init__(self, path: Path) -> None:
        self.model = ""
        self.known: dict[str, str] = {}
        values: list[np.ndarray] = []
        with open_table(path) as grid:
            places = {plain(name): place for place, name in reversed(list(enumerate(grid.names)))}
            named = [[places[name] for name in known if name in places][:1] for known in (IDS, SEQUENCES)]
            keys = [place for found in named for place in found]
            if not keys:
                raise InputError(path, f"has no column id or sequence; found {', '.join(grid.names)[:100]}")
            numbers: list[int] = []
            for line, cells in grid.rows(range(len(grid.names))):
                if not any(str(cell or "").strip() for cell in cells):
                    continue
                if not numbers:
                    numbers = [
                        place for place in range(len(grid.names)) if place not in keys and _is_number(cells[place])
                    ]
                try:
                    values.append(np.array([cells[place] for place in numbers], np.float32))
                except (ValueError, IndexError, TypeError):
                    raise InputError(path, f"line {line}: a cell of the embedding is not a number") from None
                for place in keys:
                    self.known.setdefault(str(cells[place]).strip(), str(len(values) - 1))
        if not values or not len(values[0]):
            raise InputError(path, "holds no embeddings; expected columns of numbers beside id or sequence")
        self.values = np.stack(values)

    def names(self, thorough: bool) -> Iterator[tuple[str, str]]:
        yield from self.known.items()

    def read(self, key: str) -> np.ndarray:
        return np.asarray(self.values[int(key)])


def _is_number(cell: Any) -> bool:
    try:
        float(cell)
    except (TypeError, ValueError):
        return False
    return True


# suffix of a file -> its reader; a folder is read by `Torch`, any other file as a table
FORMATS: dict[str, Callable[[Path], Reader]] = {
    ".h5": Hdf5,
    ".hdf5": Hdf5,
    ".npz": Npz,
    ".pt": Torch,
    ".pth": Torch,
}


@dataclass(eq=False)
class Embeddings:
    """Embeddings in a file or folder, read one at a time; safe to call from several threads.

    Attributes
    ----------
    path : str: as given.
    width : int: numbers of a vector (D).
    per : "residue" or "protein": what has a vector.
    model : str: the language model, "" where the file does not say.
    size : int: embeddings in the file.
    """

    path: str
    width: int
    per: str
    model: str
    size: int
    _reader: Reader = field(repr=False)
    _names: dict[str, str] = field(repr=False)
    _thorough: bool = field(default=False, repr=False)
    _rows: dict[bytes, str] = field(default_factory=dict, repr=False)  # digest of tokens -> key
    _kept: dict[tuple[str, bool], np.ndarray] = field(default_factory=dict, repr=False)
    _held: int = field(default=0, repr=False)
    _lock: Any = field(default_factory=threading.RLock, repr=False)

    @classmethod
    def open(cls, path: str | Path) -> Embeddings:
        """Open a file of one of the `FORMATS`, a table, or a folder of .pt files.

        Raises
        ------
        InputError: it cannot be read, or holds no embeddings.
        """
        file, problem = Path(path), "is not a readable file of embeddings"
        make = Torch if file.is_dir() else FORMATS.get(file.suffix.lower())
        if not file.exists():
            raise InputError(path, "cannot be read: no such file or folder")
        if make is None:
            if not is_table(file):
                known = f"{', '.join(FORMATS)}, a folder of .pt, or a table with id or sequence"
                raise InputError(path, f"{problem}; allowed are {known}")
            make = Rows
        try:
            reader = make(file)
            names = dict(reader.names(False))
            first = next((key for _, key in reader.names(make is Hdf5)), None)
            if first is None:
                raise InputError(path, "holds no embeddings")
            found = reader.read(first)
        except InputError:
            raise
        except DAMAGE as error:
            raise InputError(path, f"{problem}: {reason(error)}") from error
        if found.ndim == 3 and found.shape[0] == 1:
            found = found[0]
        if found.ndim not in (1, 2) or found.dtype.kind not in "fiu" or not found.shape[-1]:
            raise InputError(
                path, f"holds {found.dtype} of shape {found.shape}; expected numbers (L, D) or (D,)", first
            )
        per = "protein" if found.ndim == 1 or (found.shape[0] == 1 and make is Hdf5) else "residue"
        return cls(str(path), found.shape[-1], per, reader.model, len(set(names.values())), reader, names)

    @property
    def described(self) -> str:
        """Return what the file holds, for a message."""
        of = f" of {self.model}" if self.model else ""
        return f"{self.size:,} embeddings{of}, {self.width} numbers a {self.per}"

    def find(self, id: str, sequence: str) -> str | None:
        """Return the key of a protein, by its sequence, else by its id; None where it is not there."""
        wanted = [*names_of(sequence), *([id] if id else [])]
        for name in wanted:
            if name in self._names:
                return self._names[name]
        if self._thorough:
            return None
        with self._lock:
            for name, key in self._reader.names(True):
                self._names.setdefault(name, key)
                self._names.setdefault(name.split(maxsplit=1)[0] if name.split() else name, key)  # of a whole header
            self._thorough = True
        return self.find(id, sequence)

    def join(self, id: str, sequence: str) -> bool:
        """Note which entry a sequence has, and return whether there is one."""
        digest = _digest(tokens(sequence).tobytes())
        if digest not in self._rows:
            key = self.find(id, sequence)
            if key is None:
                return False
            self._rows[digest] = key
        return True

    def get(self, row: np.ndarray, mean: bool) -> np.ndarray | None:
        """Return the embedding of tokens, uint8 (L,): (L, D), or with `mean` (D,); None where it is not there.

        Raises
        ------
        InputError: it has another shape, or a number that is not finite.
        """
        digest = _digest(row.tobytes())
        if digest not in self._rows and not self.join("", letters(row)):
            return None
        key = self._rows[digest]
        found = self._kept.get((key, mean))
        if found is None:
            found = self._read(key, len(row), mean)
            if self._held < KEPT:
                with self._lock:
                    self._kept[key, mean] = found
                    self._held += found.nbytes
        elif not mean and len(found) != len(row):
            self._wrong(key, found.shape, len(row))
        return found

    def _read(self, key: str, length: int, mean: bool) -> np.ndarray:
        try:
            with self._lock:
                found = self._reader.read(key)
        except InputError:
            raise
        except DAMAGE as error:
            raise InputError(self.path, reason(error), key) from error
        while found.ndim > 1 and found.shape[0] == 1 and (found.ndim == 3 or length != 1):
            found = found[0]
        if found.shape[-1:] != (self.width,) or (found.ndim == 2 and len(found) != length):
            self._wrong(key, found.shape, length)
        if not np.isfinite(found).all():
            raise InputError(self.path, "holds a number that is not finite", key)
        if found.ndim == 1 and not mean:
            raise InputError(self.path, "holds one vector a protein; the model reads one a residue", key)
        if mean and found.ndim == 2:
            return np.asarray(found.astype(np.float32).mean(0)).astype(found.dtype)
        return found

    def _wrong(self, key: str, shape: tuple[int, ...], length: int) -> None:
        wanted = f"({length}, {self.width}), a vector a residue without start and end tokens, or ({self.width},)"
        raise InputError(self.path, f"found shape {shape} for {length} residues; expected {wanted}", key)


def _digest(row: bytes) -> bytes:
    return hashlib.blake2b(row, digest_size=16).digest()


class Live(Protocol):
    """A language model that embeds sequences as they are asked for."""

    width: int
    model: str

    def vectors(self, rows: Sequence[np.ndarray], mean: bool) -> list[np.ndarray]:
        """Return the embedding of each row of tokens, as `lookup` does."""
        ...


_OPEN: dict[str, tuple[int, Embeddings]] = {}  # what `use` opened in this process, with the time of the file's change
_LIVE: dict[str, Live] = {}  # by the name of the model


def use(path: str | Path) -> Embeddings:
    """Open a file for the models of this process, and return it; again only where the file has changed.

    Raises
    ------
    InputError: as `Embeddings.open`.
    """
    place = os.path.realpath(path)
    changed = os.stat(place).st_mtime_ns if os.path.exists(place) else 0
    if place not in _OPEN or _OPEN[place][0] != changed:
        _OPEN.pop(place, None)
        _OPEN[place] = changed, Embeddings.open(path)
    return _OPEN[place][1]


def use_live(model: Live) -> None:
    """Let a language model embed the sequences that are in no open file."""
    _LIVE[model.model] = model


def release() -> None:
    """Forget the open files and language models."""
    _OPEN.clear()
    _LIVE.clear()


def lookup(rows: Sequence[np.ndarray], width: int, mean: bool, model: str = "") -> list[np.ndarray]:
    """Return the embedding of each row of tokens, uint8 (L,), from the open files: (L, D), or with `mean` (D,).

    Parameters
    ----------
    width, model : of the language model; a file that names another is not asked.

    Raises
    ------
    ConfigError: no file of this width is open.
    InputError: a sequence is in none of them.
    """

    def fits(one: Embeddings | Live) -> bool:
        return one.width == width and not (model and one.model not in ("", model))

    fitting, live = [one for _, one in _OPEN.values() if fits(one)], [one for one in _LIVE.values() if fits(one)]
    if not fitting and not live:
        raise ConfigError(f"the model {needs(width, model)}; predict and scan take their file with --embeddings")
    found = [next((values for one in fitting if (values := one.get(row, mean)) is not None), None) for row in rows]
    missing = [place for place, values in enumerate(found) if values is None]
    if missing and not live:
        text = letters(rows[missing[0]])
        shown = f"{text[:12]}..." if len(text) > 12 else text
        raise InputError(fitting[0].path, f"holds no embedding of the sequence {shown} ({len(text)} residues)")
    if missing:
        for place, values in zip(missing, live[0].vectors([rows[place] for place in missing], mean), strict=True):
            found[place] = values
    return [values for values in found if values is not None]


Read = TypeVar("Read", network.Embeddings, network.MeanEmbeddings)


def settled(part: Read) -> Read:
    """Return the recipe of a part that reads embeddings for a model folder: with what its file says, and no path.

    Raises
    ------
    ConfigError: it reads a vector a residue, and the file has one a protein.
    InputError: as `Embeddings.open`.
    """
    if part.path is None:
        return part
    source = use(part.path)
    if source.per == "protein" and getattr(part, "per", "mean") == "residue":
        raise ConfigError(f"{part.path}: holds one vector a protein; the recipe reads one a residue: set per to mean")
    return part.model_copy(update={"path": None, "width": source.width, "model": source.model})


def needs(width: int, model: str) -> str:
    """Return what a model says that it reads."""
    return f"reads embeddings of {model or 'a language model'} ({width} numbers)"


def wanted(recipe: Recipe) -> list[tuple[int, str, bool]]:
    """Return width, language model, and whether means suffice, of the embeddings that a model folder's recipe reads."""
    if recipe.members is not None:
        parts = [wanted(member.recipe) for member in recipe.members if isinstance(member.recipe, Recipe)]
        return list(dict.fromkeys(one for part in parts for one in part))
    part: Any = getattr(recipe.model, "frontend", None) or getattr(recipe.model, "kernel", None)
    if getattr(part, "name", "") != "embeddings":
        return []
    return [(part.width, part.model, getattr(part, "per", "mean") == "mean")]


def paths_of(recipe: Recipe) -> list[str]:
    """Return the files of embeddings that a recipe to be trained names."""
    if recipe.members is not None:
        parts = [paths_of(member.recipe) for member in recipe.members if isinstance(member.recipe, Recipe)]
        return list(dict.fromkeys(path for part in parts for path in part))
    part: Any = getattr(recipe.model, "frontend", None) or getattr(recipe.model, "kernel", None)
    return [part.path] if getattr(part, "name", "") == "embeddings" and part.path else []


def join_prepared(recipe: Recipe, prepared: str | Path) -> None:
    """Open the embeddings that a recipe to be trained names, and join them to the rows of a prepared file.

    Raises
    ------
    InputError: a file cannot be used, or has no embedding of a row.
    """
    from biorrn.sequences.prepared.files import SequenceFile

    for path in paths_of(recipe):
        source, missing = use(path), Missing()
        with SequenceFile(prepared) as file:
            offsets, flat, missing.asked = file.file["offsets"][:], file.file["tokens"][:], len(file)
            for row, id in enumerate(file.strings("id")):
                if not source.join(id, letters(flat[offsets[row] : offsets[row + 1]])):
                    missing.add(id)
        if missing.count:
            line = missing.line([Path(prepared).name])
            raise InputError(path, f"{line}; biorrn prepare protein --embeddings leaves such rows out")


def joined(
    records: Iterable[ProteinRecord], sources: Sequence[Embeddings], missing: Missing, strict: bool = False
) -> Iterator[ProteinRecord]:
    """Yield records, joined to their embeddings; one that a file lacks is counted and has no sequence any more.

    Raises
    ------
    InputError: with `strict`, at the first that a file lacks.
    """
    for record in records:
        if not record.problem:
            missing.asked += 1
            if not all([one.join(record.id, record.sequence) for one in sources]):
                if strict:
                    raise InputError(sources[0].path, "holds no embedding of it", record.id, FLAG)
                missing.add(record.id)
                record = replace(record, sequence="", problem=FLAG)
        yield record


@dataclass
class Missing:
    """Proteins without an embedding: how many were asked for, how many are missing, and the first of them."""

    asked: int = 0
    count: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, id: str) -> None:
        """Count one."""
        self.count += 1
        if len(self.first) < NAMED:
            self.first.append(id)

    def line(self, files: Iterable[str]) -> str:
        """Return a line that names the first of them, "" for none."""
        if not self.count:
            return ""
        shown = ", ".join(self.first) + (", ..." if self.count > len(self.first) else "")
        return f"{', '.join(files)}: no embedding of {self.count:,} of {self.asked:,} proteins: {shown}"
