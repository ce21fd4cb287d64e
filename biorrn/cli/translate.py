"""`biorrn translate`."""

from typing import Annotated

import typer


def translate(
    model: Annotated[str, typer.Argument(help="Run folder of a translation model.")],
    fasta: Annotated[str, typer.Argument(help="Sequences of the model's source, FASTA or FASTA.gz; - is stdin.")],
    output: Annotated[
        str, typer.Option("--output", "-o", help="FASTA to write; .gz compresses; - is standard output.")
    ] = "-",
    beam: Annotated[int, typer.Option(min=1, max=1000, help="Hypotheses that are followed; 1 is greedy.")] = 5,
    attention: Annotated[
        str | None, typer.Option(help="Picture of where each symbol looked, .svg or .png, of one record.")
    ] = None,
    record: Annotated[str | None, typer.Option(help="The record to draw; default: the first.")] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="End at the first record that is not of the source's alphabet.")
    ] = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Sequences a forward pass.")] = 32,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="CPU threads; default: all that this process may use.")] = None,
) -> None:
    """Tell a sequence from each of a FASTA file by an encoder and a decoder, for example proteins from genes.

    Each header says the geometric mean of the probabilities of the symbols told; and length_limit, where the decoder
    found no end and was stopped.

    \b
    Examples:
      biorrn translate runs/codons genes.fa -o proteins.fa
      biorrn translate runs/codons genes.fa --beam 1 --attention where.svg -o proteins.fa
    """
    from biorrn.device import choose_device, set_threads
    from biorrn.evaluation.figures_translation import Chosen, draw_attention
    from biorrn.inference.summary import Tally
    from biorrn.inference.translate import check_model, read_sources
    from biorrn.inference.translate import translate as run
    from biorrn.inference.writers.fasta import open_fasta
    from biorrn.models.store import load_model
    from biorrn.progress import progress
    from biorrn.readers.fields import stop

    wanted = Chosen(attention, record)
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
        tally.require("sequences", f"{fasta}: holds no sequence that can be translated")
        wanted.check(fasta)
    tally.report()
