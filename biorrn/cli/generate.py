"""`biorrn generate`."""

from typing import Annotated

import typer


def generate(
    model: Annotated[str, typer.Argument(help="Run folder of a language model (recipe of task language).")],
    count: Annotated[int, typer.Option("--count", "-n", help="Sequences to draw.")] = 100,
    output: Annotated[
        str, typer.Option("--output", "-o", help="FASTA; a name that ends in .gz is packed; - is stdout.")
    ] = "-",
    temperature: Annotated[
        float, typer.Option(help="1 draws as the model says; less sharpens, more flattens; 0 takes the likeliest.")
    ] = 1.0,
    top_k: Annotated[int, typer.Option(help="Draw from the k likeliest symbols only; 0 is all.")] = 0,
    top_p: Annotated[float, typer.Option(help="Draw from the fewest symbols whose mass is p or more; 1 is all.")] = 1.0,
    prompt: Annotated[str, typer.Option(help="Letters that each sequence begins with (backward models: ends).")] = "",
    min_length: Annotated[int, typer.Option(help="Letters before which no sequence ends, the prompt counted.")] = 1,
    max_length: Annotated[
        int | None, typer.Option(help="Letters at which a sequence is cut; default: the longest of training.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same sequences, whatever the batch.")] = 0,
    against: Annotated[
        str | None,
        typer.Option(help="What the model was trained on, to find copies: the prepared file (.h5), FASTA or a table."),
    ] = None,
    drop_copies: Annotated[
        float | None,
        typer.Option(help="With --against: leave out sequences of this identity or more to a training sequence."),
    ] = None,
    table: Annotated[str | None, typer.Option(help="Also a table, a row a sequence: .tsv, .csv or .parquet.")] = None,
    summary: Annotated[str | None, typer.Option(help="Also the summary, as JSON.")] = None,
    figure: Annotated[
        str | None, typer.Option(help="Also a figure, .svg or .png: composition, lengths, likeness to training.")
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Sequences at a time; changes the speed, not the sequences.")] = 64,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "cpu",
    threads: Annotated[int | None, typer.Option(help="CPU threads; default: all that this process may use.")] = None,
) -> None:
    """Draw new sequences from a language model, and say how near they are to what it was trained on.

    A sequence ends where the model says so, or at --max-length. The header of each says its length, the mean
    log-likelihood that the model gives to a drawn symbol (nats; at temperature 1, with all symbols), and whether the
    end was reached. With --against also: the longest stretch that a training sequence holds, the nearest training
    sequence with the identity to it (0 below 0.3), and whether that makes a copy: an identity, or a stretch of 15 or
    more residues (30 bases), of 0.9 of it or more. Held-out sequences of a prepared file are measured beside them.

    \b
    Examples:
      biorrn generate runs/lm -n 100 -o new.fasta
      biorrn generate runs/lm -n 1000 --temperature 0.8 --top-p 0.95 --prompt MKT --max-length 200 -o new.fasta.gz
      biorrn generate runs/lm -n 500 --against pfam.h5 --drop-copies 0.9 --figure new.svg -o new.fasta
    """
    from biorrn.device import set_threads
    from biorrn.evaluation.figures_generated import check_figure, save_figure
    from biorrn.evaluation.generated import check_threshold, lines
    from biorrn.evaluation.generated_files import compare, read_against, write_fasta, write_summary, write_table
    from biorrn.inference.generate import Plan, open_language_model
    from biorrn.inference.generate import generate as run
    from biorrn.inference.sampling import Sampling
    from biorrn.inference.summary import Tally
    from biorrn.progress import progress

    set_threads(threads)
    check_threshold(drop_copies, against)
    check_figure(figure)
    language = open_language_model(model, device)
    longest = max_length if max_length is not None else language.longest
    plan = Plan(Sampling(temperature, top_k, top_p), prompt.strip().upper(), min_length, longest, seed)
    known = read_against(against, language.tokeniser.alphabet)
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
        tally.say(f"{batch.dropped} copies left out")
    tally.report()
