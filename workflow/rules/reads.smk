# Called reads: quality control, mapping to a reference, assembly.


rule qc:
    input:
        summary=f"{OUT}/basecalls/{{call}}.summary.tsv.gz",
        aliases=lambda wildcards: aliases_of(wildcards.call),
    output:
        facts=f"{OUT}/qc/{{call}}.json",
        figures=report(
            directory(f"{OUT}/qc/{{call}}"),
            patterns=["{figure}.svg"],
            caption="../report/qc.rst",
            category="Reads",
            labels={"reads": "{call}", "figure": "{figure}"},
        ),
    log:
        f"{OUT}/logs/qc/{{call}}.log",
    benchmark:
        f"{OUT}/benchmarks/qc/{{call}}.tsv"
    wildcard_constraints:
        call=only(CALLS),
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        note=lambda wildcards: note_of(wildcards.call),
        aliases=lambda wildcards, input: (
            ["--sample-sheet", input.aliases] if input.aliases else []
        ),
    message:
        "Looking at the reads of {wildcards.call}"
    shell:
        "exec biorrn qc {input.summary:q} --name {wildcards.call:q} {params.note:q} {params.aliases:q}"
        " -o {output.facts:q} --figures {output.figures:q} > {log:q} 2>&1"


rule demux:
    input:
        reads=f"{OUT}/basecalls/{{sample}}.fastq.gz",
        aliases=lambda wildcards: aliases_of(wildcards.sample),
    output:
        sorted=directory(f"{OUT}/demux/{{sample}}"),
    log:
        f"{OUT}/logs/demux/{{sample}}.log",
    benchmark:
        f"{OUT}/benchmarks/demux/{{sample}}.tsv"
    wildcard_constraints:
        sample=only(barcoded_samples()),
    conda:
        ENVIRONMENT
    threads: 2
    resources:
        mem_mb=2000,
        runtime=240,
    params:
        kit=lambda wildcards: SAMPLES[wildcards.sample].kit,
        aliases=lambda wildcards, input: (
            ["--sample-sheet", input.aliases] if input.aliases else []
        ),
    message:
        "Sorting the reads of {wildcards.sample} by barcode"
    shell:
        "exec biorrn demux {input.reads:q} --kit {params.kit:q} {params.aliases:q} -o {output.sorted:q}"
        " --threads {threads} > {log:q} 2>&1"


rule map:
    input:
        reads=f"{OUT}/basecalls/{{sample}}.fastq.gz",
        reference=lambda wildcards: SAMPLES[wildcards.sample].reference,
    output:
        mapped=f"{OUT}/mapped/{{sample}}.bam",
        index=f"{OUT}/mapped/{{sample}}.bam.bai",
        facts=f"{OUT}/mapped/{{sample}}.json",
        figures=report(
            directory(f"{OUT}/mapped/{{sample}}"),
            patterns=["{figure}.svg"],
            caption="../report/mapping.rst",
            category="Mapping",
            labels={"reads": "{sample}", "figure": "{figure}"},
        ),
    log:
        f"{OUT}/logs/map/{{sample}}.log",
    benchmark:
        f"{OUT}/benchmarks/map/{{sample}}.tsv"
    wildcard_constraints:
        sample=only(mapped_samples()),
    conda:
        ENVIRONMENT
    threads: 2
    resources:
        mem_mb=more_memory(8000),
        runtime=240,
    params:
        note=lambda wildcards: note_of(wildcards.sample),
    message:
        "Mapping the reads of {wildcards.sample}"
    shell:
        "exec biorrn map {input.reads:q} {input.reference:q} --name {wildcards.sample:q} {params.note:q} -o {output.mapped:q}"
        " --stats {output.facts:q} --figures {output.figures:q} --threads {threads} > {log:q} 2>&1"


rule assemble:
    # if minimap2, miniasm or racon is missing, assembly.json gives the reason and other jobs continue
    input:
        reads=f"{OUT}/basecalls/{{sample}}.fastq.gz",
        reference=lambda wildcards: SAMPLES[wildcards.sample].reference or [],
    output:
        contigs=f"{OUT}/assembly/{{sample}}/contigs.fasta",
        facts=f"{OUT}/assembly/{{sample}}/assembly.json",
    log:
        f"{OUT}/logs/assemble/{{sample}}.log",
    benchmark:
        f"{OUT}/benchmarks/assemble/{{sample}}.tsv"
    wildcard_constraints:
        sample=only(samples_of("signal")),
    conda:
        ENVIRONMENT
    threads: 2
    resources:
        mem_mb=more_memory(8000),
        runtime=480,
    params:
        folder=lambda wildcards, output: str(Path(output.contigs).parent),
        note=lambda wildcards: note_of(wildcards.sample),
        reference=lambda wildcards, input: (
            ["--reference", input.reference] if input.reference else []
        ),
    message:
        "Assembling the reads of {wildcards.sample}"
    shell:
        "exec biorrn assemble {input.reads:q} -o {params.folder:q} {params.reference:q} --name {wildcards.sample:q}"
        " {params.note:q}"
        " --threads {threads} > {log:q} 2>&1"
