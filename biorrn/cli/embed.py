"""`biorrn embed plm`: embeddings by protein language models; and commands of `prepare` and `models` about vectors.

`prepare word2vec`, `models embedding` and `models states` are also here under the names that they had in this group.
"""

from pathlib import Path
from typing import Annotated, Any

import typer

from biorrn.cli.options import (
    BatchSize,
    Device,
    IdColumn,
    Member,
    Offset,
    SequenceColumn,
    Sequences,
    Split,
    StateModel,
    Strict,
    Threads,
    WildType,
)

app = typer.Typer(no_args_is_help=True)


@app.command(no_args_is_help=True)
def word2vec(
    proteins: Annotated[Path, typer.Argument(help="FASTA, CSV, TSV or parquet, or a prepared HDF5 file.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Table of vectors to write: .safetensors or .npz.")],
    k: Annotated[int, typer.Option(help="Residues per k-mer.")] = 3,
    width: Annotated[int, typer.Option(help="Dimension of the vectors.")] = 64,
    window: Annotated[int, typer.Option(help="Context: maximum distance in k-mers.")] = 10,
    epochs: Annotated[int, typer.Option(help="Passes over the proteins.")] = 5,
    min_count: Annotated[int, typer.Option(help="Leave out k-mers that are rarer.")] = 2,
    sequence_column: Annotated[str, typer.Option(help="For a table: the column of sequences.")] = "sequence",
    split: Split = "train",
    seed: Annotated[int, typer.Option(help="Random seed, 0 or more. The same seed gives the same vectors.")] = 0,
    strict: Strict = False,
) -> None:
    """Learn k-mer embeddings with word2vec (skip-gram on the k reading frames of each protein, as ProtVec).

    A recipe uses the table as its front end: {name: table, path: kmers.safetensors, tune: false}.

    \b
    Examples:
      biorrn prepare word2vec proteins.fasta -o kmers.safetensors
      biorrn prepare word2vec stability.h5 --split train --k 2 --width 32 -o pairs.npz
    """
    from biorrn.base.terminal import progress
    from biorrn.proteins.embedding import embed_kmers
    from biorrn.sequences.tables.reader import Reading
    from biorrn.sequences.tally import Tally
    from biorrn.sequences.vectors import write_vectors

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
    Tally("prepare word2vec").took(reading)
    write_vectors(output, table)
    print(f"{output}: {len(table.words):,} {k}-mers, {width} dimensions, from {table.facts['proteins']:,} proteins")


