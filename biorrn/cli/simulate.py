"""`biorrn simulate`: simulate raw nanopore reads with known bases."""

from pathlib import Path
from typing import Annotated

import typer


def simulate(
    output: Annotated[Path, typer.Option("--output", "-o", help="Signal file to write: .pod5, .blow5 or .fast5.")],
    fasta: Annotated[Path | None, typer.Argument(help="DNA to sequence, may be gzip. - is standard input.")] = None,
    random_genome: Annotated[
        str | None, typer.Option(metavar="LENGTH[:GC]", help="Sequence random DNA instead of a FASTA.")
    ] = None,
    truth: Annotated[Path | None, typer.Option(help="TSV to write: position of each base. .gz compresses.")] = None,
    reference: Annotated[Path | None, typer.Option(help="Also write the sequenced DNA as FASTA.")] = None,
    reads: Annotated[int | None, typer.Option(help="Number of reads.")] = None,
    coverage: Annotated[float | None, typer.Option(help="Mean depth, instead of --reads.")] = None,
    pore_model: Annotated[str, typer.Option(help="Name of a shipped pore model, or a TSV file.")] = "dna_r9.4.1_6mer",
    length_mean: Annotated[float, typer.Option(help="Mean read length (bases) of a gamma distribution.")] = 4000.0,
    length_shape: Annotated[float, typer.Option(help="Shape of that distribution. High: equal lengths.")] = 2.0,
    noise: Annotated[float, typer.Option(help="Scale of noise, jitter and drift. 0: levels only.")] = 1.0,
    speed: Annotated[float | None, typer.Option(help="Bases per second. Default: that of the pore model.")] = None,
    kit: Annotated[
        str | None, typer.Option(help="Kit, such as EXP-NBD104, or FILE.toml: each read gets one of its barcodes.")
    ] = None,
    chimeras: Annotated[
        float, typer.Option(help="Share of reads that hold two molecules, with open pore between them.")
    ] = 0.0,
    poly_a: Annotated[
        str | None,
        typer.Option(metavar="MIN-MAX", help="Reads of cDNA: primers, and a poly(A) or poly(T) tail (bases)."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Random seed. The same seed gives the same reads.")] = 0,
) -> None:
    """Simulate raw nanopore reads with known bases.

    Fragments of both strands get the levels of a pore model, heavy-tailed dwell times, jitter between events, drift,
    correlated noise, the adapter stall at the start, and quantisation. `biorrn prepare signal --labels truth` reads
    the truth table, in which --kit adds the barcode of each read, --chimeras the samples of open pore and the place of
    the second molecule, and --poly-a the bases and samples of the tail. The metadata of the signal name the kit, unless
    it is for another chemistry than the pore model. `biorrn prepare pore-model` estimates a pore model from labelled
    reads.

    \b
    Examples:
      biorrn simulate genome.fa --coverage 10 -o sim.pod5 --truth sim.tsv
      biorrn simulate --random-genome 100000:0.4 --reads 200 --seed 7 -o sim.blow5 --truth sim.tsv --reference sim.fa
      biorrn simulate genome.fa --reads 500 --kit EXP-NBD104 -o pool.pod5 --truth pool.tsv
      biorrn simulate genes.fa --reads 500 --chimeras 0.05 --poly-a 10-200 -o cdna.pod5 --truth cdna.tsv
    """
    import re
    from contextlib import ExitStack

    from biorrn.base.errors import ConfigError
    from biorrn.base.terminal import progress
    from biorrn.nanopore.reads.kits import find_kit
    from biorrn.nanopore.simulate.pore_model import load_pore_model
    from biorrn.nanopore.simulate.reads import Settings, kit_tags, open_truth, read_genome, write_genome
    from biorrn.nanopore.simulate.reads import random_genome as draw_genome
    from biorrn.nanopore.simulate.reads import simulate as run
    from biorrn.nanopore.simulate.writers import open_signal
    from biorrn.sequences.tally import Tally

    chosen = None if kit is None else find_kit(kit)
    if chosen is not None and not chosen.barcodes:
        raise ConfigError(f"--kit: {chosen.name} has no barcodes")
    tail = None
    if poly_a is not None:
        if re.fullmatch(r"[0-9]{1,6}-[0-9]{1,6}", poly_a) is None:
            raise ConfigError(f"--poly-a: found '{poly_a}'; allowed is MIN-MAX, such as 10-200")
        shortest, longest = map(int, poly_a.split("-"))
        tail = (shortest, longest)
    settings = Settings(length_mean, length_shape, noise, speed, chosen, chimeras, tail)
    if (fasta is None) == (random_genome is None):
        raise ConfigError("FASTA and --random-genome: give exactly one of them")
    genome = draw_genome(random_genome, seed) if random_genome is not None else read_genome(fasta or "")
    model = load_pore_model(pore_model)
    made = run(genome, model, settings, reads=reads, coverage=coverage, seed=seed)
    if reference is not None:
        write_genome(reference, genome)
    tally = Tally("simulate", "reads", "samples", "bases")
    if chosen is not None and not kit_tags(model, chosen):
        chemistry = model.notes["chemistry"]
        tally.say(f"{chosen.name} is not a kit of the pore model's chemistry, {chemistry}; the metadata name no kit")
    with ExitStack() as stack:
        advance = stack.enter_context(progress("simulating", "samples"))
        write = stack.enter_context(open_signal(output))
        label = None if truth is None else stack.enter_context(open_truth(truth, settings))
        for record, labels in made:
            write(record)
            if label is not None:
                label(record.read_id, labels)
            tally.add(reads=1, samples=len(record.raw), bases=len(labels.bases))
            advance(len(record.raw))
    tally.report()
