"""`biorrn models translate`: translate sequences with an encoder-decoder, e.g. genes to proteins."""

from typing import Annotated

import typer

from biorrn.cli.options import BatchSize, Device, Strict, Threads


def translate(
    model: Annotated[str, typer.Argument(help="Run folder of a translation model.")],
    fasta: Annotated[str, typer.Argument(help="Source sequences: FASTA, may be gzip. - is standard input.")],
    output: Annotated[str, typer.Option("--output", "-o", help="FASTA to write. .gz compresses; - is stdout.")] = "-",
    beam: Annotated[int, typer.Option(min=1, max=1000, help="Beam width. 1 is greedy decoding.")] = 5,
    attention: Annotated[str | None, typer.Option(help="Draw the attention of one record: .svg or .png.")] = None,
    record: Annotated[str | None, typer.Option(help="The record to draw. Default: the first.")] = None,
    strict: Strict = False,
    batch_size: BatchSize = 32,
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Translate sequences with an encoder-decoder, e.g. genes to proteins.

    Each header holds the geometric mean of the probabilities of the predicted symbols, and length_limit if the decoder
    was stopped before it predicted an end.

    \b
    Examples:
      biorrn models translate runs/codons genes.fa -o proteins.fa
      biorrn models translate runs/codons genes.fa --beam 1 --attention where.svg -o proteins.fa
    """
    from biorrn.base.compute import choose_device, set_threads
    from biorrn.base.errors import stop
    from biorrn.base.terminal import progress
    from biorrn.nn.store import load_model
    from biorrn.sequences.tally import Tally
    from biorrn.translation.predict import AttentionRecord, check_model, draw_attention, open_fasta, read_sources
    from biorrn.translation.predict import translate as run

    wanted = AttentionRecord(attention, record)
    set_threads(threads)
    stored = load_model(model)
    check_model(stored, signal=False)
    tally = Tally("translate", "sequences", "symbols")
    sources = read_sources(fasta, stored.facts["source"], stop if strict else tally.skip_record)
    found = run(stored, sources, beam=beam, batch_size=batch_size, device=choose_device(device), attention=wanted)
    with progress("translate", "sequences") as advance, open_fasta(output) as write:
        for translation in found:
            write(translation)
            if translation.attention is not None and attention is not None:
                draw_attention(attention, translation)
            tally.add(sequences=1, symbols=len(translation.target))
            tally.flag(translation.flags)
            advance(1)
        tally.require("sequences", f"{fasta}: contains no sequence that can be translated")
        wanted.check(fasta)
    tally.report()
