"""`biorrn embed`."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    no_args_is_help=True, help="Learn vectors of residues and k-mers, see what they have learned, write hidden states."
)


@app.command(no_args_is_help=True)
def word2vec(
    proteins: Annotated[Path, typer.Argument(help="FASTA, CSV, TSV or parquet, or an HDF5 file of `biorrn prepare`.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Table to write: .safetensors or .npz.")],
    k: Annotated[int, typer.Option(help="Residues a word.")] = 3,
    width: Annotated[int, typer.Option(help="Numbers a vector.")] = 64,
    window: Annotated[int, typer.Option(help="Words to either side that a word shall tell, at most.")] = 10,
    epochs: Annotated[int, typer.Option(help="Times that the proteins are gone through.")] = 5,
    min_count: Annotated[int, typer.Option(help="Rarer words are left out.")] = 2,
    sequence_column: Annotated[str, typer.Option(help="Column of sequences, of a table.")] = "sequence",
    split: Annotated[str, typer.Option(help="Rows of a prepared file: train, valid, test or all.")] = "train",
    seed: Annotated[int, typer.Option(help="0 or more; the same seed gives the same table.")] = 0,
    strict: Annotated[
        bool, typer.Option("--strict", help="End at the first record that cannot be used; default: leave it out.")
    ] = False,
) -> None:
    """Learn a vector for each k-mer by word2vec: skip-gram on the k reading frames of each protein, as ProtVec does.

    A recipe takes the table as its front end: {name: table, path: kmers.safetensors, tune: false}.

    \b
    Examples:
      biorrn embed word2vec proteins.fasta -o kmers.safetensors
      biorrn embed word2vec stability.h5 --split train --k 2 --width 32 -o pairs.npz
    """
    from biorrn.inference.summary import Tally
    from biorrn.progress import progress
    from biorrn.readers.tables import Reading
    from biorrn.readers.vectors import write_vectors
    from biorrn.tasks.embedding import embed_kmers

    reading = Reading(strict=strict)
    with progress("learning", "epochs", epochs) as advance:
        table = embed_kmers(
            proteins,
            k=k,
            width=width,
            window=window,
            epochs=epochs,
            min_count=min_count,
            sequence_column=sequence_column,
            split=None if split == "all" else split,
            seed=seed,
            after_epoch=lambda done: advance(1),
            reading=reading,
        )
    Tally("embed word2vec").took(reading)
    write_vectors(output, table)
    print(f"{output}: {len(table.words):,} {k}-mers, {width} numbers each, from {table.facts['proteins']:,} proteins")


@app.command(no_args_is_help=True)
def show(
    source: Annotated[str, typer.Argument(help="Table of vectors, model folder, or the id of a shipped model.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Figure to write: .svg or .png.")],
    name: Annotated[str | None, typer.Option(help="What the figure calls it; default: the name of SOURCE.")] = None,
) -> None:
    """Draw what an embedding has learned of the 20 residues: their similarity beside BLOSUM62, and a map of them.

    Of a table of k-mers a residue has the mean over the k-mers that hold it; of a model, the vectors of its front end;
    of a language model, those of its head.

    \b
    Examples:
      biorrn embed show kmers.safetensors -o kmers.svg
      biorrn embed show runs/stability -o embedding.png
    """
    from biorrn.evaluation.embedding import compare, residue_vectors
    from biorrn.evaluation.figures_embedding import save_embedding_figure

    found = compare(residue_vectors(source))
    save_embedding_figure(found, output, name or Path(source).name)
    print(found.sentence())


@app.command(no_args_is_help=True)
def states(
    model: Annotated[str, typer.Argument(help="Run folder of a model for language, regression or tagging, or an id.")],
    sequences: Annotated[str, typer.Argument(help="FASTA, a table, or a prepared file (.h5); - is standard input.")],
    output: Annotated[
        str, typer.Option("--output", "-o", help=".npz; with --mean also .tsv, .csv (.gz packs) or .parquet.")
    ],
    mean: Annotated[bool, typer.Option("--mean", help="One vector a sequence, the mean over its letters.")] = False,
    layer: Annotated[
        int, typer.Option(help="0 is what the core gives, as front end language_model has it; 1, 2, ... a layer.")
    ] = 0,
    member: Annotated[int, typer.Option(help="Network of an ensemble, from 1.")] = 1,
    split: Annotated[str, typer.Option(help="Rows of a prepared file: train, valid, test or all.")] = "all",
    strict: Annotated[
        bool, typer.Option("--strict", help="End at the first record that cannot be used; default: leave it out.")
    ] = False,
    batch_size: Annotated[int, typer.Option(help="Sequences a forward pass.")] = 64,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="CPU threads; default: all that this process may use.")] = None,
) -> None:
    """Write the hidden states of a trained model: a vector a letter, or with --mean a vector a sequence.

    NPZ holds ids, offsets, letters and states (letters x units): those of sequence i are states[offsets[i]:offsets[i +
    1]]; or with --mean ids and means. A symbol of several letters has one state, which each of them gets.

    \b
    Examples:
      biorrn embed states runs/lm proteins.fasta -o states.npz
      biorrn embed states runs/lm proteins.csv --mean -o means.parquet
    """
    from biorrn.datasets.sequence_set import read_set
    from biorrn.device import choose_device, set_threads
    from biorrn.evaluation.activation_files import export_states
    from biorrn.inference.activations import activations, watch
    from biorrn.inference.summary import Tally
    from biorrn.models.store import load_model
    from biorrn.readers.tables import Reading

    set_threads(threads)
    watched = watch(load_model(model), layer, member)
    reading = Reading(strict=strict)
    chosen = read_set(sequences, watched.alphabet, None if split == "all" else split, reading)
    Tally("embed states").took(reading)
    where = choose_device(device)
    export_states(output, watched, chosen, activations(watched, chosen, batch_size=batch_size, device=where), mean)
    numbers = f"{watched.width:,} numbers each{'' if mean else ' letter'}"
    Tally("embed states").say(f"{output}: {len(chosen):,} sequences, {numbers}")
