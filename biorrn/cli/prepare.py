"""`biorrn prepare`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Turn proteins or labelled reads into one HDF5 file with a split.")

Output = Annotated[Path, typer.Option("--output", "-o", help="HDF5 file to write.")]
Report = Annotated[Path | None, typer.Option(help="JSON file: what was kept, dropped and shared between the splits.")]
Seed = Annotated[int, typer.Option(min=0, help="Of a random or cluster split.")]
Note = Annotated[str, typer.Option(help="Kept in the file and the report, e.g. that the data is synthetic.")]


@app.command(no_args_is_help=True)
def protein(
    source: Annotated[str, typer.Argument(metavar="INPUT", help="CSV, TSV or parquet with sequences; or FASTA.")],
    split: Annotated[str, typer.Option(help="column:NAME, random:0.8,0.1,0.1 or cluster:IDENTITY[:0.8,0.1,0.1].")],
    output: Output,
    target: Annotated[list[str], typer.Option(help="Column of numbers to learn; repeatable.")],
    targets: Annotated[str | None, typer.Option(help="With FASTA: the table of values, joined by id.")] = None,
    sequence_column: Annotated[str, typer.Option(help="Column of sequences.")] = "sequence",
    id_column: Annotated[
        str | None, typer.Option(help="Column of ids; default: id, or row1, row2, ... without it.")
    ] = None,
    weight: Annotated[str | None, typer.Option(help="Column with each protein's weight in the loss.")] = None,
    seed: Seed = 0,
    report: Report = None,
    export_fasta: Annotated[
        list[str] | None, typer.Option(metavar="SPLIT=PATH", help="Also write a split as FASTA; repeatable.")
    ] = None,
    note: Note = "",
) -> None:
    """Prepare proteins with measured values.

    A protein without any value is left out; one with some is kept. Sequences are cleaned as `biorrn predict` does. An
    id that comes again gets #2, #3, ... at its end.

    \b
    Splits:
      column:set                a column says train, valid or test
      random:0.8,0.1,0.1        by chance; similar proteins fall on both sides
      cluster:0.5               proteins of 50 % identity or more stay together

    \b
    Examples:
      biorrn prepare protein stability.csv.gz --target stability --split column:set -o stability.h5
      biorrn prepare protein all.fasta --targets tm.tsv --target tm --split cluster:0.5 -o tm.h5 --report tm.json
    """
    from biorrn.datasets.export import export_fastas, parse_exports
    from biorrn.datasets.prepare_protein import prepare_proteins
    from biorrn.datasets.splits import parse_split
    from biorrn.progress import progress

    splitter = parse_split(split, "protein", seed)
    exports = parse_exports(export_fasta or [])
    with progress("preparing", "proteins") as advance:
        account = prepare_proteins(
            source,
            output,
            splitter,
            target,
            table=targets,
            sequence_column=sequence_column,
            id_column=id_column,
            weight_column=weight,
            note=note,
            advance=advance,
        )
    export_fastas(output, exports)
    _finish(account, {"split": split, "seed": seed}, report)


@app.command(no_args_is_help=True)
def signal(
    paths: Annotated[list[Path], typer.Argument(help="FAST5, POD5, SLOW5 or BLOW5 files, or folders of them.")],
    split: Annotated[str, typer.Option(help="reference:NAME:START-END=SPLIT[,...] or random:0.8,0.1,0.1.")],
    output: Output,
    labels: Annotated[str, typer.Option(help="events: Tombo's, in the FAST5; truth: a table.")] = "events",
    truth: Annotated[Path | None, typer.Option(help="With --labels truth: TSV of a simulator.")] = None,
    normaliser: Annotated[str, typer.Option(help="medmad, quantile or picoampere.")] = "medmad",
    seed: Seed = 0,
    report: Report = None,
    note: Note = "",
) -> None:
    """Prepare raw reads whose bases are known.

    A read is normalised from its first labelled sample to its last and cut into segments, each wholly in one split. A
    read or file that cannot be used is said on standard error and left out.

    \b
    Splits:
      reference:chr1:0-9000=valid   bases of both strands in that span (0-based, end excluded) go to valid, others train
      random:0.8,0.1,0.1            whole reads by chance; on a small genome the same sequence is on both sides

    \b
    Examples:
      biorrn prepare signal run/ --split reference:Lambda_NEB:0-12000=valid -o lambda.h5 --report lambda.json
      biorrn prepare signal sim.blow5 --labels truth --truth sim.tsv --split random:0.8,0.1,0.1 -o sim.h5
    """
    from biorrn.datasets.prepare_signal import prepare_reads
    from biorrn.datasets.splits import parse_split
    from biorrn.progress import progress
    from biorrn.readers.summary import Problems

    splitter = parse_split(split, "signal", seed)
    problems = Problems(sys.stderr)
    with progress("preparing", "samples") as advance:
        account = prepare_reads(
            paths,
            output,
            splitter,
            labels=labels,
            truth=truth,
            normaliser=normaliser,
            note=note,
            on_problem=problems,
            advance=advance,
        )
    account["counts"]["files with problems"] = problems.close()
    _finish(account, {"split": split, "seed": seed}, report)


def _finish(account: dict, options: dict, report: Path | None) -> None:
    from biorrn.datasets.account import lines, write_account

    if report is not None:
        write_account(report, {**options, **account})
    for line in lines(account):
        print(line)