@app.command(no_args_is_help=True)
def plm(
    proteins: Annotated[
        str, typer.Argument(help="FASTA, may be compressed, - is standard input; or a table of sequences or mutations.")
    ],
    model: Annotated[
        str, typer.Option("--model", help="Name as esm2_t12_35M_UR50D, a model of the hub, or a folder with one.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="HDF5 file to write, or to add to.")],
    per: Annotated[str, typer.Option(help="mean: one vector a protein; residue: one a residue.")] = "mean",
    float32: Annotated[bool, typer.Option("--float32", help="Store float32. Default: float16, half the size.")] = False,
    window: Annotated[
        int, typer.Option(help="Residues of a pass; longer proteins are cut into overlapping windows. 0: no limit.")
    ] = 1022,
    sequence_column: SequenceColumn = None,
    id_column: IdColumn = None,
    wild_type: WildType = None,
    offset: Offset = 0,
    strict: Strict = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Start over if OUTPUT holds embeddings of another model or kind.")
    ] = False,
    batch_size: BatchSize = 64,
    device: Device = "auto",
    threads: Threads = None,
    precision: Annotated[
        str, typer.Option(help="Arithmetic: auto, 32, bf16 or 16. auto is 16 on a GPU (T5: bf16) and 32 on a CPU.")
    ] = "auto",
) -> None:
    """Embed proteins with a protein language model: ESM-2, ProtT5, Ankh, ProtBert.

    Needs the package transformers: pip install 'biorrn[plm]'. Models are known by the names esm2_t6_8M_UR50D,
    esm2_t12_35M_UR50D, esm2_t30_150M_UR50D, esm2_t33_650M_UR50D, prot_t5_xl_uniref50, ankh-base and others; they are
    fetched from the Hugging Face hub once.

    The file is that of biotrainer and bio_embeddings: a data set a sequence, of shape (L, D) or (D,), named by the
    hash of the sequence, with the attribute original_id. What it already holds is not made again, and the same command
    resumes an interrupted run. `biorrn prepare plm` is the same command.

    \b
    Examples:
      biorrn embed plm proteins.fasta --model esm2_t12_35M_UR50D -o esm2.h5
      biorrn embed plm mine.csv --model esm2_t33_650M_UR50D --per residue --device cuda -o residues.h5
      biorrn embed plm scan.csv --wild-type gb1.fa --model models/prot_t5 -o variants.h5
      biorrn prepare plm proteins.fasta --model ankh-base -o ankh.h5
    """
    from biorrn.base.compute import choose_device, set_threads
    from biorrn.base.errors import stop
    from biorrn.base.lookup import lookup
    from biorrn.base.terminal import progress
    from biorrn.nn.hub import LanguageModel
    from biorrn.proteins.plm import embed as run
    from biorrn.sequences.rows import TableOptions, read_proteins
    from biorrn.sequences.tally import Tally

    mean = lookup({"mean": True, "protein": True, "residue": False}, per, "--per")
    set_threads(threads)
    tally = Tally("embed plm")
    columns = TableOptions(sequence_column or "sequence", id_column, None, wild_type, offset)
    records = read_proteins(
        proteins, columns, on_problem=stop if strict else tally.skip_record, on_repeat=tally.repeat, say=tally.say
    )
    made = LanguageModel.load(model, choose_device(device), precision)
    options: dict[str, Any] = {"mean": mean, "half": not float32, "window": window, "batch_size": batch_size}
    with progress("embedding", "proteins") as advance:
        counts = run(made, records, output, **options, replace=replace, advance=advance)
    kept = f", {counts['kept']:,} were there" if counts["kept"] else ""
    one = f"{made.width} numbers a {'protein' if mean else 'residue'}"
    tally.say(f"{output}: {counts['embedded']:,} proteins embedded by {made.model}, {one}{kept}")


@app.command("show", no_args_is_help=True)
def embedding(
    source: Annotated[str, typer.Argument(help="Table of vectors, run folder, or name of a shipped model.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Figure to write: .svg or .png.")],
    name: Annotated[str | None, typer.Option(help="Title of the figure. Default: the name of SOURCE.")] = None,
) -> None:
    """Plot residue embeddings: their similarity next to BLOSUM62, and a two-dimensional map.

    The vector of a residue is the mean over the k-mers that contain it (table of k-mers), that of the front end (model)
    or that of the head (language model).

    \b
    Examples:
      biorrn models embedding kmers.safetensors -o kmers.svg
      biorrn models embedding runs/stability -o embedding.png
    """
    from biorrn.proteins.embedding import compare, residue_vectors, save_embedding_figure

    found = compare(residue_vectors(source))
    save_embedding_figure(found, output, name or Path(source).name)
    print(found.sentence())


@app.command(no_args_is_help=True)
def states(
    model: StateModel,
    sequences: Sequences,
    output: Annotated[
        str, typer.Option("--output", "-o", help=".npz; with --mean also .tsv, .csv (.gz compresses) or .parquet.")
    ],
    mean: Annotated[bool, typer.Option("--mean", help="One vector per sequence: the mean over its positions.")] = False,
    layer: Annotated[
        int, typer.Option(help="Layer, from 1. 0 is the output of the core, which front end language_model uses.")
    ] = 0,
    member: Member = 1,
    split: Split = "all",
    strict: Strict = False,
    batch_size: BatchSize = 64,
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Export hidden states of a model: one vector per position, or per sequence with --mean.

    NPZ holds ids, offsets, letters and states (letters x units); those of sequence i are states[offsets[i]:offsets[i +
    1]]. With --mean it holds ids and means. All letters of a symbol of several letters get its state.

    \b
    Examples:
      biorrn models states runs/lm proteins.fasta -o states.npz
      biorrn models states runs/lm proteins.csv --mean -o means.parquet
    """
    from biorrn.base.compute import choose_device, set_threads
    from biorrn.experiments.activations.files import export_states
    from biorrn.experiments.activations.states import activations, watch
    from biorrn.nn.store import load_model
    from biorrn.sequences.sequence_set import read_set
    from biorrn.sequences.tables.reader import Reading
    from biorrn.sequences.tally import Tally

    set_threads(threads)
    watched = watch(load_model(model), layer, member)
    reading, tally = Reading(strict=strict), Tally("models states")
    chosen = read_set(sequences, watched.alphabet, None if split == "all" else split, reading)
    tally.took(reading)
    where = choose_device(device)
    export_states(output, watched, chosen, activations(watched, chosen, batch_size=batch_size, device=where), mean)
    tally.say(f"{output}: {len(chosen):,} sequences, {watched.width:,} units{'' if mean else ' per position'}")
