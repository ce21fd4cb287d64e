"""`biorrn predict`."""

from typing import Annotated

import typer


def predict(
    model: Annotated[str, typer.Argument(help="Run folder of a regression model, or the id of a shipped one.")],
    fasta: Annotated[str, typer.Argument(help="Protein sequences, FASTA or FASTA.gz; - is standard input.")],
    output: Annotated[str, typer.Option("--output", "-o", help="TSV file, .gz compresses; - is stdout.")] = "-",
    batch_size: Annotated[int, typer.Option(help="Sequences a forward pass; changes the speed, not the values.")] = 256,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="CPU threads; default: all that this process may use.")] = None,
) -> None:
    """Predict a property of each protein of a FASTA file.

    Writes one TSV row a sequence, in the order of the file: id, length, one column a target, flags. A flag says why a
    value deserves doubt: unknown_residues, shorter_than_training, longer_than_training.

    \b
    Examples:
      biorrn predict runs/stability proteins.fa -o predictions.tsv
      zcat proteins.fa.gz | biorrn predict runs/stability - --threads 2 > predictions.tsv
    """
    from biorrn.device import choose_device, set_threads
    from biorrn.inference.predict import predict as run
    from biorrn.inference.predict import target_names
    from biorrn.inference.summary import Tally
    from biorrn.inference.writers import predictions_tsv
    from biorrn.models.store import load_model
    from biorrn.progress import progress
    from biorrn.readers.fasta import read_fasta

    set_threads(threads)
    stored = load_model(model)
    names = target_names(stored)
    where = choose_device(device)
    tally = Tally("predict", "sequences", "residues")
    predictions = run(stored, read_fasta(fasta), batch_size=batch_size, device=where)
    with progress("predict", "sequences") as advance, predictions_tsv(output, names) as write:
        for prediction in predictions:
            write(prediction)
            tally.add(sequences=1, residues=prediction.length)
            tally.flag(prediction.flags)
            advance(1)
        tally.require("sequences", f"{fasta}: holds no sequence that can be predicted")
    tally.report()
