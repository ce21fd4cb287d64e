"""`biorrn train-table`: train a model on a table of proteins; no recipe needed."""

from pathlib import Path
from typing import Annotated

import typer

from biorrn.base.errors import ConfigError
from biorrn.cli.options import (
    Decimal,
    Device,
    Embeddings,
    IdColumn,
    Offset,
    SequenceColumn,
    Sheet,
    Strict,
    Target,
    Targets,
    TargetType,
    Threads,
    Weight,
    WildType,
)
from biorrn.cli.train import Replace, Settings, TrainSeed


def train_table(
    table: Annotated[str, typer.Argument(help="Table of proteins (text, Excel, parquet), or FASTA with --targets.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Run folder. It becomes the model.")] = None,
    target: Target = None,
    target_type: TargetType = "auto",
    targets: Targets = None,
    sequence_column: SequenceColumn = None,
    wild_type: WildType = None,
    offset: Offset = 0,
    id_column: IdColumn = None,
    weight: Weight = None,
    groups: Annotated[
        str | None, typer.Option(help="Column of groups. Rows of one group stay on the same side of the split.")
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="column:NAME, random[:0.8,0.1,0.1] or cluster:IDENTITY. Default: automatic.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Candidate model, recipe name or .yaml file. Default: automatic.")
    ] = None,
    folds: Annotated[
        str | None,
        typer.Option(
            metavar="N|KIND|KIND:N",
            help="Cross-validate; the models of the N folds form an ensemble. KIND: random, position, contiguous, "
            "group, order.",
        ),
    ] = None,
    search: Annotated[int | None, typer.Option(help="Trials of a hyperparameter search.")] = None,
    embeddings: Embeddings = None,
    tune: Annotated[
        str | None,
        typer.Option(metavar="lora", help="Also train low-rank adapters of the language model of --embeddings."),
    ] = None,
    sheet: Sheet = None,
    decimal: Decimal = None,
    censored: Annotated[
        str, typer.Option(help="Values such as >90: use learns them as bounds, drop leaves them out.")
    ] = "use",
    strict: Strict = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only print the choices and how unusual cells are read. Write nothing.")
    ] = False,
    max_minutes: Annotated[float | None, typer.Option(help="Time limit for everything. Default: 20.")] = None,
    settings: Settings = None,
    seed: TrainSeed = 0,
    device: Device = "auto",
    threads: Threads = None,
    replace: Replace = False,
) -> None:
    """Train a model on a table of proteins; no recipe needed.

    Inspects the table, chooses split, model and size and prints the reasons, trains, compares with baselines, and
    writes report.html. If the run was interrupted, the same command resumes it. Column names are detected. A column
    of mutations (A23G:K41E, p.Ala23Gly, WT) can replace the sequences; --wild-type names what they apply to. A
    target of words, or of few whole numbers, is a class, and cells such as a;b are sets of classes; a line says so, and
    --target-type number learns a number. The former spelling `biorrn train protein TABLE` still works.

    For variants of one protein, --folds says what is held out together: rows at random (random); the rows of whole
    positions (position, or modulo as in ProteinGym), which tells how the model does where nothing was measured;
    stretches of positions (contiguous); the groups of --groups (group). --folds order:2 trains on rows of at most 2
    mutations and tests on rows of more. Scores of random rows are higher than those at new positions; the summary has
    both where that takes little time.

    \b
    Examples:
      biorrn train-table mine.csv --target tm -o runs/tm
      biorrn train-table mine.csv --target tm --groups family --folds 5 -o runs/tm5
      biorrn train-table scan.csv --wild-type gb1.fa --target score --folds position -o runs/gb1_positions
      biorrn train-table all.fasta --targets values.csv --target kcat --search 30 --max-minutes 60 -o runs/kcat
      biorrn train-table scan.csv --wild-type gb1.fa --target score -o runs/gb1
      biorrn train-table mine.csv --target family -o runs/family
      biorrn train-table mine.csv --target tm --embeddings esm2.h5 -o runs/tm_esm2
      biorrn train-table mine.csv --target tm --embeddings esm2_t12_35M_UR50D --tune lora -o runs/tm_lora
      biorrn train-table mine.csv --target tm --dry-run
    """
    if str(output) == "-":
        raise ConfigError("-o -: found standard output; a run is a folder")
    if output is None and not dry_run:
        raise ConfigError("Missing option '--output' / '-o'; see 'biorrn train-table --help'")
    from functools import partial

    from biorrn.base.compute import choose_device, set_threads
    from biorrn.nn.hub import is_plm
    from biorrn.proteins.train_table.run import MINUTES, Wish, choose, train_own
    from biorrn.proteins.train_table.table import Columns
    from biorrn.report.page import write_report
    from biorrn.training import processes as launch

    launch.refuse("'biorrn train-table' runs in one process")
    columns = Columns(
        table,
        tuple(target or ()),
        values=targets,
        sequence=sequence_column,
        id=id_column,
        weight=weight,
        groups=groups,
        split=split.removeprefix("column:") or None if split and split.startswith("column:") else None,
        wild_type=wild_type,
        offset=offset,
        sheet=sheet,
        decimal=decimal,
        censored=censored,
        strict=strict,
        type=target_type,
    )
    wish = Wish(
        columns,
        output or Path("run"),
        model=model,
        split=split,
        seed=seed,
        changes=tuple(settings or ()),
        minutes=MINUTES if max_minutes is None else max_minutes,
        folds=folds or "",
        trials=search or 0,
        embeddings=embeddings,
        tune=tune,
    )
    say = partial(print, flush=True)  # lines appear at once in the log of a long run
    if dry_run:
        if embeddings is not None and is_plm(embeddings):
            raise ConfigError(f"--dry-run: embeds nothing; give --embeddings a file, as embed plm --model {embeddings}")
        set_threads(threads)
        choice, rows, _ = choose(wish, choose_device(device))
        for line in [*choice.lines, *rows.reading.table()]:
            say(line)
    else:
        train_own(wish, device=device, threads=threads, replace=replace, say=say, report=write_report)
