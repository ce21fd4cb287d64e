"""`biorrn models`: list available models, or describe one; the group also runs language and translation models."""

from pathlib import Path
from typing import Annotated

import typer

from biorrn.cli.activations import activations
from biorrn.cli.embed import embedding, states
from biorrn.cli.generate import generate
from biorrn.cli.options import ModelsDir
from biorrn.cli.translate import translate

app = typer.Typer()


@app.callback(invoke_without_command=True)
def models(
    context: typer.Context,
    models_dir: ModelsDir = None,
    tsv: Annotated[bool, typer.Option("--tsv", help="Tab-separated, with all columns, also on a terminal.")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the tab-separated list to a file.")
    ] = None,
) -> None:
    """List models, describe one, export or plot its hidden states.

    Without a subcommand, lists the available models: what each is for, size, licence and accuracy, and where it lies.
    These are the models in --models-dir, in the folders of the environment variable BIORRN_MODELS (several are
    separated by a colon, on Windows by a semicolon), and the shipped ones. A folder there may be of biorrn, or of
    Dorado or Bonito (config.toml); one that cannot be used is listed with the reason. `biorrn basecall --model` takes
    each by its name, and without --model the one for the chemistry of the reads.

    \b
    Examples:
      biorrn models
      biorrn models --models-dir dorado_models/
      biorrn models -o models.tsv
      biorrn models show stability
      biorrn models show runs/mine
    """
    if context.invoked_subcommand is not None:
        return
    import sys

    from biorrn.base.files import write_text
    from biorrn.nanopore.models.catalogue import listing, models_at_hand, table

    found = models_at_hand(models_dir or ())
    if output is not None:
        with write_text(output) as stream:
            stream.writelines(table(found))
    elif tsv or not sys.stdout.isatty():
        sys.stdout.writelines(table(found))
    else:
        for line in listing(found):
            print(line)


@app.command(no_args_is_help=True)
def show(
    model: Annotated[str, typer.Argument(help="Name of a model, or a model folder.")], models_dir: ModelsDir = None
) -> None:
    """Describe a model: what it predicts, unit, sign, inputs, intervals, and its model card if it has one.

    \b
    Examples:
      biorrn models show stability
      biorrn models show runs/mine
    """
    from biorrn.nn.store import describe, find_model

    for line in describe(find_model(model, models_dir or ())):
        print(line)


@app.command("import", no_args_is_help=True)
def import_(
    folder: Annotated[Path, typer.Argument(help="Model folder of Dorado (*.tensor) or Bonito (weights_N.tar).")],
    output: Annotated[Path, typer.Option("--output", "-o", help="New or empty folder to write.")],
    from_weights: Annotated[
        bool,
        typer.Option(
            "--from-weights",
            help="For package bonito.ctc, where config.toml is of another network: take the blocks from the weights.",
        ),
    ] = False,
) -> None:
    """Import a model folder of Dorado or Bonito as a model folder of biorrn: weights, recipe and card.

    `biorrn basecall --model` takes such a folder as it is; an imported one can also be calibrated, and is smaller to
    copy. CTC-CRF models with LSTM layers are read (versions 3 and 4; fast and hac of version 5), and CTC models of
    Bonito's package bonito.ctc. Keep the name of the folder: it tells the chemistry, and for R9.4.1 the
    scaling. Archives are read as data, and nothing in them is executed. The weights keep their licence, which the card
    names.

    \b
    Examples:
      biorrn models import dna_r10.4.1_e8.2_400bps_hac@v4.3.0 -o models/r10_hac
      biorrn models import TINYX0111 -o models/targetcall --from-weights
    """
    import sys

    from biorrn.nanopore.models.importer import import_model

    import_model(folder, output, from_weights)
    print(f"biorrn models import: written; use it with biorrn basecall reads/ --model {output}", file=sys.stderr)


@app.command(no_args_is_help=True)
def export(
    model: Annotated[str, typer.Argument(help="Run folder or shipped name of a basecaller with head crf.")],
    to: Annotated[str, typer.Option("--to", help="Format: dorado or bonito.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="New or empty folder to write.")],
) -> None:
    """Export a basecaller as a model folder of Dorado or Bonito: config.toml and the weights.

    Scaling, sample rate, blank score, chunk size and a line for Q-scores are filled in. What a format does not hold,
    such as other cells than LSTM, is named. Dorado tells the molecule of a model by its folder's name: begin it with
    dna or rna004.

    \b
    Examples:
      biorrn models export runs/mine --to dorado -o dna_r9.4.1_mine
      biorrn models export dna_r9.4.1_fast --to bonito -o bonito/dna_r9.4.1_fast
    """
    import sys

    from biorrn.nanopore.models.exports import export as write
    from biorrn.nn.store import load_model

    for remark in write(load_model(model), output, to):
        print(f"biorrn models export: warning: {output}: {remark}", file=sys.stderr)
    print(f"biorrn models export: {output}: written, a model folder of {to.capitalize()}", file=sys.stderr)


app.command(no_args_is_help=True)(states)
app.command(no_args_is_help=True)(activations)
app.command(no_args_is_help=True)(embedding)
app.command(no_args_is_help=True)(generate)
app.command(no_args_is_help=True)(translate)
