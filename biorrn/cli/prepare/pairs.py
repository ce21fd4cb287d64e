"""`biorrn prepare pairs` and `biorrn prepare codons`: prepared files of sequence pairs."""

from typing import Annotated

import typer

from biorrn.cli.options import ExportFasta, FileNote, Prepared, Report, SplitSeed
from biorrn.cli.outputs import write_account


def pairs(
    source: Annotated[
        str, typer.Argument(metavar="INPUT", help="CSV, TSV or parquet with source and target; or FASTA.")
    ],
    source_alphabet: Annotated[str, typer.Option(help="dna, rna, codons (DNA triplets) or residues.")],
    target_alphabet: Annotated[str, typer.Option(help="dna, rna, codons or residues.")],
    output: Prepared,
    split: Annotated[str, typer.Option(help="column:NAME (of a table) or random:0.8,0.1,0.1.")] = "random:0.8,0.1,0.1",
    targets: Annotated[str | None, typer.Option(help="With FASTA: FASTA of the targets, joined by id.")] = None,
    source_column: Annotated[str, typer.Option(help="For a table: the column of sources.")] = "source",
    target_column: Annotated[str, typer.Option(help="For a table: the column of targets.")] = "target",
    id_column: Annotated[
        str | None, typer.Option(help="For a table: the column of ids. Default: rows are numbered.")
    ] = None,
    seed: SplitSeed = 0,
    export_fasta: ExportFasta = None,
    report: Report = None,
    note: FileNote = "",
) -> None:
    """Convert pairs of sequences to a prepared file, to train a translation model.

    Lower case is accepted. Ambiguous bases become N, ambiguous residues X; a codon with N is the unknown codon.

    \b
    Examples:
      biorrn prepare pairs genes.tsv --source-alphabet codons --target-alphabet residues -o genes.h5
      biorrn prepare pairs cds.fa --targets proteins.fa --source-alphabet dna --target-alphabet residues -o genes.h5
      biorrn prepare pairs g.tsv --source-alphabet rna --target-alphabet residues --split column:set -o genes.h5
    """
    from biorrn.base.terminal import progress
    from biorrn.proteins.prepare import parse_exports
    from biorrn.sequences.splits import Column, parse_split
    from biorrn.translation.data import export_sources, prepare_pairs, read_pair_fasta, read_pair_table

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
    write_account(account, {"split": split, "seed": seed}, report)


def codons(
    output: Prepared,
    number: Annotated[int, typer.Option(min=1, max=10_000_000, help="Number of coding sequences.")] = 10_000,
    shortest: Annotated[int, typer.Option(min=1, max=100_000, help="Minimum residues of a protein.")] = 20,
    longest: Annotated[int, typer.Option(min=1, max=100_000, help="Maximum residues of a protein.")] = 60,
    source_alphabet: Annotated[
        str, typer.Option(help="Alphabet of the coding sequences: codons, dna or rna.")
    ] = "codons",
    split: Annotated[str, typer.Option(help="random:0.8,0.1,0.1 or other fractions.")] = "random:0.8,0.1,0.1",
    seed: SplitSeed = 0,
    export_fasta: ExportFasta = None,
    report: Report = None,
) -> None:
    """Generate random coding sequences with their proteins, as a test set for translation.

    Residues and their codons are drawn uniformly, from ATG to a stop codon, under the standard genetic code. The file
    is marked as synthetic.

    \b
    Examples:
      biorrn prepare codons -o codons.h5
      biorrn prepare codons -o codons.h5 --number 20000 --longest 100 --export-fasta test=unseen.fa
    """
    from biorrn.base.errors import ConfigError
    from biorrn.base.terminal import progress
    from biorrn.proteins.prepare import parse_exports
    from biorrn.sequences.splits import parse_split
    from biorrn.translation.data import coding_pairs, export_sources, prepare_pairs

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
    write_account(account, {"split": split, "seed": seed}, report)
