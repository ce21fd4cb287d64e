"""`biorrn models`."""

from typing import Annotated

import typer

app = typer.Typer(help="List the models in the package, or show what is known of one.")


@app.callback(invoke_without_command=True)
def models(context: typer.Context) -> None:
    """List the models in the package: what each predicts, its unit, which inputs it is for, how good it was.

    \b
    Examples:
      biorrn models
      biorrn models show stability
      biorrn models show runs/mine
    """
    if context.invoked_subcommand is None:
        from biorrn.models.described import table_of_models

        for line in table_of_models():
            print(line)


@app.command(no_args_is_help=True)
def show(
    model: Annotated[str, typer.Argument(help="Id of a shipped model, or a run folder.")],
) -> None:
    """Show what is known of a model: what it predicts, unit, sign, inputs, intervals, and its card where it has one.

    \b
    Examples:
      biorrn models show stability
      biorrn models show runs/mine
    """
    from biorrn.models.described import describe

    for line in describe(model):
        print(line)
