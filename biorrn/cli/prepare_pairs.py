"""`biorrn prepare pairs` and `biorrn prepare codons`."""

from pathlib import Path
from typing import Annotated

import typer

from biorrn.cli.prepare_mix import finish

Output = Annotated[Path, typer.Option("--output", "-o", help="HDF5 file to write.")]
Split = Annotated[str, typer.Option(help="column:NAME (of a table) or random:0.8,0.1,0.1.")]
Export = Annotated[
    list[str] | None, typer.Option(metavar="SPLIT=PATH", help="Write the sources of a split as FASTA; repeatable.")
]
Report = Annotated[Path | None, typer.Option(help="JSON file: what was kept, and sources that train has too.")]
Seed = Annotated[int, typer.Option(min=0, help="Of a random split, and of made-up sequences.")]


def pairs(
    source: Annotated[str, typer.Argument(metavar="INPUT", help="CSV, TSV or parquet with both sides; or FASTA.")],
    source_alphabet: Annotated[str, typer.Option(help="dna, rna, codons (DNA in threes) or residues.")],
    target_alphabet: Annotated[str, typer.Option(help="dna, rna, codons or residues.")],
    output: Output,
    split: Split = "random:0.8,0.1,0.1",
    targets: Annotated[str | None, typer.Option(help="With FASTA: FASTA of the targets, joined by id.")] = None,
    source_column: Annotated[str, typer.Option(help="Of a table: the column of sources.")] = "source",
    target_column: Annotated[str, typer.Option(help="Of a table: the column of targets.")] = "target",
    id_column: Annotated[str | None, typer.Option(help="Of a table: the column of ids; default: numbered.")] = None,
    seed: Seed = 0,
    export_fasta: Export = None,
    report: Report = None,
    note: Annotated[str, typer.Option(help="Kept in the file and the report.")] = "",
) -> None:
    """Prepare pairs of sequences, of which a model of task translation learns to tell the second from the first.

    Lower case is accepted; ambiguous bases become N, ambiguous residues X. A codon with an N is the unknown codon.

    \b
    Examples:
      biorrn prepare pairs genes.tsv --source-alphabet codons --target-alphabet residues -o genes.h5
      biorrn prepare pairs cds.fa --targets proteins.fa --source-alphabet dna --target-alphabet residues -o genes.h5
      biorrn prepare pairs g.tsv --source-alphabet rna --target-alphabet residues --split column:set -o genes.h5
    """
    from biorrn.datasets.export import parse_exports
    from biorrn.datasets.prepare_pairs import export_sources, prepare_pairs
    from biorrn.datasets.splits import Column, parse_split
    from biorrn.progress import progress
    from biorrn.readers.pairs import read_pair_fasta, read_pair_table

    splitter = parse_split(split, "pairs", seed)
    exports = parse_exports(export_fasta or [])
    if targets is None:
        column = splitter.name if isinstance(splitter, Column) else None
        found = read_pair_table(source, source_column, target_column, id_column, column)
    else:
        found = read_pair_fasta(source, targets)
    with progress("preparing", "pairs") as advance:
        account = prepare_pairs(
            found,
            output,
            splitter,
            source_alphabet,
            target_alphabet,
            inputs=[path for path in (source, targets) if path is not None],
            note=note,
            advance=advance,
        )
    export_sources(output, exports)
    finish(account, {"split": split, "seed": seed}, report)


def codons(
    output: Output,
    number: Annotated[int, typer.Option(min=1, max=10_000_000, help="Coding sequences to make.")] = 10_000,
    shortest: Annotated[int, typer.Option(min=1, max=100_000, help="Residues of a protein, at least.")] = 20,
    longest: Annotated[int, typer.Option(min=1, max=100_000, help="Residues of a protein, at most.")] = 60,
    source_alphabet: Annotated[str, typer.Option(help="How coding sequences are read: codons, dna or rna.")] = "codons",
    split: Annotated[str, typer.Option(help="random:0.8,0.1,0.1 or other parts.")] = "random:0.8,0.1,0.1",
    seed: Seed = 0,
    export_fasta: Export = None,
    report: Report = None,
) -> None:
    """Make coding sequences by chance, with their proteins: a translation whose answer is known.

    Residues are drawn evenly, their codons too, from ATG to a stop codon, under the standard genetic code. The file
    says that it is synthetic.

    \b
    Examples:
      biorrn prepare codons -o codons.h5
      biorrn prepare codons -o codons.h5 --number 20000 --longest 100 --export-fasta test=unseen.fa
    """
    from biorrn.datasets.export import parse_exports
    from biorrn.datasets.prepare_pairs import export_sources, prepare_pairs
    from biorrn.datasets.splits import parse_split
    from biorrn.errors import ConfigError
    from biorrn.progress import progress
    from biorrn.simulation.codons import coding_pairs

    if shortest > longest:
        raise ConfigError(f"--shortest: found {shortest}; allowed is at most --longest, {longest}")
    splitter = parse_split(split, "pairs", seed)
    exports = parse_exports(export_fasta or [])
    with progress("making", "pairs", number) as advance:
        account = prepare_pairs(
            coding_pairs(number, shortest, longest, seed),
            output,
            splitter,
            source_alphabet,
            "residues",
            note="synthetic coding sequences under the standard genetic code",
            advance=advance,
        )
    export_sources(output, exports)
    finish(account, {"split": split, "seed": seed}, report)
