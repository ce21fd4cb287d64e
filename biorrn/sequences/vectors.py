"""Tables of residue or k-mer vectors: safetensors, npz, or text.

A safetensors or npz file holds `words` (N, k) of ASCII codes as uint8 (npz: or text, (N,)), `vectors` float32 (N, F),
optionally `unknown` float32 (F,), and as metadata "biorrn" (npz: array `facts`) a JSON mapping: how the table was made.
In text each line is a word and its numbers, separated by tabs, commas or spaces; a first line without numbers is a
header.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np

from biorrn.base.errors import ConfigError, InputError
from biorrn.base.files import atomic_path, open_text
from biorrn.sequences.alphabets import RESIDUES

LONGEST = 8  # residues a word
MOST_BYTES = 1 << 30  # of an npz file, unpacked: a kilobyte of zip may stand for a terabyte
UNKNOWN_WORDS = ("<unk>", "unk", "[unk]")  # names of the vector of all words that have none
LETTERS = set(RESIDUES)


@dataclass(frozen=True, slots=True)
class Vectors:
    """A table of vectors.

    Attributes
    ----------
    words : list of str: N different words of `k` residues of `RESIDUES`, sorted.
    vectors : float32 array (N, F), finite.
    unknown : float32 array (F,): for every other word; the mean of `vectors` where the file has none.
    facts : dict: how the table was made; may be empty.
    """

    words: list[str]
    vectors: np.ndarray
    unknown: np.ndarray
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def k(self) -> int:
        """Return the residues of a word."""
        return len(self.words[0])


def read_vectors(path: str | Path) -> Vectors:
    """Read a table of vectors.

    Raises
    ------
    InputError: the file is damaged or not such a table; a word is no k-mer of residues, is given twice or is of another
        length than the first; a row has another width, or a number is not finite.
    """
    words, vectors, facts = FORMATS.get(Path(path).suffix.lower(), _read_text)(path)
    unknown = None
    kept: dict[str, int] = {}
    for row, written in enumerate(words):
        if written.lower() in UNKNOWN_WORDS:
            unknown = vectors[row]
            continue
        word = written.upper()
        if not word or set(word) - LETTERS or len(word) > LONGEST:
            problem = f"found the word {written[:20]!r}; allowed are 1 to {LONGEST} letters of {RESIDUES}"
            raise InputError(path, problem + f", or {UNKNOWN_WORDS[0]}")
        if word in kept:
            raise InputError(path, f"the word '{word}' is given twice; allowed is once")
        kept[word] = row
        first = next(iter(kept))
        if len(word) != len(first):
            raise InputError(path, f"the words '{first}' and '{word}' differ in length; allowed is one length")
    if not kept:
        raise InputError(path, "holds no words; expected a vector a residue or k-mer")
    if not np.isfinite(vectors).all():
        row = int(np.argmin(np.isfinite(vectors).all(1)))
        raise InputError(path, f"the vector of '{words[row]}' holds a number that is not finite")
    order = sorted(kept)
    chosen = vectors[[kept[word] for word in order]]
    return Vectors(order, chosen, chosen.mean(0) if unknown is None else unknown, facts)


def write_vectors(path: str | Path, table: Vectors) -> None:
    """Write a table as safetensors or npz, by the suffix.

    Raises
    ------
    ConfigError: another suffix.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise ConfigError(f"{path}: a table of vectors is written to a file ending in {' or '.join(FORMATS)}")
    letters = np.frombuffer("".join(table.words).encode(), np.uint8).reshape(len(table.words), -1)
    arrays = {"words": letters, "vectors": table.vectors, "unknown": table.unknown}
    facts = json.dumps(table.facts, sort_keys=True)
    with atomic_path(path) as temporary:
        if suffix == ".npz":
            with open(temporary, "wb") as stream:
                np.savez(stream, allow_pickle=False, facts=np.array(facts), **arrays)
        else:
            from safetensors.numpy import save_file

            save_file(arrays, temporary, metadata={"biorrn": facts})


Content = tuple[list[str], np.ndarray, dict[str, Any]]  # words, float32 (N, F), facts


