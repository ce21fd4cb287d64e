"""`biorrn prepare`."""

from pathlib import Path
from typing import Annotated

import typer

from biorrn.cli.prepare_arrays import export, import_
from biorrn.cli.prepare_mix import finish, mix
from biorrn.cli.prepare_pairs import codons, pairs
from biorrn.cli.prepare_pseudo_labels import pseudo_labels
from biorrn.cli.prepare_recombine import recombine
from biorrn.cli.prepare_signal import signal
from biorrn.cli.prepare_tags import tags
from biorrn.cli.table_options import AppliedTo, Offset, Sheet

app = typer.Typer(no_args_is_help=True, help="Turn proteins or labelled reads into one HDF5 file with a split.")

Output = Annotated[Path, typer.Option("--output", "-o", help="HDF5 file to write.")]
Report = Annotated[Path | None, typer.Option(help="JSON file: what was kept, dropped and shared between the splits.")]
Seed = Annotated[int, typer.Option(min=0, help="Of a random or cluster split.")]
Note = Annotated[str, typer.Option(help="Kept in the file and the report, e.g. that the data is synthetic.")]


@app.command(no_args_is_help=True)
def protein(
    source: Annotated[
        str, typer.Argument(metavar="INPUT", help="Table (text, Excel, parquet) with sequences or mutations; or FASTA.")
    ],
    split: Annotated[str, typer.Option(help="column:NAME, random:0.8,0.1,0.1 or cluster:IDENTITY[:0.8,0.1,0.1].")],
    output: Output,
    target: Annotated[list[str] | None, typer.Option(help="Column of numbers to learn; repeatable.")] = None,
    no_target: Annotated[
        bool, typer.Option("--no-target", help="Sequences alone, for a language model; INPUT may be FASTA alone.")
    ] = False,
    alphabet: Annotated[
        str, typer.Option(help="protein; or dna: bases alone of FASTA or FASTQ, for a language model.")
    ] = "protein",
    targets: Annotated[str | None, typer.Option(help="With FASTA: the table of values, joined by id.")] = None,
    sequence_column: Annotated[
        str | None, typer.Option(help="Column of sequences, or of mutations; default: found by name.")
    ] = None,
    wild_type: AppliedTo = None,
    offset: Offset = 0,
    id_column: Annotated[
        str | None, typer.Option(help="Column of ids; default: id, or row1, row2, ... without it.")
    ] = None,
    weight: Annotated[str | None, typer.Option(help="Column with each protein's weight in the loss.")] = None,
    sheet: Sheet = None,
    decimal: Annotated[
        str | None, typer.Option(help="point or comma, where the numbers of the table do not tell.")
    ] = None,
    censored: Annotated[
        str, typer.Option(help="use: values such as >90 are kept as bounds for the loss; drop: left out.")
    ] = "use",
    strict: Annotated[
        bool, typer.Option("--strict", help="End at the first row that cannot be used; default: leave it out.")
    ] = False,
    seed: Seed = 0,
    report: Report = None,
    export_fasta: Annotated[
        list[str] | None, typer.Option(metavar="SPLIT=PATH", help="Also write a split as FASTA; repeatable.")
    ] = None,
    note: Note = "",
) -> None:
    """Prepare proteins with measured values.

    A protein without any value is left out; one with some is kept. Sequences are cleaned as `biorrn predict` does. An
    id that comes again gets #2, #3, ... at its end. A row that cannot be used is named and left out.

    Numbers are read as people write them: 54,8 and 1.234,5 and 1,234.5; 54 %; 54.8 ± 0.3, whose error becomes a weight;
    >90, a bound; NA, n.d., - and empty cells are missing. What was made of them is said on standard error.

    A table may hold mutations (A23G, A23G:K41E, p.Ala23Gly, WT) in place of sequences: --wild-type says of what. Tables
    of ProteinGym, MaveDB and FLIP are known.

    \b
    Splits:
      column:set                a column says train, valid or test
      random:0.8,0.1,0.1        by chance; similar proteins fall on both sides
      cluster:0.5               proteins of 50 % identity or more stay together

    \b
    Examples:
      biorrn prepare protein stability.csv.gz --target stability --split column:set -o stability.h5
      biorrn prepare protein all.fasta --targets tm.tsv --target tm --split cluster:0.5 -o tm.h5 --report tm.json
      biorrn prepare protein scan.csv --wild-type gb1.fa --target score --split random:0.8,0.1,0.1 -o scan.h5
      biorrn prepare protein domains.csv.gz --no-target --split cluster:0.5 -o domains.h5
      biorrn prepare protein reads.fastq.gz --no-target --alphabet dna --split random:0.8,0.1,0.1 -o reads.h5
    """
    from biorrn.datasets.export import export_fastas, parse_exports
    from biorrn.datasets.prepare_protein import prepare_proteins
    from biorrn.datasets.splits import parse_split
    from biorrn.inference.summary import Tally
    from biorrn.progress import progress
    from biorrn.readers.tables import Reading

    splitter = parse_split(split, "protein", seed)
    exports = parse_exports(export_fasta or [])
    reading = Reading(sheet, decimal, censored, strict)
    with progress("preparing", "proteins") as advance:
        account = prepare_proteins(
            source,
            output,
            splitter,
            target or [],
            table=targets,
            sequence_column=sequence_column,
            id_column=id_column,
            weight_column=weight,
            unlabelled=no_target,
            alphabet=alphabet,
            note=note,
            advance=advance,
            reading=reading,
            wild_type=wild_type,
            offset=offset,
        )
    for line in reading.lines():
        Tally("prepare").say(line)
    export_fastas(output, exports)
    finish(account, {"split": split, "seed": seed}, report)


app.command(no_args_is_help=True)(signal)
app.command(no_args_is_help=True)(tags)
app.command("pseudo-labels", no_args_is_help=True)(pseudo_labels)
app.command(no_args_is_help=True)(mix)
app.command(no_args_is_help=True)(recombine)
app.command(no_args_is_help=True)(export)
app.command("import", no_args_is_help=True)(import_)
app.command(no_args_is_help=True)(pairs)
app.command(no_args_is_help=True)(codons)
