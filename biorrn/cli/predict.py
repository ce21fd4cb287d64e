"""`biorrn predict`."""

from typing import Annotated, Any

import typer


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
    sequence_column: Annotated[str, typer.Option(help="Of a table: the column of sequences.")] = "sequence",
    id: Annotated[
        str | None, typer.Option(help="Of a table: the column of ids; default: id, or rows are numbered.")
    ] = None,
    sheet: Annotated[str | None, typer.Option(help="Of an Excel workbook: name or number; default: the first.")] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="End at the first record that cannot be used, or whose id came before.")
    ] = False,
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
    interval (_lower, _upper) and for ensembles how far the members disagree (_spread), then flags. A flag says why a
    value deserves doubt: unknown_residues, shorter_than_training, longer_than_training, unlike_training.

    A tagging model gives one row a residue: id, position (from 1), residue, state, and the probability of each state;
    or a column for each value. With --format ss2, that of PSIPRED, an output that ends in / gets a file a protein.

    Selenocysteine, pyrrolysine and ambiguous letters become X; gaps, modifications in brackets and a stop codon at the
    end are removed. A record that is empty, is DNA, has a stop codon inside, no id, or a character that is no residue
    is left out: its row has empty cells and the flags left_out and why. A record whose id came before is kept, with
    flag id_given_before. --strict ends the run at the first of either. The other columns of a table are carried
    through; a cell NA, NaN or none in its column of sequences is missing: write a peptide of these letters as FASTA.

    \b
    Examples:
      biorrn predict stability proteins.fasta -o predictions.tsv
      biorrn predict runs/mine proteins.csv --sequence-column protein --level 0.95 -o predictions.parquet
      zcat proteins.fa.gz | biorrn predict runs/stability - --threads 2 > predictions.tsv
      biorrn predict runs/structure proteins.fasta -o structure.fasta --figure structure.svg --summary content.tsv
    """
    from biorrn.cli.predict_tags import predict_tags
    from biorrn.device import choose_device, set_threads
    from biorrn.inference.confidence import columns_given, widened
    from biorrn.inference.predict import doubts, refuse, target_names
    from biorrn.inference.predict import predict as run
    from biorrn.inference.protein_input import other_columns, read_proteins
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
    if stored.facts.get("task") == "tagging":
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
    carried = other_columns(proteins, **columns)
    records = read_proteins(
        proteins,
        **columns,
        on_problem=stop if strict else tally.skip_record,
        on_repeat=None if strict else tally.repeat,
        keep=True,
        carry=carried,
    )
    predictions = run(stored, tally.watched(records), level=level, **settings)
    with (
        progress("predict", "sequences") as advance,
        open_predictions(output, names, **given, carried=carried) as write,
    ):
        for prediction in predictions:
            write(prediction)
            if prediction.left_out:
                continue
            tally.add(sequences=1, residues=prediction.length)
            tally.flag(prediction.flags)
            if reasons := doubts(prediction.flags):
                tally.outside(prediction.id, reasons)
            advance(1)
        tally.require("sequences", f"{proteins}: holds no sequence that can be predicted")
    tally.say_outside(model, str(stored.facts.get("inputs", "")), widened(stored, level), "sequences")
    if note:
        tally.say(note)
    tally.report()
