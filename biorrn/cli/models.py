"""`biorrn models`: list shipped models, or describe one; the group also holds activations, embedding and states."""

from typing import Annotated

import typer

from biorrn.cli.activations import activations
from biorrn.cli.embed import embedding, states

app = typer.Typer()


@app.callback(invoke_without_command=True)
def models(context: typer.Context) -> None:
    """List models, describe one, export or plot its hidden states.

    Without a subcommand, lists the shipped models: what each predicts, its unit, its inputs and its accuracy.

    \b
    Examples:
      biorrn models
      biorrn models show stability
      biorrn models show runs/mine
    """
    if context.invoked_subcommand is None:
        from biorrn.nn.store import table_of_models

        for line in table_of_models():
            print(line)


@app.command(no_args_is_help=True)
def show(model: Annotated[str, typer.Argument(help="Name of a shipped model, or a run folder.")]) -> None:
    """Describe a model: what it predicts, unit, sign, inputs, intervals, and its model card if it has one.

    \b
    Examples:
      biorrn models show stability
      biorrn models show runs/mine
    """
    from biorrn.nn.store import describe

    for line in describe(model):
        print(line)


app.command(no_args_is_help=True)(states)
app.command(no_args_is_help=True)(activations)
app.command(no_args_is_help=True)(embedding)
