"""`biorrn suggest`: choose the variants to measure next."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from biorrn.cli.options import Decimal, Device, Offset, SequenceColumn, Sheet, Table, Threads

WildType = Annotated[
    str | None,
    typer.Option(
        metavar="FASTA|SEQUENCE|COLUMN", help="The protein that is engineered. Default: from the model or the table."
    ),
]


def suggest(
    model: Annotated[
        str, typer.Argument(help="Run folder of a regression model, or a shipped one; or the table, without a model.")
    ],
    table: Annotated[
        str | None,
        typer.Argument(help="Table measured so far. Default: what trained the run folder.", show_default=False),
    ] = None,
    output: Table = "-",
    number: Annotated[
        int | None, typer.Option("--number", "-n", help="Variants to choose. Default: 96, or what the plate holds.")
    ] = None,
    target: Annotated[str | None, typer.Option(help="Column of the measured numbers.")] = None,
    wild_type: WildType = None,
    offset: Offset = 0,
    candidates: Annotated[
        str | None,
        typer.Option(
            metavar="LIST|FILE",
            help="Choose among these: FASTA, a table, or mutations as A23G,K41E:L12P. Default: substitutions and their "
            "combinations.",
        ),
    ] = None,
    max_mutations: Annotated[
        int | None, typer.Option(min=1, help="Most substitutions in a variant. Default: one more than measured so far.")
    ] = None,
    positions: Annotated[str | None, typer.Option(help="Change only these positions, e.g. 39-41,54.")] = None,
    keep: Annotated[str | None, typer.Option(help="Keep these positions, e.g. of an active site.")] = None,
    avoid: Annotated[
        list[str] | None,
        typer.Option(
            metavar="REGEX", help="Motif that must not arise, e.g. 'N[^P][ST]', or C for new cysteines. Repeatable."
        ),
    ] = None,
    acquisition: Annotated[str, typer.Option(help="ucb, ei, thompson or greedy.")] = "ucb",
    explore: Annotated[
        float, typer.Option(min=0, help="For ucb: weight of the uncertainty, in standard deviations.")
    ] = 2.0,
    max_share: Annotated[
        float, typer.Option(help="Most of the variants that may hold the same substitution, e.g. 0.3 of them.")
    ] = 1.0,
    minimise: Annotated[bool, typer.Option("--minimise", help="Lower is better. Default: higher.")] = False,
    plate: Annotated[
        int | None, typer.Option(metavar="WELLS", help="Lay out on plates of 24, 48, 96 or 384 wells, with controls.")
    ] = None,
    controls: Annotated[
        int, typer.Option(min=0, help="For --plate: wells of the wild type, and of the best so far, on each plate.")
    ] = 2,
    figure: Annotated[str | None, typer.Option(help="Figure to write: .svg or .png.")] = None,
    sequence_column: SequenceColumn = None,
    embeddings: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Language model that the run's adapters are of, see train-table --tune."),
    ] = None,
    sheet: Sheet = None,
    decimal: Decimal = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the fit and of Thompson sampling.")] = 0,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first unusable row or candidate.")] = False,
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Choose the variants to measure next.

    Fits a Gaussian process to the variants measured so far, in seconds, and chooses a batch that is promising (a high
    predicted value), uncertain (worth measuring) and diverse (each choice counts as measured for the next ones). With a
    model the predicted values are the model's, unless nothing shows that it ranks variants that it did not see. A model
    alone, without measured values, chooses a first round by the disagreement of its networks.

    Candidates are all single substitutions and, with --max-mutations, their combinations: all, or from the best up
    where there are more than 50,000. Measured ones are left out. A motif of --avoid may stay where the wild type has
    it.

    ucb is the upper confidence bound, ei the expected improvement, thompson draws from the posterior, greedy takes the
    best predictions.

    Writes one row per variant, in the order of choice: rank, id, mutation, mutations (their number), the predicted
    value, its standard deviation (_spread), chance (to be better than the best so far; without measured values, than
    the wild type), sequence. With --plate also plate, well and role (new, wild_type, best), one row per well.

    \b
    Examples:
      biorrn suggest runs/mine -n 96 -o next.csv --figure next.svg
      biorrn suggest mine.xlsx --target activity --wild-type wt.fasta --plate 96 -o plate2.xlsx
      biorrn suggest runs/mine round1and2.csv --target tm --keep 66,130-135 --avoid C --avoid 'N[^P][ST]' -o next.csv
      biorrn suggest gb1.csv --target score --wild-type gb1.fa --positions 39-41,54 --max-mutations 4 -o next.csv
      biorrn suggest scan.csv --target kd --wild-type wt.fa --minimise --candidates ordered.fasta -n 24 -o next.csv
      biorrn suggest stability --wild-type wt.fasta -n 48 -o first.csv
    """
    from biorrn.base.compute import device_name, set_threads
    from biorrn.base.errors import stop
    from biorrn.proteins.suggest.campaign import Wish, open_campaign
    from biorrn.proteins.suggest.campaign import suggest as run
    from biorrn.proteins.suggest.candidates import Rules, parse_motifs
    from biorrn.proteins.suggest.figures import round_figures
    from biorrn.proteins.suggest.plate import laid_out, room, write_round
    from biorrn.sequences.tables.writer import table_format
    from biorrn.sequences.tally import Tally

    used = set_threads(threads)
    table_format(output)  # before anything is computed
    tally = Tally("suggest", "variants")
    take = stop if strict else tally.skip_record
    count = number if number is not None else 96 if plate is None else room(plate, controls)
    rules = Rules.of(max_mutations, positions, keep, parse_motifs(avoid or ()), offset)
    wish = Wish(count, acquisition, rules, candidates, explore=explore, share=max_share, minimise=minimise, seed=seed)
    reading: dict[str, Any] = {"sequence": sequence_column, "sheet": sheet, "decimal": decimal, "strict": strict}
    options = {"device": device_name(device), "threads": used}
    with round_figures(figure) as draw:
        measured, stored = open_campaign(model, table, target, wild_type, offset, reading, tally.say, embeddings)
        made = run(measured, wish, stored, options=options, on_problem=take)
        for line in made.lines:
            tally.say(line)
        write_round(output, made, laid_out(made, plate, controls) if plate is not None else ())
        draw(made)
    tally.add(variants=len(made.chosen))
    tally.report()
