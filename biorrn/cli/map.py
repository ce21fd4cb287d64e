"""`biorrn map`."""

from pathlib import Path
from typing import Annotated

import typer


def map(
    reads: Annotated[Path, typer.Argument(help="FASTQ, may be gzip, SAM, BAM or CRAM of called reads; - is FASTQ.")],
    reference: Annotated[Path, typer.Argument(help="FASTA of the reference, may be gzip.")],
    output: Annotated[str, typer.Option("--output", "-o", help="File .bam, sorted and indexed, or .paf, .paf.gz.")],
    stats: Annotated[Path | None, typer.Option(help="JSON to write: how the reads lie on the reference.")] = None,
    figures: Annotated[
        Path | None, typer.Option(help="Folder for figures, each as SVG and PNG; default: none.")
    ] = None,
    preset: Annotated[str, typer.Option(help="Of minimap2: map-ont, lr:hq (reads above Q20) or splice.")] = "map-ont",
    name: Annotated[str | None, typer.Option(help="What the report calls it; default: the name of the output.")] = None,
    note: Annotated[str, typer.Option(help="Shown beside the numbers, e.g. that the data is simulated.")] = "",
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="Threads that map, sort and compress.")] = 1,
) -> None:
    """Map called reads to a reference with minimap2, and say how they lie on it.

    Of each read the primary alignment and its supplementary ones are written; unmapped reads stand at the end of BAM
    and are not in PAF. Tags of the reads are kept, of FASTQ those after the id as biorrn basecall writes them. The
    figures printed, in JSON in full: part mapped, identity with 95 % intervals, errors by type, depth, strand.

    \b
    Examples:
      biorrn map calls.fastq.gz genome.fa -o mapped.bam --stats map.json --figures map/ --threads 4
      biorrn map calls.bam genome.fa -o mapped.bam --preset lr:hq
      biorrn map cdna.fastq genome.fa.gz -o mapped.paf.gz --preset splice
    """
    import sys

    from biorrn.command import command_line
    from biorrn.evaluation.described import write_result
    from biorrn.evaluation.figures import save_drawings
    from biorrn.evaluation.figures_mapping import mapping_figures
    from biorrn.evaluation.mapping_stats import MappingStats, describe_mapping, mapping_lines
    from biorrn.inference.map_reads import PRESETS, format_of, map_reads
    from biorrn.inference.mapping import Mapper
    from biorrn.lookup import lookup

    format_of(output)
    mapper = Mapper(reference, lookup(PRESETS, preset, "--preset:"))
    found = MappingStats(mapper)
    map_reads(
        reads, mapper, output, command=command_line(), threads=threads, on_read=found.add,
        say=lambda line: print(f"biorrn map: {line}", file=sys.stderr),
    )  # fmt: skip
    content = describe_mapping(found, reads=reads, reference=reference, preset=preset, output=output,
                               name=name or Path(output).stem, note=note, seed=seed)  # fmt: skip
    if figures is not None:
        content["figures"] = save_drawings(mapping_figures(content, found), figures, stats or Path(output))
    if stats is not None:
        write_result(stats, content)
    for line in mapping_lines(content):
        print(line)
