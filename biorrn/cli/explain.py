"""`biorrn explain`: show which residues a prediction depends on."""

from typing import Annotated

import typer

from biorrn.base.errors import ConfigError, stop
from biorrn.cli.options import (
    BatchSize,
    Device,
    Embeddings,
    Fasta,
    Offset,
    PropertyModel,
    ProteinFigure,
    Strict,
    Table,
    Threads,
)


def explain(
    model: PropertyModel,
    fasta: Fasta,
    output: Table = "-",
    figure: ProteinFigure = None,
    method: Annotated[str, typer.Option(help="auto, gradients (integrated gradients) or occlusion.")] = "auto",
    baseline: Annotated[str, typer.Option(help="Reference input: mean (of the 20 residues) or X.")] = "mean",
    attention: Annotated[
        bool, typer.Option("--attention", help="Write the model's attention weights instead.")
    ] = False,
    top: Annotated[
        int | None,
        typer.Option(help="With --attention: largest weights per head to write. 0 is all. Default: 50."),
    ] = None,
    offset: Offset = 0,
    strict: Strict = False,
    embeddings: Embeddings = None,
    batch_size: BatchSize = 256,
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Show which residues a prediction depends on.

    Writes one row per residue: id, position, residue, attribution (in the unit of the target), spread over the
    members of an ensemble, weight in the attention pool; the last two only where the model has them. Integrated
    gradients sum to the prediction minus that of the baseline, and the remaining difference is printed. Occlusion
    replaces each residue and measures the change; auto uses it for models without gradients, such as a Gaussian
    process.

    With --attention, a model with a self_attention core or an attention pool gives one row per weight: id, layer,
    head, query position and residue (0 and - for a pool, whose query is learned), key position and residue, weight.
    An output .npz holds all weights as arrays. The figure has one heat map per head. Attention weights show where a
    layer reads from, not what a prediction depends on.

    \b
    Examples:
      biorrn explain stability protein.fa -o explain.tsv --figure explain.svg
      biorrn explain stability proteins.fa --method occlusion --baseline X -o explain.csv
      biorrn explain runs/attention protein.fa --attention --top 20 -o attention.tsv --figure attention.png
    """
    if attention:
        return _attention(model, fasta, output, figure, top, offset, strict, embeddings, device, threads)
    if top is not None:
        raise ConfigError("--top: needs --attention")
    from biorrn.base.compute import choose_device, set_threads
    from biorrn.base.terminal import progress
    from biorrn.proteins.explain.attribution import attribute, attributions_table, count, explanations
    from biorrn.proteins.predict import load_for, open_embeddings, target_names
    from biorrn.sequences.fasta import read_fasta
    from biorrn.sequences.tally import Tally

    set_threads(threads)
    stored, where = load_for(model, embeddings), choose_device(device)
    names = target_names(stored)
    open_embeddings(stored, embeddings, str(where))
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
        tally.require("proteins", f"{fasta}: contains no protein that can be explained")
    tally.report()


def _attention(
    model: str, fasta: str, output: str, figure: str | None, top: int | None, offset: int, strict: bool,
    embeddings: str | None, device: str, threads: int | None,
) -> None:  # fmt: skip
    from biorrn.base.compute import choose_device, set_threads
    from biorrn.base.terminal import progress
    from biorrn.proteins.explain.attention_maps import attend, attention_figures, attention_file
    from biorrn.proteins.predict import load_for, open_embeddings
    from biorrn.sequences.fasta import read_fasta
    from biorrn.sequences.tally import Tally

    set_threads(threads)
    tally = Tally("explain", "proteins", "residues")
    take, repeat = (stop, None) if strict else (tally.skip_record, tally.repeat)
    stored, where = load_for(model, embeddings), choose_device(device)
    open_embeddings(stored, embeddings, str(where))
    attended = attend(stored, tally.watched(read_fasta(fasta, take, repeat)), where)
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
        tally.require("proteins", f"{fasta}: contains no protein that can be explained")
    tally.report()
