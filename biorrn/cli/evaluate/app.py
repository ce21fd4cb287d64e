"""`biorrn evaluate`: compare predictions, basecalls, tags, language models and translations with the truth."""

from pathlib import Path
from typing import Annotated

import typer

from biorrn.cli.calibrate import calibrate
from biorrn.cli.evaluate.compare import compare
from biorrn.cli.evaluate.table import sweep, table
from biorrn.cli.options import (
    Baselines,
    Columns,
    Device,
    Embeddings,
    EvaluationOutput,
    Figures,
    Name,
    Note,
    Offset,
    Seed,
    Split,
    Threads,
    WildType,
)
from biorrn.cli.outputs import write_evaluation

app = typer.Typer(no_args_is_help=True)


@app.command(no_args_is_help=True)
def regression(
    predictions: Annotated[Path, typer.Argument(help="Table of `biorrn predict`.")],
    prepared: Annotated[
        Path, typer.Argument(help="Measured values: HDF5 file of `biorrn prepare protein`, or the predicted table.")
    ],
    output: EvaluationOutput,
    split: Annotated[
        str | None,
        typer.Option(help="Rows to evaluate: train, valid, test or all. Default: valid; for a table, all."),
    ] = None,
    target: Columns = None,
    wild_type: WildType = None,
    offset: Offset = 0,
    baselines: Baselines = "all",
    no_baselines: Annotated[bool, typer.Option("--no-baselines", help="Same as --baselines none.")] = False,
    figures: Figures = None,
    name: Name = None,
    note: Note = "",
    seed: Seed = 0,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of the baselines.")] = 1,
    level: Annotated[float, typer.Option(help="Coverage for which the intervals in the table were made.")] = 0.9,
    model: Annotated[
        str | None,
        typer.Option(
            help="Model that predicted: knows its wild type, and the coverage of its intervals at other levels."
        ),
    ] = None,
) -> None:
    """Compare predicted with measured values: Spearman, Pearson, RMSE, MAE and R2, each with a bootstrap interval.

    Predictions are joined to the prepared rows by id. If they have intervals, their coverage is measured, also by
    length and by similarity to the training rows. Baselines are fitted on the training rows and evaluated on the same
    rows as the model: mean, length, ridge (on one-hot residues), neighbour (the most similar by identity), site_trees
    (variants: on substitutions and site means), extra_trees, forest and svm (on composition and descriptors), dense
    and cnn (small networks). `fast` is the first four.

    \b
    Examples:
      biorrn evaluate regression predictions.tsv stability.h5 -o stability.json --figures figures
      biorrn evaluate regression predictions.tsv stability.h5 --split test --baselines none -o test.json
      biorrn evaluate regression predictions.tsv scan.csv --wild-type gb1.fa --target stability=score -o scan.json
      biorrn evaluate regression predictions.tsv stability.h5 --baselines ridge,cnn -o two.json
      biorrn evaluate regression predictions.tsv stability.h5 --model runs/stability --figures figures -o held.json
    """
    from biorrn.proteins.evaluate import evaluate_regression
    from biorrn.proteins.figures import regression_figures

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
    write_evaluation(
        output, content, figures, lambda: regression_figures(content, true, given.values, given.lower, given.upper)
    )


@app.command(no_args_is_help=True)
def classification(
    predictions: Annotated[Path, typer.Argument(help="Table of `biorrn predict`; or a model, to run on the rows.")],
    prepared: Annotated[
        Path, typer.Argument(help="True classes: HDF5 file of `biorrn prepare protein`, or a table of proteins.")
    ],
    output: EvaluationOutput,
    split: Annotated[
        str | None,
        typer.Option(help="Rows to evaluate: train, valid, test or all. Default: test; for a table, all."),
    ] = None,
    target: Columns = None,
    wild_type: WildType = None,
    offset: Offset = 0,
    baselines: Baselines = "all",
    figures: Figures = None,
    name: Name = None,
    note: Note = "",
    seed: Seed = 0,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of the model.")] = 1,
    level: Annotated[float, typer.Option(help="Coverage for which the sets in the table were made.")] = 0.9,
    embeddings: Embeddings = None,
    device: Device = "auto",
) -> None:
    """Compare predicted with true classes: macro F1, accuracy, Matthews correlation, calibration, coverage of sets.

    Metrics have bootstrap intervals. The probabilities are compared with the accuracy (reliability diagram, expected
    calibration error), and the sets with how often they hold the true class. Rows of classes that were not trained
    count only for the share that is flagged. Baselines are fitted on the training rows: majority, neighbour (the most
    similar by words of three residues), kmer and onehot (logistic regressions on these words, and on the residue at
    each position, as for variants of one protein); with --embeddings also plm_logistic and plm_neighbour, on the mean
    embedding. `fast` is the first two.

    Several classes a protein: F-max as CAFA defines it, macro average precision, micro and macro F1, the share of sets
    that are exactly right; the sets, by the share of the true classes that they hold. The baselines are frequencies,
    nearest neighbours and a logistic regression for each class.

    \b
    Examples:
      biorrn evaluate classification runs/family families.h5 -o family.json --figures figures
      biorrn evaluate classification predictions.tsv families.h5 --split test --baselines none -o test.json
      biorrn evaluate classification runs/family new.csv --target family=pfam -o new.json
      biorrn evaluate classification runs/site sites.h5 --embeddings esm.h5 -o site.json
    """
    from biorrn.base.compute import set_threads
    from biorrn.proteins.classes.evaluate import evaluate_classes
    from biorrn.proteins.classes.figures import class_figures

    content = evaluate_classes(
        predictions,
        prepared,
        name=name or output.stem,
        split=split,
        target=target or (),
        wild_type=wild_type,
        offset=offset,
        baselines=baselines,
        note=note,
        seed=seed,
        threads=set_threads(threads),
        level=level,
        device=device,
        embeddings=embeddings,
    )
    write_evaluation(output, content, figures, lambda: class_figures(content))


