"""`biorrn explain`."""

from typing import Annotated

import typer

from biorrn.errors import ConfigError


def explain(
    model: Annotated[str, typer.Argument(help="Run folder of a regression model, or the id of a shipped one.")],
    fasta: Annotated[str, typer.Argument(help="Protein sequences, FASTA packed or not; - is standard input.")],
    output: Annotated[
        str, typer.Option("--output", "-o", help="Table: .tsv, .csv (.gz compresses), .xlsx or .parquet; - is stdout.")
    ] = "-",
    figure: Annotated[
        str | None, typer.Option(help="Picture: .svg, .png, or a folder for one a protein; ids are put in the name.")
    ] = None,
    method: Annotated[str, typer.Option(help="auto, gradients (integrated gradients) or occlusion.")] = "auto",
    baseline: Annotated[str, typer.Option(help="What a residue is compared with: mean (of the 20) or X.")] = "mean",
    attention: Annotated[
        bool, typer.Option("--attention", help="Show where the model looks instead: the weights of its attention.")
    ] = False,
    top: Annotated[
        int | None,
        typer.Option(help="With --attention: largest weights of a head in the table; 0 is all. Default: 50."),
    ] = None,
    offset: Annotated[int, typer.Option(help="Number of the first residue, less 1.")] = 0,
    strict: Annotated[
        bool, typer.Option("--strict", help="End at the first record that cannot be used; default: leave it out.")
    ] = False,
    batch_size: Annotated[int, typer.Option(help="Sequences a forward pass, for occlusion.")] = 256,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="CPU threads; default: all that this process may use.")] = None,
) -> None:
    """Say which residues of a protein a prediction rests on.

    Writes one row a residue: id, position, residue, what it adds to the prediction (in the target's unit), spread over
    the members of an ensemble, weight in the attention pool; the last two where the model has them. Integrated
    gradients sum to the prediction minus that of the baseline; how nearly, is said. Occlusion replaces each residue
    and takes the change; it is what auto takes for a model without gradients, such as a Gaussian process.

    With --attention, for a model with a core self_attention or an attention pool, writes one row a weight: id, layer,
    head, position and residue that ask (0 and - for a pool, whose query is learned), position and residue that are
    looked at, weight. An output .npz holds all weights as arrays. The picture has a heat map a head. Weights say where
    a layer takes from, not what a prediction rests on.

    \b
    Examples:
      biorrn explain stability protein.fa -o explain.tsv --figure explain.svg
      biorrn explain stability proteins.fa --method occlusion --baseline X -o explain.csv
      biorrn explain runs/attention protein.fa --attention --top 20 -o attention.tsv --figure attention.png
    """
    if attention:
        return _attention(model, fasta, output, figure, top, offset, strict, device, threads)
    if top is not None:
        raise ConfigError("--top: is of --attention, which is not there")
    from biorrn.device import choose_device, set_threads
    from biorrn.evaluation.figures_attribution import explanations
    from biorrn.inference.attribution import attribute, count
    from biorrn.inference.predict import target_names
    from biorrn.inference.summary import Tally
    from biorrn.inference.writers.effects import attributions_table
    from biorrn.models.store import load_model
    from biorrn.progress import progress
    from biorrn.readers.fasta import read_fasta
    from biorrn.readers.fields import stop

    set_threads(threads)
    stored = load_model(model)
    names = target_names(stored)
    where = choose_device(device)
    tally = Tally("explain", "proteins", "residues")
    given = read_fasta(fasta, stop if strict else tally.skip_record, None if strict else tally.repeat, keep=True)
    with (
        progress("explain", "proteins") as advance,
        attributions_table(output, names, offset) as write,
        explanations(figure, stored.facts["targets"], offset) as draw,
    ):
        records = tally.watched(given, write)
        for attribution in attribute(
            stored, records, method=method, baseline=baseline, batch_size=batch_size, device=where
        ):
            write(attribution)
            draw(attribution)
            count(tally, attribution, names)
            advance(1)
        tally.require("proteins", f"{fasta}: holds no protein that can be explained")
    tally.report()


def _attention(
    model: str, fasta: str, output: str, figure: str | None, top: int | None, offset: int, strict: bool, device: str,
    threads: int | None,
) -> None:  # fmt: skip
    from biorrn.device import choose_device, set_threads
    from biorrn.evaluation.figures_attention import attention_figures
    from biorrn.inference.attention_maps import attend
    from biorrn.inference.summary import Tally
    from biorrn.inference.writers.attention import attention_file
    from biorrn.models.store import load_model
    from biorrn.progress import progress
    from biorrn.readers.fasta import read_fasta
    from biorrn.readers.fields import stop

    set_threads(threads)
    tally = Tally("explain", "proteins", "residues")
    take, repeat = (stop, None) if strict else (tally.skip_record, tally.repeat)
    attended = attend(load_model(model), tally.watched(read_fasta(fasta, take, repeat)), choose_device(device))
    with (
        progress("explain", "proteins") as advance,
        attention_file(output, top, offset) as write,
        attention_figures(figure, offset) as draw,
    ):
        for found in attended:
            write(found)
            draw(found)
            tally.add(proteins=1, residues=len(found.sequence))
            advance(1)
        tally.require("proteins", f"{fasta}: holds no protein that can be explained")
    tally.report()
