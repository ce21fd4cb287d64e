"""`biorrn models generate`: sample new sequences from a language model."""

from typing import Annotated

import typer

from biorrn.cli.options import BatchSize, Threads


def generate(
    model: Annotated[str, typer.Argument(help="Run folder of a language model.")],
    count: Annotated[int, typer.Option("--count", "-n", help="Number of sequences.")] = 100,
    output: Annotated[str, typer.Option("--output", "-o", help="FASTA to write. .gz compresses; - is stdout.")] = "-",
    temperature: Annotated[
        float, typer.Option(help="Sampling temperature: below 1 sharpens, above 1 flattens, 0 takes the likeliest.")
    ] = 1.0,
    top_k: Annotated[int, typer.Option(help="Sample from the k likeliest symbols. 0 is all.")] = 0,
    top_p: Annotated[
        float, typer.Option(help="Sample from the fewest symbols of total probability p or more. 1 is all.")
    ] = 1.0,
    prompt: Annotated[str, typer.Option(help="Start of each sequence (its end, for a backward model).")] = "",
    min_length: Annotated[int, typer.Option(help="Minimum length, including the prompt.")] = 1,
    max_length: Annotated[
        int | None, typer.Option(help="Maximum length. Default: the longest training sequence.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Random seed. The same seed gives the same sequences.")] = 0,
    against: Annotated[
        str | None,
        typer.Option(help="Training data, to detect copies: the prepared file (.h5), FASTA or a table."),
    ] = None,
    drop_copies: Annotated[
        float | None,
        typer.Option(help="With --against: drop sequences with this identity or more to a training sequence."),
    ] = None,
    table: Annotated[
        str | None, typer.Option(help="Also write a table, one row per sequence: .tsv, .csv or .parquet.")
    ] = None,
    summary: Annotated[str | None, typer.Option(help="Also write the summary as JSON.")] = None,
    figure: Annotated[
        str | None,
        typer.Option(help="Also draw composition, lengths and similarity to the training data: .svg or .png."),
    ] = None,
    batch_size: BatchSize = 64,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "cpu",
    threads: Threads = None,
) -> None:
    """Sample new sequences from a language model.

    A sequence ends when the model predicts an end, or at --max-length. Its header holds the length, the mean
    log-likelihood per sampled symbol (nats; at temperature 1, all symbols allowed), and whether the end was reached.
    With --against also: the longest stretch shared with a training sequence, the most similar training sequence and
    its identity (0 if below 0.3), and whether the sequence is a copy: identity of at least 0.9, or a shared stretch
    of 15 or more residues (30 bases) that covers at least 0.9 of it. The held-out sequences of a prepared file are
    measured for comparison.

    \b
    Examples:
      biorrn models generate runs/lm -n 100 -o new.fasta
      biorrn models generate runs/lm -n 1000 --temperature 0.8 --prompt MKT --max-length 200 -o new.fasta.gz
      biorrn models generate runs/lm -n 500 --against pfam.h5 --drop-copies 0.9 --figure new.svg -o new.fasta
    """
    from biorrn.base.compute import set_threads
    from biorrn.base.terminal import progress
    from biorrn.language.generate import Plan, Sampling, open_language_model
    from biorrn.language.generate import generate as run
    from biorrn.language.generated import (
        check_figure,
        check_threshold,
        compare,
        lines,
        read_training_set,
        save_figure,
        write_fasta,
        write_summary,
        write_table,
    )
    from biorrn.sequences.tally import Tally

    set_threads(threads)
    check_threshold(drop_copies, against)
    check_figure(figure)
    language = open_language_model(model, device)
    longest = max_length if max_length is not None else language.longest
    plan = Plan(Sampling(temperature, top_k, top_p), prompt.strip().upper(), min_length, longest, seed)
    known = read_training_set(against, language.tokeniser.alphabet)
    tally = Tally("generate", "sequences", "letters")
    made = []
    with progress("generate", "sequences", count) as advance:
        for one in run(language, count, plan, batch_size=batch_size):
            made.append(one)
            tally.add(sequences=1, letters=len(one.sequence))
            advance(1)
    batch = compare(made, language.tokeniser.alphabet, known, drop_copies, seed)
    write_fasta(output, batch)
    write_table(table, batch)
    write_summary(summary, batch, model, against, seed)
    save_figure(figure, batch.summary)
    for line in lines(batch.summary):
        tally.say(line)
    if drop_copies is not None:
        tally.say(f"{batch.dropped} copies dropped")
    tally.report()
