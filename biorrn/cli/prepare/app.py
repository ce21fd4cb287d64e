"""`biorrn prepare`: the group of commands, and `prepare protein`: proteins with measured values."""

from typing import Annotated

import typer

from biorrn.cli.embed import plm, word2vec
from biorrn.cli.options import (
    Decimal,
    ExportFasta,
    FileNote,
    IdColumn,
    Offset,
    Prepared,
    Report,
    SequenceColumn,
    Sheet,
    SplitSeed,
    Strict,
    Target,
    Targets,
    TargetType,
    Weight,
    WildType,
)
from biorrn.cli.outputs import write_account
from biorrn.cli.prepare.pairs import codons, pairs
from biorrn.cli.prepare.pore_model import pore_model
from biorrn.cli.prepare.signal import export, import_, mix, recombine, signal
from biorrn.cli.prepare.tags import pseudo_labels, tags

app = typer.Typer(no_args_is_help=True)


@app.command(no_args_is_help=True)
def protein(
    source: Annotated[
        str, typer.Argument(metavar="INPUT", help="Table (text, Excel, parquet) of sequences or mutations; or FASTA.")
    ],
    split: Annotated[str, typer.Option(help="column:NAME, random:0.8,0.1,0.1 or cluster:IDENTITY[:0.8,0.1,0.1].")],
    output: Prepared,
    target: Target = None,
    target_type: TargetType = "auto",
    no_target: Annotated[
        bool, typer.Option("--no-target", help="Sequences only, for a language model. INPUT may be FASTA alone.")
    ] = False,
    alphabet: Annotated[
        str, typer.Option(help="protein; or dna: FASTA or FASTQ of bases, for a language model.")
    ] = "protein",
    targets: Targets = None,
    sequence_column: SequenceColumn = None,
    wild_type: WildType = None,
    offset: Offset = 0,
    id_column: IdColumn = None,
    weight: Weight = None,
    embeddings: Annotated[
        str | None, typer.Option(help="File of embeddings that a recipe will read: leave out proteins without one.")
    ] = None,
    sheet: Sheet = None,
    decimal: Decimal = None,
    censored: Annotated[
        str, typer.Option(help="Values such as >90: use keeps them as bounds for the loss, drop leaves them out.")
    ] = "use",
    strict: Strict = False,
    seed: SplitSeed = 0,
    report: Report = None,
    export_fasta: ExportFasta = None,
    note: FileNote = "",
) -> None:
    """Convert proteins with measured values to a prepared file.

    A protein with no value is left out; one with some values is kept. Sequences are cleaned as in `biorrn predict`.
    Repeated ids get the suffix #2, #3, ... An unusable row is reported and left out.

    Numbers may be written as 54,8, 1.234,5 or 1,234.5; 54 %; 54.8 ± 0.3, whose error becomes a weight; >90, a bound.
    NA, n.d., - and empty cells are missing. The interpretation is reported on standard error.

    A target of words that repeat, such as a family, is a class: the names are stored in the file, for task
    classification; cells such as a;b or a|b are sets of classes. Whole numbers are classes with --target-type class.

    A table may hold mutations (A23G, A23G:K41E, p.Ala23Gly, WT) instead of sequences; --wild-type gives the protein.
    Tables of ProteinGym, MaveDB and FLIP are recognised.

    \b
    Splits:
      column:set                a column contains train, valid or test
      random:0.8,0.1,0.1        at random; similar proteins can end up on both sides
      cluster:0.5               proteins of 50 % identity or more stay together

    \b
    Examples:
      biorrn prepare protein stability.csv.gz --target stability --split column:set -o stability.h5
      biorrn prepare protein all.fasta --targets tm.tsv --target tm --split cluster:0.5 -o tm.h5 --report tm.json
      biorrn prepare protein scan.csv --wild-type gb1.fa --target score --split random:0.8,0.1,0.1 -o scan.h5
      biorrn prepare protein domains.csv.gz --target family --split cluster:0.5 -o families.h5
      biorrn prepare protein tm.csv --target tm --split cluster:0.5 --embeddings residues.h5 -o tm.h5
      biorrn prepare protein domains.csv.gz --no-target --split cluster:0.5 -o domains.h5
      biorrn prepare protein reads.fastq.gz --no-target --alphabet dna --split random:0.8,0.1,0.1 -o reads.h5
    """
    from biorrn.base.terminal import progress
    from biorrn.proteins.prepare import export_fastas, parse_exports, prepare_proteins
    from biorrn.sequences.embeddings import Missing
    from biorrn.sequences.splits import parse_split
    from biorrn.sequences.tables.reader import Reading
    from biorrn.sequences.tally import Tally

    splitter = parse_split(split, "protein", seed)
    exports = parse_exports(export_fasta or [])
    reading, missing = Reading(sheet, decimal, censored, strict, target_type), Missing()
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
            embeddings=embeddings,
            missing=missing,
        )
    for line in [*reading.lines(), *([missing.line([str(embeddings)])] if missing.count else [])]:
        Tally("prepare").say(line)
    export_fastas(output, exports)
    write_account(account, {"split": split, "seed": seed}, report)


app.command(no_args_is_help=True)(signal)
app.command(no_args_is_help=True)(tags)
app.command("pseudo-labels", no_args_is_help=True)(pseudo_labels)
app.command(no_args_is_help=True)(mix)
app.command(no_args_is_help=True)(recombine)
app.command(no_args_is_help=True)(export)
app.command("import", no_args_is_help=True)(import_)
app.command(no_args_is_help=True)(pairs)
app.command(no_args_is_help=True)(codons)
app.command(no_args_is_help=True)(word2vec)
app.command(no_args_is_help=True)(plm)
app.command("pore-model", no_args_is_help=True)(pore_model)