@app.command(no_args_is_help=True)
def basecalls(
    reads: Annotated[Path, typer.Argument(help="Basecalled reads: FASTQ, may be gzip, SAM, BAM or CRAM.")],
    reference: Annotated[Path, typer.Argument(help="FASTA of the genome, may be gzip.")],
    output: EvaluationOutput,
    region: Annotated[
        str | None, typer.Option(help="NAME:START-END, 0-based, half-open: use only this. Default: everything.")
    ] = None,
    min_bases: Annotated[int, typer.Option(help="Minimum aligned bases of a read inside the region.")] = 100,
    table: Annotated[Path | None, typer.Option(help="TSV to write, one row per read.")] = None,
    figures: Figures = None,
    signal: Annotated[
        list[Path] | None, typer.Option(help="File or folder of signal, to draw bases over signal. Repeatable.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Model that aligns bases to signal if reads have no move table. Default: the shipped one."),
    ] = None,
    name: Name = None,
    note: Note = "",
    seed: Seed = 0,
) -> None:
    """Compare basecalled reads with a reference: identity, error types, and calibration of Q-scores.

    Errors are also counted by homopolymer length, by 3-mer of the reference and by substitution. A region counts on
    both strands. Unmapped reads are counted, but have no identity. With --signal, the best, median and worst of the
    first 100 reads with signal are drawn: a stretch of signal with the called bases and those of the reference. Move
    tables of SAM, BAM and CRAM place the bases; without them a model does.

    \b
    Examples:
      biorrn evaluate basecalls calls.fastq.gz lambda.fa -o lambda.json --figures figures
      biorrn evaluate basecalls calls.fastq lambda.fa --region lambda:0-12000 -o held_out.json --table reads.tsv
      biorrn evaluate basecalls calls.bam lambda.fa --signal reads/ --figures figures -o lambda.json
    """
    from biorrn.base.errors import ConfigError
    from biorrn.nanopore.evaluate.basecalls import basecall_figures, evaluate_basecalls
    from biorrn.nanopore.evaluate.identity import write_reads
    from biorrn.sequences.tally import Tally

    if signal and figures is None:
        raise ConfigError("--signal: needs --figures, the folder for the drawings")
    tally = Tally("evaluate basecalls", "reads")
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
        on_problem=lambda problem: tally.skip_call(problem, reads),
    )
    if table is not None:
        write_reads(table, scores)
    write_evaluation(output, content, figures, lambda: basecall_figures(content, scores, drawn))


@app.command(no_args_is_help=True)
def tagging(
    predictions: Annotated[Path, typer.Argument(help="Table of `biorrn predict`; or a model, to run on the rows.")],
    prepared: Annotated[Path, typer.Argument(help="HDF5 file of `biorrn prepare tags`.")],
    output: EvaluationOutput,
    split: Split = "valid",
    baselines: Baselines = "all",
    figures: Figures = None,
    name: Name = None,
    note: Note = "",
    seed: Seed = 0,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of the model and the baselines.")] = 1,
    device: Device = "auto",
) -> None:
    """Compare predicted with known states of residues (Q3, Q8): accuracy, segment overlap, confusion matrix.

    Metrics, with bootstrap intervals over proteins: accuracy over all labelled residues, mean accuracy per protein,
    and mean segment overlap (SOV, Zemla et al. 1999); per state precision, recall, F1 and SOV. Accuracy is also given
    by length and by confidence. Residues with unknown state are left out. Baselines are fitted on the training rows:
    majority, residue (the most frequent state of each), gor (GOR I) and window (softmax regression); the last two use
    eight residues on each side. For values instead of states: Spearman, Pearson and RMSE, with baselines mean, residue
    and window.

    \b
    Examples:
      biorrn evaluate tagging runs/structure structure.h5 --split test -o structure.json --figures figures
      biorrn evaluate tagging predictions.tsv structure.h5 --baselines gor,window -o structure.json
    """
    from biorrn.base.compute import choose_device, set_threads
    from biorrn.tagging.evaluate import evaluate_tagging
    from biorrn.tagging.figures import tagging_figures

    content, evaluated = evaluate_tagging(
        predictions,
        prepared,
        name=name or output.stem,
        split=split,
        baselines=baselines,
        note=note,
        seed=seed,
        threads=set_threads(threads),
        device=str(choose_device(device)),
    )
    write_evaluation(output, content, figures, lambda: tagging_figures(content, evaluated))


