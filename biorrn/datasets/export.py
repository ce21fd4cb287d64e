"""A split of a prepared protein file as FASTA, to predict on."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from biorrn.datasets.prepare import ProteinFile
from biorrn.datasets.schema import split_code
from biorrn.encoders.residues import sequence
from biorrn.errors import ConfigError, InputError
from biorrn.files import one_line, write_text


def parse_exports(texts: Sequence[str]) -> dict[str, Path]:
    """Return split -> path of texts such as `valid=valid.fasta`.

    Raises
    ------
    ConfigError: not of this form, an unknown split, or a split given twice.
    """
    exports: dict[str, Path] = {}
    for text in texts:
        split, equals, path = text.partition("=")
        if not equals or not path:
            raise ConfigError(f"--export-fasta: found '{text}'; allowed is SPLIT=PATH, as valid=valid.fasta")
        split_code(split)
        if split in exports:
            raise ConfigError(f"--export-fasta: split '{split}' is given twice; allowed is once")
        exports[split] = Path(path)
    return exports


def export_fastas(prepared: str | Path, exports: Mapping[str, Path]) -> None:
    """Write each of these splits of a prepared protein file as FASTA, in file order.

    Raises
    ------
    InputError: a split is empty.
    """
    with ProteinFile(prepared) as file:
        for split, path in exports.items():
            rows = file.rows(split)
            if not len(rows):
                raise InputError(prepared, f"split '{split}' is empty; there is nothing to export")
            with write_text(path) as stream:
                stream.writelines(_records(file, rows))


def _records(file: ProteinFile, rows: Iterable[int]) -> Iterable[str]:
    ids = file.strings("id")
    for row in rows:
        yield f">{one_line(ids[row])}\n{sequence(file.tokens(row), file.alphabet)}\n"
