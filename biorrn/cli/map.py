"""`biorrn map`: map basecalled reads to a reference with minimap2."""

from pathlib import Path
from typing import Annotated

import typer

from biorrn.cli.options import CalledReads, Figures, Name, Note, Seed
from biorrn.cli.outputs import write_evaluation


def map(
    reads: CalledReads,
    reference: Annotated[Path, typer.Argument(help="FASTA of the reference, may be gzip.")],
    output: Annotated[str, typer.Option("--output", "-o", help="File .bam (sorted and indexed), .paf or .paf.gz.")],
    stats: Annotated[Path | None, typer.Option(help="JSON file to write: mapping statistics.")] = None,
    figures: Figures = None,
    preset: Annotated[
        str, typer.Option(help="Preset of minimap2: map-ont, lr:hq (reads above Q20) or splice.")
    ] = "map-ont",
    name: Name = None,
    note: Note = "",
    seed: Seed = 0,
    threads: Annotated[int, typer.Option(min=1, help="Threads for mapping, sorting and compression.")] = 1,
) -> None:
    """Map basecalled reads to a reference with minimap2.

    Writes the primary and supplementary alignments of each read. Unmapped reads are at the end of BAM and not in PAF. A
    record that cannot be used is named and left out, and counted in --stats. Tags of the reads are kept; in FASTQ,
    those after the id as `biorrn basecall` writes them. Prints the fraction mapped, identity with 95 % intervals,
    errors by type, depth and strand; --stats writes them in full.

    \b
    Examples:
      biorrn map calls.fastq.gz genome.fa -o mapped.bam --stats map.json --figures map/ --threads 4
      biorrn map calls.bam genome.fa -o mapped.bam --preset lr:hq
      biorrn map cdna.fastq genome.fa.gz -o mapped.paf.gz --preset splice
    """
    from biorrn.base.errors import InputError
    from biorrn.base.lookup import lookup
    from biorrn.base.terminal import command_line
    from biorrn.nanopore.alignment import Mapper
    from biorrn.nanopore.readers.calls import piped
    from biorrn.nanopore.reads.map import (
        PRESETS,
        MappingStats,
        describe_mapping,
        format_of,
        map_reads,
        mapping_figures,
        mapping_lines,
    )
    from biorrn.sequences.tally import Tally

    format_of(output)
    mapper = Mapper(reference, lookup(PRESETS, preset, "--preset:"))
    found, tally = MappingStats(mapper), Tally("map")

    def skip(problem: InputError) -> None:
        tally.skip_call(problem, reads)
        found.left_out[problem.flag] += 1

    with piped(reads) as place:
        map_reads(
            place, mapper, output, command=command_line(), threads=threads, on_read=found.add,
            say=tally.say, on_problem=skip,
        )  # fmt: skip
    content = describe_mapping(found, reads=reads, reference=reference, preset=preset, output=output,
                               name=name or Path(output).stem, note=note, seed=seed)  # fmt: skip
    write_evaluation(
        stats, content, figures, lambda: mapping_figures(content, found), mapping_lines, stats or Path(output)
    )
