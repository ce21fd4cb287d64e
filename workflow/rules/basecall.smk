# A model and raw reads -> FASTQ.


rule basecall:
    input:
        weights=f"{OUT}/runs/{{run}}/weights.safetensors",
        recipe=f"{OUT}/runs/{{run}}/recipe.yaml",
        reads=lambda wildcards: run_data(wildcards)["reads"],
    output:
        fastq=f"{OUT}/basecalls/{{run}}.fastq.gz",
    log:
        f"{OUT}/logs/basecall/{{run}}.log",
    benchmark:
        f"{OUT}/benchmarks/basecall/{{run}}.tsv"
    wildcard_constraints:
        run=only(runs_of("basecalling")),
    conda:
        ENVIRONMENT
    threads: 2
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        model=lambda wildcards, input: str(Path(input.weights).parent),
        options=lambda wildcards: options(
            RUNS[wildcards.run], decoder="--decoder", device="--device"
        ),
    message:
        "Calling the reads of {wildcards.run}"
    shell:
        "biorrn basecall {input.reads:q} --model {params.model:q} -o {output.fastq:q} {params.options:q}"
        " --resume --threads {threads} > {log:q} 2>&1"