def _assemble(path: str | Path, arrays: dict[str, np.ndarray], facts: str) -> Content:
    missing = [name for name in ("words", "vectors") if name not in arrays]
    if missing:
        found = ", ".join(sorted(arrays))[:100] or "none"
        raise InputError(path, f"holds no array '{missing[0]}'; expected 'words' and 'vectors', found: {found}")
    words, vectors = arrays["words"], arrays["vectors"]
    if not (words.ndim == 2 and words.dtype == np.uint8) and not (words.ndim == 1 and words.dtype.kind == "U"):
        problem = f"'words' has shape {words.shape} and type {words.dtype}; expected rows of letters or texts"
        raise InputError(path, problem)
    text = ["".join(map(chr, row)) for row in words] if words.dtype == np.uint8 else [str(word) for word in words]
    if vectors.ndim != 2 or len(vectors) != len(text) or not vectors.shape[1] or vectors.dtype.kind not in "fiu":
        raise InputError(path, f"'vectors' has shape {vectors.shape}; expected {len(text)} rows, one a word")
    unknown = arrays.get("unknown")
    if unknown is not None:
        if unknown.shape != vectors.shape[1:]:
            raise InputError(path, f"'unknown' has shape {unknown.shape}; the vectors are {vectors.shape[1]} wide")
        text, vectors = [*text, UNKNOWN_WORDS[0]], np.concatenate([vectors, unknown[None]])
    try:
        known = json.loads(facts)
    except (ValueError, RecursionError) as error:
        raise InputError(path, f"its facts are not JSON: {str(error)[:100]}") from error
    return text, vectors.astype(np.float32), known if isinstance(known, dict) else {}


def _read_safetensors(path: str | Path) -> Content:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="numpy") as stream:
            arrays = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
            facts = (stream.metadata() or {}).get("biorrn", "{}")
    except (SafetensorError, OSError, TypeError, ValueError) as error:
        raise InputError(path, f"is not a readable safetensors file: {error}") from error
    return _assemble(path, arrays, facts)


def _read_npz(path: str | Path) -> Content:
    import zipfile
    import zlib

    try:
        with zipfile.ZipFile(path) as archive:
            held = sum(part.file_size for part in archive.infolist())
        if held > MOST_BYTES:
            raise InputError(path, f"holds {held:,} bytes once unpacked; allowed are {MOST_BYTES:,}")
        with np.load(path, allow_pickle=False) as stream:
            arrays = {name: np.asarray(stream[name]) for name in stream.files}
    # raised by zipfile, zlib and numpy on damage
    except (OSError, ValueError, zipfile.BadZipFile, zlib.error, EOFError, LookupError, AttributeError, TypeError,
            SyntaxError, RuntimeError, OverflowError, MemoryError) as error:  # fmt: skip
        raise InputError(path, f"is not a readable npz file: {str(error)[:200]}") from error
    return _assemble(path, arrays, str(arrays.pop("facts", "{}")))


def _lines(file: IO[str]) -> Iterator[tuple[int, list[str]]]:
    for number, line in enumerate(file, 1):
        cells = [cell for cell in re.split(r"[\s,;]+", line.replace('"', " ").lstrip("\ufeff").strip()) if cell]
        if cells:
            yield number, cells


def _read_text(path: str | Path) -> Content:
    words: list[str] = []
    rows: list[list[float]] = []
    with open_text(path) as file:
        for number, cells in _lines(file):
            try:
                values = [float(cell) for cell in cells[1:]]
            except ValueError:
                if words or number > 1:
                    problem = f"line {number}: found {' '.join(cells[1:])[:30]!r}; allowed is a word and its numbers"
                    raise InputError(path, problem) from None
                continue  # the header
            if not words and number == 1 and cells[0].isdigit():
                continue  # the header of word2vec: how many words, how many numbers
            if not values or (rows and len(values) != len(rows[0])):
                wanted = f"{len(rows[0])} as in the first row" if rows else "one or more"
                problem = f"line {number}: '{cells[0][:20]}' has {len(values)} numbers; allowed is {wanted}"
                raise InputError(path, problem)
            words.append(cells[0])
            rows.append(values)
    if not words:
        raise InputError(path, "holds no words; expected lines of a residue or k-mer and its numbers")
    return words, np.array(rows, np.float32), {}


FORMATS: dict[str, Callable[[str | Path], Content]] = {".safetensors": _read_safetensors, ".npz": _read_npz}
