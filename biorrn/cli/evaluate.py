"""`biorrn evaluate`."""

from pathlib import Path
from typing import Annotated

import typer

from biorrn.cli.evaluate_language import language
from biorrn.cli.evaluate_sweep import sweep
from biorrn.cli.evaluate_table import table
from biorrn.cli.evaluate_tagging import tagging
from biorrn.cli.evaluate_translation import translation
from biorrn.cli.table_options import Columns, Offset, WildType

app = typer.Typer(no_args_is_help=True, help="Measure predictions or basecalls against the truth.")

Output = Annotated[Path, typer.Option("--output", "-o", help="JSON file to write; `biorrn report` reads it.")]
Figures = Annotated[Path | None, typer.Option(help="Folder for figures, each as SVG and PNG; default: none are drawn.")]
Name = Annotated[str | None, typer.Option(help="What the report calls it; default: the name of the output.")]
Note = Annotated[str, typer.Option(help="Shown beside the numbers, e.g. that the data is simulated.")]
Seed = Annotated[int, typer.Option(min=0, help="Of the bootstrap and the baselines.")]


@app.command(no_args_is_help=True)
def regression(
    predictions: Annotated[Path, typer.Argument(help="Table that `biorrn predict` wrote.")],
    prepared: Annotated[
        Path, typer.Argument(help="Measured values: HDF5 file of `biorrn prepare protein`, or the table predicted.")
    ],
    output: Output,
    split: Annotated[
        str | None, typer.Option(help="Rows to evaluate: train, valid, test or all; default: valid, of a table all.")
    ] = None,
    target: Columns = None,
    wild_type: WildType = None,
    offset: Offset = 0,
    baselines: Annotated[
        str, typer.Option(help="Fit on the training rows and compare: all, fast, none, or NAME,NAME.")
    ] = "all",
    no_baselines: Annotated[bool, typer.Option("--no-baselines", help="The same as --baselines none.")] = False,
    figures: Figures = None,
    name: Name = None,
    note: Note = "",
    seed: Seed = 0,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of the baselines.")] = 1,
    level: Annotated[float, typer.Option(help="What the intervals in the table were made for.")] = 0.9,
    model: Annotated[
        str | None, typer.Option(help="Model that made the intervals: measures coverage at its other levels too.")
    ] = None,
) -> None:
    """Compare predicted with measured values: Spearman, Pearson, RMSE, MAE and R2, each with a bootstrap interval.

    Predictions are joined to the prepared rows by id. Where they have intervals, it is measured how often these hold,
    also by length and by likeness to the training rows. Baselines are fitted on the training rows and evaluated on the
    same rows as the model: mean, length, ridge (on one-hot residues), neighbour (the nearest by identity), site_trees
    (on substitutions and means of sites, of variants), extra_trees, forest and svm (on composition and descriptors),
    dense and cnn (small networks). The first four are `fast`.

    \b
    Examples:
      biorrn evaluate regression predictions.tsv stability.h5 -o stability.json --figures figures
      biorrn evaluate regression predictions.tsv stability.h5 --split test --baselines none -o test.json
      biorrn evaluate regression predictions.tsv scan.csv --wild-type gb1.fa --target stability=score -o scan.json
      biorrn evaluate regression predictions.tsv stability.h5 --baselines ridge,cnn -o two.json
      biorrn evaluate regression predictions.tsv stability.h5 --model runs/stability --figures figures -o held.json
    """
    from biorrn.evaluation.described import write_result
    from biorrn.evaluation.figures import save_drawings
    from biorrn.evaluation.figures_regression import regression_figures
    from biorrn.evaluation.results import evaluate_regression
    from biorrn.evaluation.terminal import summary_lines

    content, true, given = evaluate_regression(
        predictions,
        prepared,
        name=name or output.stem,
        split=split,
        target=target or (),
        wild_type=wild_type,
        offset=offset,
        baselines="none" if no_baselines else baselines,
        note=note,
        seed=seed,
        threads=threads,
        level=level,
        model=model,
    )
    if figures is not None:
        content["figures"] = save_drawings(
            regression_figures(content, true, given.values, given.lower, given.upper), figures, output
        )
    write_result(output, content)
    for line in summary_lines(content):
        print(line)


@app.command(no_args_is_help=True)
def basecalls(
    reads: Annotated[Path, typer.Argument(help="Called reads: FASTQ, may be gzip, or SAM, BAM, CRAM.")],
    reference: Annotated[Path, typer.Argument(help="FASTA of the genome, may be gzip.")],
    output: Output,
    region: Annotated[
        str | None, typer.Option(help="NAME:START-END, 0-based, half-open: count only inside; default: everywhere.")
    ] = None,
    min_bases: Annotated[int, typer.Option(help="Aligned bases inside the region that a read needs.")] = 100,
    table: Annotated[Path | None, typer.Option(help="TSV to write with one row a read.")] = None,
    figures: Figures = None,
    signal: Annotated[
        list[Path] | None, typer.Option(help="File or folder of signal to draw called bases over; may be repeated.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Places bases in the signal where reads have no move table; default: the shipped one."),
    ] = None,
    name: Name = None,
    note: Note = "",
    seed: Seed = 0,
) -> None:
    """Align called reads to a reference and count: identity, error types, and what the qualities hold.

    Errors are also counted by the length of runs of one base, by 3-mer of the reference and by which base was called
    for which. A region counts on both strands. Reads that map nowhere are counted, but are in no identity. With
    --signal, of the first 100 reads found there the best, the median and the worst are drawn: a stretch of signal with
    the bases called in it and those of the reference. SAM, BAM and CRAM say where the bases begin; else a model does.

    \b
    Examples:
      biorrn evaluate basecalls calls.fastq.gz lambda.fa -o lambda.json --figures figures
      biorrn evaluate basecalls calls.fastq lambda.fa --region lambda:0-12000 -o held_out.json --table reads.tsv
      biorrn evaluate basecalls calls.bam lambda.fa --signal reads/ --figures figures -o lambda.json
    """
    from biorrn.errors import ConfigError
    from biorrn.evaluation.basecalls import write_reads
    from biorrn.evaluation.described import write_result
    from biorrn.evaluation.evaluate_basecalls import evaluate_basecalls
    from biorrn.evaluation.figures import save_drawings
    from biorrn.evaluation.figures_basecalls import basecall_figures
    from biorrn.evaluation.terminal import summary_lines

    if signal and figures is None:
        raise ConfigError("--signal: is drawn; name the folder of the figures with --figures")
    content, scores, drawn = evaluate_basecalls(
        reads,
        reference,
        name=name or output.stem,
        region=region,
        min_bases=min_bases,
        note=note,
        seed=seed,
        signal=signal or (),
        model=model,
    )
    if table is not None:
        write_reads(table, scores)
    if figures is not None:
        content["figures"] = save_drawings(basecall_figures(content, scores, drawn), figures, output)
    write_result(output, content)
    for line in summary_lines(content):
        print(line)


app.command(no_args_is_help=True)(table)
app.command(no_args_is_help=True)(sweep)
app.command(no_args_is_help=True)(language)
app.command(no_args_is_help=True)(tagging)
app.command(no_args_is_help=True)(translation)
