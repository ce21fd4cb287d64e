# Training: a recipe and prepared data -> a model folder. A killed job resumes, because checkpoints are no outputs.


rule train:
    input:
        prepared=prepared,
        recipe=recipe_file,
    output:
        weights=f"{OUT}/runs/{{run}}/weights.safetensors",
        recipe=f"{OUT}/runs/{{run}}/recipe.yaml",
        history=f"{OUT}/runs/{{run}}/history.tsv",
        provenance=f"{OUT}/runs/{{run}}/provenance.json",
    log:
        f"{OUT}/logs/train/{{run}}.log",
    benchmark:
        f"{OUT}/benchmarks/train/{{run}}.tsv"
    wildcard_constraints:
        run=only(RUNS),
    conda:
        ENVIRONMENT
    threads: lambda wildcards: training_threads(wildcards.run)
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt * processes(wildcards.run),
        runtime=240,
        gpu=lambda wildcards: gpus(RUNS[wildcards.run]) * processes(wildcards.run),
    params:
        recipe=lambda wildcards: RUNS[wildcards.run]["recipe"],
        folder=lambda wildcards, output: str(Path(output.weights).parent),
        options=lambda wildcards: options(
            RUNS[wildcards.run],
            seed="--seed",
            set="--set",
            max_minutes="--max-minutes",
            device="--device",
            processes="--processes",
        ),
    message:
        "Training {wildcards.run}; progress is in {log}"
    shell:
        "exec biorrn train {params.recipe:q} {input.prepared:q} -o {params.folder:q} {params.options:q} --replace --wait"
        " --threads {threads} > {log:q} 2>&1"
