"""Embeddings by protein language models: files of them, and zero-shot log odds; the models are of `nn.hub`.

`embed` writes a file in the layout of biotrainer and bio_embeddings: a data set a sequence, named by biotrainer's hash
of it, with the attribute `original_id`. Finished parts lie beside the output, so that an interrupted run resumes; what
the output already holds is not made again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch

from biorrn.base.errors import BiorrnError, ConfigError, InputError
from biorrn.base.files import atomic_path
from biorrn.config.recipe import parse_recipe
from biorrn.nn.forward import BatchLimit
from biorrn.nn.hub import OVERLAP, WINDOW, LanguageModel, embedded, is_plm, stored_as
from biorrn.nn.store import Stored
from biorrn.sequences.alphabets import RESIDUES as LETTERS
from biorrn.sequences.alphabets import STANDARD, sequence
from biorrn.sequences.embeddings import sequence_hash
from biorrn.sequences.prepared.files import new_file
from biorrn.sequences.records import ProteinRecord
from biorrn.version import __version__

READ_AHEAD = 2_000_000  # residues that are sorted by length together
PART = 1 << 28  # bytes of a part


class LogOdds(torch.nn.Module):
    """Maps `(x, lengths)` to `(log odds, lengths)`, (B, T, 20), as a trained model of effects of substitutions does.

    Equal rows, as those that only fill a batch, are computed once. The network stays on its device.
    """

    stride = 1

    def __init__(self, model: LanguageModel) -> None:
        super().__init__()
        self.of, self.network = model, model.network

    def _apply(self, fn: Any, recurse: bool = True) -> LogOdds:
        return self

    def __deepcopy__(self, memo: Any) -> LogOdds:
        return self

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        codes = x.to("cpu", torch.uint8).numpy()
        texts = [sequence(codes[row, :length]) for row, length in enumerate(lengths.tolist())]
        tables = {text: torch.from_numpy(self.of.log_odds(text)) for text in dict.fromkeys(texts)}
        found = torch.zeros(*x.shape, len(STANDARD))
        for row, text in enumerate(texts):
            found[row, : len(text)] = tables[text]
        return found.to(x.device), lengths


def zero_shot(name: str, device: torch.device | str = "cpu") -> Stored:
    """Return a masked language model as one of effects of substitutions, for `proteins.scan` and `proteins.predict`.

    Its value is the log odds of the mutant against the wild type, which no measurement has trained; of several
    substitutions their sum.

    Raises
    ------
    ConfigError: as `LanguageModel.load`, or it has no head that predicts masked residues.
    """
    model = LanguageModel.load(name, device, masked=True)
    if model.mask is None:
        raise ConfigError(f"--zero-shot {name}: its tokeniser has no mask; log odds need a masked model, as ESM-2")
    effect = {"name": "log_odds", "unit": "nats", "sign": "positive is likelier than the wild type"}
    facts = {"task": "tagging", "kind": "values", "effect": effect, "outputs": len(STANDARD), "alphabet": LETTERS}
    # a recipe that nothing is built of: the module is there
    recipe = {
        "name": "zero_shot",
        "task": "tagging",
        "model": {"frontend": {"name": "onehot"}, "head": {"name": "values"}},
    }
    return Stored.of(LogOdds(model), parse_recipe(recipe), facts, Path(name))


def embed(
    model: LanguageModel,
    records: Iterable[ProteinRecord],
    output: str | Path,
    *,
    mean: bool = False,
    half: bool = True,
    window: int = WINDOW,
    batch_size: int = 64,
    replace: bool = False,
    advance: Callable[[int], None] = lambda proteins: None,
) -> dict[str, int]:
    """Write the embeddings of proteins to HDF5; memory does not grow with their number.

    Parameters
    ----------
    records : proteins; those with a problem are passed over, and a sequence that came before is not embedded again.
    mean : bool: one vector a protein, the mean over its residues, in place of one a residue.
    half : bool: store float16; numbers beyond its range make a protein float32.
    window : int: residues of a pass; longer sequences are cut into windows that overlap by `OVERLAP`, 0 is no limit.
    batch_size : int: sequences of a pass, at most; fewer where they are long.
    replace : bool: start over if the output holds embeddings of another kind.

    Returns
    -------
    dict: "embedded" proteins, "kept" from an earlier run.

    Raises
    ------
    ConfigError: the output holds embeddings of another kind, and `replace` is not set.
    BiorrnError: memory does not suffice, or the output cannot be written.
    """
    if window and window <= OVERLAP:
        raise ConfigError(f"--window: found {window}; allowed is 0, or more than {OVERLAP}")
    output = Path(output)
    kind = {"model": model.model, "per": "protein" if mean else "residue", "window": window}
    known = _known(output, kind, replace)
    parts = output.parent / f".{output.name}.parts"
    done = set(known)
    for part in sorted(parts.glob("*.h5")):
        if (held := _names(part, kind)) is None:
            part.unlink()
        else:
            done |= held
    counts = {"embedded": 0, "kept": 0}
    limit = BatchLimit(batch_size)
    writer = _Parts(parts, kind, half)
    for group in _groups(records, done, counts, advance):
        for row, values in embedded(model, [record.sequence for record in group], window, mean, limit):
            writer.add(group[row], values)
            counts["embedded"] += 1
            advance(1)
    writer.flush()
    _merge(output, parts, kind, known)
    return counts


def made(given: str, records: Iterable[ProteinRecord], output: Path, device: torch.device | str = "cpu") -> str:
    """Return a file of embeddings: the one given; or `output`, with the mean embeddings by the model that is given."""
    if not is_plm(given):
        return given
    from biorrn.base.terminal import progress

    model = LanguageModel.load(given, device)
    with progress(f"embedding by {model.model}", "proteins") as advance:
        embed(model, records, output, mean=True, advance=advance)
    return str(output)


def _known(output: Path, kind: dict[str, Any], replace: bool) -> set[str]:
    """Return the names in an output of an earlier run."""
    if not output.exists():
        return set()
    held = _names(output, kind)
    if held is not None:
        return held
    if not replace:
        wanted = f"of {kind['model']}, one a {kind['per']}, in windows of {kind['window']}"
        raise ConfigError(f"{output}: holds no embeddings {wanted}; give another file or --replace")
    return set()


def _names(path: Path, kind: dict[str, Any]) -> set[str] | None:
    """Return the names in a file of this kind; None for another, or a damaged one."""
    try:
        with h5py.File(path, "r") as file:
            return set(file) if all(file.attrs.get(key) == value for key, value in kind.items()) else None
    except OSError:
        return None


def _groups(
    records: Iterable[ProteinRecord], done: set[str], counts: dict[str, int], advance: Callable[[int], None]
) -> Iterator[list[ProteinRecord]]:
    """Yield runs of records to be embedded, about `READ_AHEAD` residues each."""
    group: list[ProteinRecord] = []
    held = 0
    for record in records:
        if record.problem or not record.sequence:
            continue
        name = sequence_hash(record.sequence)
        if name in done:
            counts["kept"] += 1
            advance(1)
            continue
        done.add(name)
        group.append(record)
        held += len(record.sequence)
        if held >= READ_AHEAD:
            yield group
            group, held = [], 0
    if group:
        yield group


class _Parts:
    """Writes embeddings to parts, files of their own that appear whole."""

    def __init__(self, folder: Path, kind: dict[str, Any], half: bool) -> None:
        self.folder, self.kind, self.half = folder, kind, half
        self.held: list[tuple[ProteinRecord, np.ndarray]] = []
        self.bytes, self.number = 0, len(list(folder.glob("*.h5")))

    def add(self, record: ProteinRecord, values: np.ndarray) -> None:
        """Take an embedding, float32 (L, D) or (D,)."""
        if not np.isfinite(values).all():
            raise BiorrnError(f"record '{record.id}': its embedding is not finite; use --precision 32")
        values = stored_as(values, self.half)
        self.held.append((record, values))
        self.bytes += values.nbytes
        if self.bytes >= PART:
            self.flush()

    def flush(self) -> None:
        """Write what is held as one part."""
        if not self.held:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        with new_file(self.folder / f"{self.number:06d}.h5") as file:
            file.attrs.update(self.kind)
            for record, values in self.held:
                name = sequence_hash(record.sequence)
                file.create_dataset(name, data=values).attrs["original_id"] = record.id
        self.number += 1
        self.held, self.bytes = [], 0


def _merge(output: Path, parts: Path, kind: dict[str, Any], known: set[str]) -> None:
    """Join an output of an earlier run and the parts to the output; the parts are removed."""
    files = sorted(parts.glob("*.h5"))
    if files:
        with atomic_path(output) as temporary, h5py.File(temporary, "w") as whole:
            whole.attrs.update(kind | {"biorrn": __version__})
            for path in [*([output] if known else []), *files]:
                with h5py.File(path, "r") as part:
                    for name in part:
                        if name not in whole:
                            part.copy(name, whole)
    for path in files:
        path.unlink()
    if parts.is_dir():
        parts.rmdir()
    if not files and not known:
        raise InputError(output, "is not written: no protein could be embedded")