@app.command(no_args_is_help=True)
def language(
    model: Annotated[str, typer.Argument(help="Run folder of a language model.")],
    prepared: Annotated[Path, typer.Argument(help="HDF5 file of `biorrn prepare protein`.")],
    output: EvaluationOutput,
    split: Split = "valid",
    figures: Figures = None,
    table: Annotated[Path | None, typer.Option(help="TSV to write: perplexity of each sequence.")] = None,
    name: Name = None,
    note: Note = "",
    seed: Seed = 0,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
    device: Device = "auto",
) -> None:
    """Measure the perplexity of a language model, next to n-gram models of the training rows.

    Perplexity is per residue or base whatever the tokeniser, so that models of letters, k-mers and byte pairs can be
    compared. Intervals are bootstrapped over sequences. Ends of sequences and unknown letters are left out. Baselines:
    uniform, unigram, bigram and trigram, with add-one smoothing. For an estimate on new families, use a split that
    holds out whole families or clusters, not single proteins.

    \b
    Examples:
      biorrn evaluate language runs/residue_lm domains.h5 --split test -o lm.json --figures figures
      biorrn evaluate language runs/base_lm reads.h5 --split test --table reads.tsv -o bases.json
    """
    from biorrn.base.compute import choose_device, set_threads
    from biorrn.language.evaluate import evaluate_language, language_figures, write_table

    set_threads(threads)
    content, scored = evaluate_language(
        model,
        prepared,
        name=name or output.stem,
        split=split,
        note=note,
        seed=seed,
        device=str(choose_device(device)),
    )
    if table is not None:
        write_table(table, scored)
    write_evaluation(output, content, figures, lambda: language_figures(content, scored))


@app.command(no_args_is_help=True)
def translation(
    prepared: Annotated[Path, typer.Argument(help="HDF5 file of `biorrn prepare pairs`, codons or signal.")],
    models: Annotated[
        list[str], typer.Argument(help="Run folders of translation models; for signal also of basecallers.")
    ],
    output: EvaluationOutput,
    split: Split = "test",
    beam: Annotated[int, typer.Option(min=1, max=1000, help="Beam width. 1 is greedy decoding.")] = 5,
    samples: Annotated[
        int | None, typer.Option(min=1, help="Signal: samples per chunk. Default: as in the first recipe.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Signal: maximum number of chunks, evenly spaced.")] = None,
    table: Annotated[Path | None, typer.Option(help="TSV to write, one row per model.")] = None,
    figures: Annotated[
        Path | None, typer.Option(help="Signal: folder for figures of the attention over the median of 64 chunks.")
    ] = None,
    name: Name = None,
    note: Note = "",
    seed: Seed = 0,
    threads: Threads = None,
) -> None:
    """Compare the outputs of encoder-decoders with the truth: symbol error rate, exact matches, identity.

    All models run on the same rows. For signal, decoders are compared with CTC and CRF basecallers on the same chunks;
    `biorrn basecall` calls whole reads, with basecallers only.

    \b
    Examples:
      biorrn evaluate translation codons.h5 runs/codons -o codons.json
      biorrn evaluate translation lambda.h5 runs/decoder runs/ctc -o both.json --table both.tsv --figures figures
    """
    from biorrn.base.compute import set_threads
    from biorrn.translation.evaluate import evaluate_translation, sample_drawings, table_lines, write_table

    set_threads(threads)
    content, scored = evaluate_translation(
        models,
        prepared,
        name=name or output.stem,
        split=split,
        beam=beam,
        samples=samples,
        limit=limit,
        note=note,
        seed=seed,
    )
    if table is not None:
        write_table(table, content)
    write_evaluation(output, content, figures, lambda: sample_drawings(content, scored), table_lines)


app.command(no_args_is_help=True)(calibrate)
app.command(no_args_is_help=True)(compare)
app.command(no_args_is_help=True)(table)
app.command(no_args_is_help=True)(sweep)
