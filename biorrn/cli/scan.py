"""`biorrn scan`."""

from typing import Annotated, Any

import typer


def scan(
    model: Annotated[str, typer.Argument(help="Run folder of a regression model, or the id of a shipped one.")],
    fasta: Annotated[str, typer.Argument(help="Protein sequences, FASTA packed or not; - is standard input.")],
    output: Annotated[
        str, typer.Option("--output", "-o", help="Table: .tsv, .csv (.gz compresses), .xlsx or .parquet; - is stdout.")
    ] = "-",
    figure: Annotated[
        str | None, typer.Option(help="Heat map: .svg, .png, or a folder for one a protein; ids are put in the name.")
    ] = None,
    mutations: Annotated[
        str | None,
        typer.Option(help="Only these, as in 'A23G,K41E:L12P' (: joins), or a file: one a line, or a table."),
    ] = None,
    column: Annotated[
        str | None, typer.Option(help="Column of that table; default: mutation, mutations, mutant or variant.")
    ] = None,
    positions: Annotated[str | None, typer.Option(help="Only these positions, as in 10-40,55.")] = None,
    deletions: Annotated[bool, typer.Option("--deletions", help="Also each deletion of one residue.")] = False,
    insertions: Annotated[
        bool, typer.Option("--insertions", help="Also each insertion of one residue between two others.")
    ] = False,
    offset: Annotated[int, typer.Option(help="Number of the first residue, less 1.")] = 0,
    strict: Annotated[bool, typer.Option("--strict", help="End at the first mutation that cannot be used.")] = False,
    level: Annotated[float, typer.Option(help="Level of the intervals, where the model has any.")] = 0.9,
    batch_size: Annotated[int, typer.Option(help="Sequences a forward pass; changes the speed, not the values.")] = 256,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="CPU threads; default: all that this process may use.")] = None,
) -> None:
    """Predict what mutations do to each protein of a FASTA file: by default, every single substitution.

    Writes one row a mutant: id, position, wild_type, mutant, mutation, value, difference to the wild type with its
    interval (_difference_lower, _difference_upper), interval of the value and spread where the model has them, flags.
    A model that was not trained on mutants says so, and flags each row not_trained_on_mutants.

    Mutations are written as A23G, A23del, A23_K25del, A23_G24insWWP or A23_K25delinsGP, also as in HGVS (p.Ala23Gly).
    One that cannot be used is named and left out; where most do not fit the protein, that is an error, which says the
    --offset at which they would.

    \b
    Examples:
      biorrn scan stability protein.fa -o scan.tsv --figure scan.svg
      biorrn scan stability protein.fa --positions 10-40,55 --deletions -o scan.csv
      biorrn scan stability protein.fa --mutations "A23G,K41E:L12P,p.Ala23_Gly24insTrp"
      biorrn scan stability proteins.fa --mutations variants.csv --column mutant -o scan.parquet
    """
    from biorrn.device import choose_device, set_threads
    from biorrn.evaluation.figures_scan import heat_maps
    from biorrn.inference.confidence import widened
    from biorrn.inference.predict import target_names, units_of
    from biorrn.inference.scan import Plan, count, parse_spans, remarks
    from biorrn.inference.scan import scan as run
    from biorrn.inference.summary import Tally
    from biorrn.inference.writers.effects import effects_table
    from biorrn.models.store import load_model
    from biorrn.progress import progress
    from biorrn.readers.fasta import read_fasta
    from biorrn.readers.fields import stop

    used = set_threads(threads)
    plan = Plan(mutations, column, parse_spans(positions), deletions, insertions, offset)
    stored = load_model(model)
    names = target_names(stored)
    where = choose_device(device)
    tally = Tally("scan", "mutants", "proteins")
    options: dict[str, Any] = {"batch_size": batch_size, "device": where, "threads": used, "level": level}
    take = stop if strict else tally.skip_record
    records = tally.watched(read_fasta(fasta, take, None if strict else tally.repeat, keep=True))
    effects = run(stored, records, plan, take, **options)
    with (
        progress("scan", "mutants") as advance,
        effects_table(output, names, plan.position, units_of(stored.facts)) as write,
        heat_maps(figure, stored.facts["targets"]) as draw,
    ):
        for effect in effects:
            write(effect)
            if effect.prediction.left_out:
                continue
            draw(effect)
            count(tally, effect, names, stored.facts)
            advance(effect.mutant is not None)
        tally.require("proteins", f"{fasta}: holds no protein that can be scanned")
    tally.say_outside(model, str(stored.facts.get("inputs", "")), widened(stored, level), "proteins")
    for line in remarks(stored.facts, names, level):
        tally.say(line)
    tally.report()
