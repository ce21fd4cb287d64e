# Basecalling: raw reads -> FASTQ and a summary table, in one job, or in shards that are merged.


rule basecall:
    input:
        model=lambda wildcards: model_files(CALLS[wildcards.call]["model"]),
        reads=lambda wildcards: CALLS[wildcards.call]["input"],
    output:
        fastq=f"{OUT}/basecalls/{{call}}.fastq.gz",
        summary=f"{OUT}/basecalls/{{call}}.summary.tsv.gz",
    log:
        f"{OUT}/logs/basecall/{{call}}.log",
    benchmark:
        f"{OUT}/benchmarks/basecall/{{call}}.tsv"
    wildcard_constraints:
        call=only(calls_in(many=False)),
    conda:
        ENVIRONMENT
    threads: 2
    resources:
        mem_mb=more_memory(4000),
        runtime=240,
        gpu=lambda wildcards: gpus(CALLS[wildcards.call]),
    params:
        model=lambda wildcards, input: (
            folder_of(input.model) or CALLS[wildcards.call]["model"]
        ),
        options=lambda wildcards: options(
            CALLS[wildcards.call],
            decoder="--decoder",
            device="--device",
            force="--force",
            kit="--kit",
        ),
    message:
        "Calling the reads of {wildcards.call}"
    shell:
        "exec biorrn basecall {input.reads:q} --model {params.model:q} -o {output.fastq:q} --summary {output.summary:q}"
        " {params.options:q} --allow-empty --resume --wait --threads {threads} > {log:q} 2>&1"


rule list_reads:
    # files are listed once, so that all shards split the same list
    input:
        reads=lambda wildcards: CALLS[wildcards.call]["input"],
    output:
        files=f"{OUT}/basecalls/{{call}}.files.txt",
    log:
        f"{OUT}/logs/list_reads/{{call}}.log",
    benchmark:
        f"{OUT}/benchmarks/list_reads/{{call}}.tsv"
    wildcard_constraints:
        call=only(calls_in(many=True)),
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=1000,
        runtime=60,
    message:
        "Listing the files of {wildcards.call}"
    shell:
        "exec biorrn reads {input.reads:q} --files -o {output.files:q} > {log:q} 2>&1"


rule basecall_shard:
    input:
        model=lambda wildcards: model_files(CALLS[wildcards.call]["model"]),
        files=f"{OUT}/basecalls/{{call}}.files.txt",
    output:
        fastq=temp(f"{OUT}/basecalls/{{call}}.shards/{{part}}-of-{{parts}}.fastq.gz"),
        summary=temp(
            f"{OUT}/basecalls/{{call}}.shards/{{part}}-of-{{parts}}.summary.tsv.gz"
        ),
    log:
        f"{OUT}/logs/basecall_shard/{{call}}/{{part}}-of-{{parts}}.log",
    benchmark:
        f"{OUT}/benchmarks/basecall_shard/{{call}}/{{part}}-of-{{parts}}.tsv"
    wildcard_constraints:
        call=only(calls_in(many=True)),
        part=r"\d+",
        parts=r"\d+",
    conda:
        ENVIRONMENT
    threads: 2
    resources:
        mem_mb=more_memory(4000),
        runtime=240,
        gpu=lambda wildcards: gpus(CALLS[wildcards.call]),
    params:
        model=lambda wildcards, input: (
            folder_of(input.model) or CALLS[wildcards.call]["model"]
        ),
        options=lambda wildcards: options(
            CALLS[wildcards.call],
            decoder="--decoder",
            device="--device",
            force="--force",
            kit="--kit",
        ),
    message:
        "Calling the reads of {wildcards.call}, part {wildcards.part} of {wildcards.parts}"
    shell:
        "exec biorrn basecall --files {input.files:q} --shard {wildcards.part}/{wildcards.parts} --model {params.model:q}"
        " -o {output.fastq:q} --summary {output.summary:q} {params.options:q} --allow-empty --resume --wait --threads {threads}"
        " > {log:q} 2>&1"


rule merge_basecalls:
    input:
        fastq=shards_of(f"{OUT}/basecalls/{{call}}.shards/{{shard}}.fastq.gz"),
        summary=shards_of(f"{OUT}/basecalls/{{call}}.shards/{{shard}}.summary.tsv.gz"),
    output:
        fastq=f"{OUT}/basecalls/{{call}}.fastq.gz",
        summary=f"{OUT}/basecalls/{{call}}.summary.tsv.gz",
    log:
        f"{OUT}/logs/merge_basecalls/{{call}}.log",
    benchmark:
        f"{OUT}/benchmarks/merge_basecalls/{{call}}.tsv"
    wildcard_constraints:
        call=only(calls_in(many=True)),
    conda:
        ENVIRONMENT
    threads: 2
    resources:
        mem_mb=2000,
        runtime=480,
    message:
        "Merging the calls of {wildcards.call}"
    shell:
        "exec biorrn merge {input.fastq:q} {input.summary:q} -o {output.fastq:q} --summary {output.summary:q} --allow-empty"
        " --threads {threads} > {log:q} 2>&1"
