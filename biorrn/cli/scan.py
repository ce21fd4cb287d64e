"""`biorrn scan`: predict the effect of mutations; by default, of every single substitution."""

from typing import Annotated, Any

import typer

from biorrn.cli.options import (
    Antisymmetric,
    BatchSize,
    Device,
    Embeddings,
    Fasta,
    Level,
    Offset,
    PropertyModel,
    ProteinFigure,
    Sheet,
    Table,
    Threads,
)


def scan(
    model: PropertyModel,
    fasta: Fasta,
    output: Table = "-",
    figure: ProteinFigure = None,
    mutations: Annotated[
        str | None,
        typer.Option(help="Only these: 'A23G,K41E:L12P' (: combines), or a file, one per line or a table."),
    ] = None,
    column: Annotated[
        str | None, typer.Option(help="Column of that table. Default: mutation, mutations, mutant or variant.")
    ] = None,
    sheet: Sheet = None,
    positions: Annotated[str | None, typer.Option(help="Only these positions, e.g. 10-40,55.")] = None,
    deletions: Annotated[bool, typer.Option("--deletions", help="Also delete each residue.")] = False,
    insertions: Annotated[
        bool, typer.Option("--insertions", help="Also insert each residue between every two neighbours.")
    ] = False,
    offset: Offset = 0,
    antisymmetric: Antisymmetric = False,
    embeddings: Embeddings = None,
    zero_shot: Annotated[
        bool,
        typer.Option("--zero-shot", help="MODEL is a protein language model, as esm2_t33_650M_UR50D: its log odds."),
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first unusable mutation.")] = False,
    level: Level = 0.9,
    batch_size: BatchSize = 256,
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Predict the effect of mutations; by default, of every single substitution.

    Writes one row per mutant: id, position, wild_type, mutant, mutation, value, difference to the wild type with its
    interval (_difference_lower, _difference_upper), interval and spread of the value if the model has them, flags.
    The values of ddg are differences to the wild type, with their intervals.
    If the model was not trained on mutants, a message says so and each row is flagged not_trained_on_mutants.

    With --zero-shot the value is the log odds of the mutant against the wild type by a masked language model, each
    residue masked in turn: no measurement trained it, and it has no unit of a property.

    Mutations are written as A23G, A23del, A23_K25del, A23_G24insWWP or A23_K25delinsGP, or in HGVS (p.Ala23Gly).
    An unusable mutation is reported and left out. If most do not match the protein, the error names the --offset at
    which they would.

    \b
    Examples:
      biorrn scan stability protein.fa -o scan.tsv --figure scan.svg
      biorrn scan stability protein.fa --positions 10-40,55 --deletions -o scan.csv
      biorrn scan stability protein.fa --mutations "A23G,K41E:L12P,p.Ala23_Gly24insTrp"
      biorrn scan stability proteins.fa --mutations variants.csv --column mutant -o scan.parquet
      biorrn scan --zero-shot esm2_t33_650M_UR50D proteins.fa -o log_odds.tsv
      biorrn scan runs/tm_esm2 protein.fa --embeddings esm2_t12_35M_UR50D -o scan.tsv
    """
    from biorrn.base.compute import device_name, set_threads
    from biorrn.base.errors import stop
    from biorrn.base.terminal import progress
    from biorrn.nn.facts import targets_of
    from biorrn.proteins.landscape import heat_maps
    from biorrn.proteins.predict import load_for, open_embeddings, target_names, units_of, widened
    from biorrn.proteins.scan import Plan, count, effects_table, parse_spans, remarks
    from biorrn.proteins.scan import scan as run
    from biorrn.sequences.fasta import read_fasta
    from biorrn.sequences.tally import Tally

    if zero_shot:
        from biorrn.proteins.plm import zero_shot as zero_shot_model

    used = set_threads(threads)
    plan = Plan(mutations, column, parse_spans(positions), deletions, insertions, offset, sheet)
    where = device_name(device)
    stored = zero_shot_model(model, where) if zero_shot else load_for(model, embeddings)
    names = target_names(stored, effects=True)
    open_embeddings(stored, embeddings, where)
    tally = Tally("scan", "mutants", "proteins")
    options: dict[str, Any] = {"batch_size": batch_size, "device": where, "threads": used, "level": level}
    options["antisymmetric"] = antisymmetric
    take = stop if strict else tally.skip_record
    records = tally.watched(read_fasta(fasta, take, None if strict else tally.repeat, keep=True))
    effects = run(stored, records, plan, take, **options)
    with (
        progress("scan", "mutants") as advance,
        effects_table(output, names, plan.position, units_of(stored.facts), not stored.facts.get("effect")) as write,
        heat_maps(figure, targets_of(stored.facts)) as draw,
    ):
        for effect in effects:
            write(effect)
            if effect.prediction.left_out:
                continue
            draw(effect)
            count(tally, effect, names, stored.facts)
            advance(effect.mutant is not None)
        tally.require("proteins", f"{fasta}: contains no protein that can be scanned")
    tally.say_outside(model, str(stored.facts.get("inputs", "")), widened(stored, level), "proteins")
    for line in remarks(stored.facts, names, level):
        tally.say(line)
    tally.report()
