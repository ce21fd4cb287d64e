"""`biorrn prepare export` and `biorrn prepare import`."""

from pathlib import Path
from typing import Annotated

import typer

from biorrn.cli.prepare_mix import finish


def export(
    prepared: Annotated[Path, typer.Argument(help="Prepared signal file.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write.")],
    samples: Annotated[int, typer.Option(min=1, help="Samples of a chunk.")] = 3600,
) -> None:
    """Write a prepared signal file as chunks.npy, references.npy and reference_lengths.npy.

    Other trainers read this layout. Chunks lie side by side over each segment; a rest shorter than one is left out. The
    held-out splits go to the folders validation and test.

    \b
    Examples:
      biorrn prepare export lambda.h5 -o chunks/ --samples 3600
    """
    from biorrn.datasets.chunk_arrays import FOLDERS, export_chunks

    for split, count in export_chunks(prepared, output, samples).items():
        print(f"{output / FOLDERS[split]}: {split}, {count:,} chunks of {samples:,} samples")


def import_(
    folder: Annotated[Path, typer.Argument(help="Folder with chunks.npy, references.npy, reference_lengths.npy.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="HDF5 file to write.")],
    split: Annotated[
        str, typer.Option(help="random:0.8,0.1,0.1; used where the folder holds no folder validation.")
    ] = "random:0.9,0.1,0",
    normaliser: Annotated[
        str, typer.Option(help="medmad, quantile or picoampere: what the chunks were made with.")
    ] = "medmad",
    sample_rate: Annotated[float, typer.Option(min=1, help="Samples a second of the signal (Hz).")] = 4000.0,
    seed: Annotated[int, typer.Option(min=0, help="Of the random split.")] = 0,
    report: Annotated[Path | None, typer.Option(help="JSON file: what the prepared file holds.")] = None,
    note: Annotated[str, typer.Option(help="Kept in the file and the report.")] = "",
) -> None:
    """Turn a folder of chunks that another program made into a prepared signal file.

    Such a folder does not say where each base lies, so that its chunks are used whole: train with a recipe whose
    chunks.samples is at least their length.

    \b
    Examples:
      biorrn prepare import chunks/ -o chunks.h5 --normaliser quantile
    """
    from biorrn.datasets.account import account
    from biorrn.datasets.chunk_arrays import import_chunks
    from biorrn.datasets.splits import Random, parse_split
    from biorrn.errors import ConfigError

    splitter = parse_split(split, "signal", seed)
    if not isinstance(splitter, Random):
        raise ConfigError(f"--split {split}: chunks have no place on a reference; allowed is random:0.8,0.1,0.1")
    counts = import_chunks(folder, output, normaliser=normaliser, sample_rate=sample_rate, splitter=splitter, note=note)
    finish(account(output, counts, note), {"split": split, "seed": seed}, report)
