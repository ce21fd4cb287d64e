"""`biorrn predict`."""

from typing import Annotated, Any

import typer

from biorrn.cli.table_options import Offset, Sheet, WildType


def predict(
    model: Annotated[
        str, typer.Argument(help="Run folder of a regression or tagging model, or the id of a shipped one.")
    ],
    proteins: Annotated[
        str,
        typer.Argument(
            help="FASTA, packed or not, - is standard input; or a table (text, Excel, parquet) with sequences."
        ),
    ],
    output: Annotated[
        str,
        typer.Option("--output", "-o", help="TSV, or .csv, .xlsx, .parquet by its name; .gz packs text; - is stdout."),
    ] = "-",
    format: Annotated[
        str | None,
        typer.Option(help="Of tags: tsv, fasta (with a line of states), ss2 or jsonl; default: by the output's name."),
    ] = None,
    figure: Annotated[
        str | None, typer.Option(help="Of tags: draw the states along each sequence; .svg or .png.")
    ] = None,
    summary: Annotated[str | None, typer.Option(help="Of tags: table to write with a row a sequence.")] = None,
    level: Annotated[float, typer.Option(help="How often an interval is to hold the true value, 0.5 to 0.99.")] = 0.9,
    sequence_column: Annotated[
        str, typer.Option(help="Of a table: the column of sequences, or of mutations.")
    ] = "sequence",
    wild_type: WildType = None,
    mutations: Annotated[
        str | None,
        typer.Option(metavar="LIST|FILE", help="Predict these mutants of the protein, as in 'A23G,K41E:L12P'."),
    ] = None,
    offset: Offset = 0,
    id: Annotated[
        str | None, typer.Option(help="Of a table: the column of ids; default: id, or rows are numbered.")
    ] = None,
    sheet: Sheet = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="End at the first record that cannot be used, or whose id came before.")
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was ended, if there is one.")] = False,
    batch_size: Annotated[
        int, typer.Option(help="Sequences a forward pass; changes the speed, not the values.")
    ] = 1024,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="CPU threads; default: all that this process may use.")] = None,
    precision: Annotated[
        str, typer.Option(help="auto, 32 or bf16, on a CPU; auto is bf16 where the processor has it, two times faster.")
    ] = "auto",
) -> None:
    """Predict a property of each protein of a FASTA file or a table, or a state of each of its residues.

    Writes one row a sequence, in the order of the input: id, length, for each target its value, the ends of its
    interval (_lower, _upper), for ensembles how far the members disagree (_spread), its unit (_unit) where that is
    known, then flags. A flag says why a value deserves doubt: unknown_residues, shorter_than_training,
    longer_than_training; and that the model does not know such a protein: unlike_training, no_relative_in_training,
    more_mutations_than_training, not_a_variant. Then the interval is what was measured for such proteins, or empty,
    and one line on standard error says so. `biorrn models` says what each model is for.

    A tagging model gives one row a residue: id, position (from 1), residue, state, and the probability of each state;
    or a column for each value. With --format ss2, that of PSIPRED, an output that ends in / gets a file a protein.

    Selenocysteine, pyrrolysine and ambiguous letters become X; gaps, modifications in brackets and a stop codon at the
    end are removed. A record that is empty, is DNA, has a stop codon inside, no id, or a character that is no residue
    is left out: its row has empty cells and the flags left_out and why. A record whose id came before is kept, with
    flag id_given_before. --strict ends the run at the first of either. The other columns of a table are carried
    through; a cell NA, NaN or none in its column of sequences is missing: write a peptide of these letters as FASTA.

    A table may hold mutations in place of sequences: A23G, A23G:K41E, p.Ala23Gly, A23del, WT, in a column named mutant,
    hgvs_pro or the like. --wild-type says of what: FASTA, a sequence, or a column of the table. The mutation is then
    the id, unless the table has ids, and its column is carried through. With --mutations, PROTEINS is the wild type.

    \b
    Examples:
      biorrn predict stability proteins.fasta -o predictions.tsv
      biorrn predict runs/mine proteins.csv --sequence-column protein --level 0.95 -o predictions.parquet
      biorrn predict runs/gb1 scan.csv --wild-type gb1.fa -o predictions.tsv
      biorrn predict runs/gb1 gb1.fa --mutations "A24G,A24G:K28R,D47del" -o chosen.tsv
      zcat proteins.fa.gz | biorrn predict runs/stability - --threads 2 > predictions.tsv
      biorrn predict runs/structure proteins.fasta -o structure.fasta --figure structure.svg --summary content.tsv
    """
    from itertools import chain, islice

    from biorrn.cli.predict_tags import predict_tags
    from biorrn.device import choose_device, set_threads
    from biorrn.errors import ConfigError
    from biorrn.inference.confidence import columns_given, widened
    from biorrn.inference.predict import Prediction, doubts, refuse, target_names, units_of
    from biorrn.inference.predict import predict as run
    from biorrn.inference.protein_input import other_columns, read_mutants, read_proteins
    from biorrn.inference.resume import open_kept
    from biorrn.inference.settings import known
    from biorrn.inference.summary import Tally
    from biorrn.inference.writers import open_predictions
    from biorrn.models.store import load_model
    from biorrn.progress import progress
    from biorrn.readers.fields import stop

    used = set_threads(threads)
    stored = load_model(model)
    where = choose_device(device)
    settings: dict[str, Any] = {"batch_size": batch_size, "device": where, "threads": used, "precision": precision}
    columns: dict[str, Any] = {"sequence_column": sequence_column, "id_column": id, "sheet": sheet}
    columns |= {"wild_type": wild_type, "offset": offset}
    if stored.facts.get("task") == "tagging":
        if mutations is not None:
            raise ConfigError("--mutations: is for a model of a property; give a tagging model the mutants as a table")
        if resume:
            raise ConfigError("--resume: is for a model of one value a protein; tags are not kept")
        predict_tags(
            stored,
            proteins,
            output,
            format=format,
            figure=figure,
            summary=summary,
            strict=strict,
            columns=columns,
            settings=settings,
        )
        return
    names = target_names(stored)
    refuse(stored, format=format, figure=figure, summary=summary)
    tally = Tally("predict", "sequences", "residues")
    given, note = columns_given(stored, level)
    on_problem = stop if strict else tally.skip_record
    if mutations is not None:
        if wild_type is not None:
            raise ConfigError(f"--wild-type: is for a table; --mutations are applied to the proteins of {proteins}")
        carried = ["mutation"]
        records = read_mutants(proteins, mutations, offset, on_problem=on_problem, keep=True)
    else:
        carried = other_columns(proteins, **columns)
        records = read_proteins(
            proteins,
            **columns,
            on_problem=on_problem,
            on_repeat=None if strict else tally.repeat,
            keep=True,
            carry=carried,
            say=tally.say,
        )
    must = known(stored, level=level, precision=precision, device=where.type, mutations=mutations, **columns)
    with (
        open_kept(output, proteins, must, resume) as kept,
        progress("predict", "sequences") as advance,
        open_predictions(output, names, **given, units=units_of(stored.facts), carried=carried) as write,
    ):
        if kept.count:
            tally.say(f"resumed: {kept.count:,} sequences were done before")
        fresh = run(stored, islice(tally.watched(records), kept.count, None), level=level, **settings)
        for number, prediction in enumerate(chain(map(Prediction.of, kept.items()), fresh), 1):
            write(prediction)
            if number > kept.count:
                kept.add(prediction.plain())
            if prediction.left_out:
                continue
            tally.add(sequences=1, residues=prediction.length)
            tally.flag(prediction.flags)
            if reasons := doubts(prediction.flags, stored.facts):
                tally.outside(prediction.id, reasons)
            advance(number > kept.count)
        tally.require("sequences", f"{proteins}: holds no sequence that can be predicted")
    tally.say_outside(model, str(stored.facts.get("inputs", "")), widened(stored, level), "sequences")
    if note:
        tally.say(note)
    tally.report()
