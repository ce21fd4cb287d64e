# A model and proteins -> a table of predictions: of the validation rows, of each FASTA that a run lists, of the sample sheet.


rule predict:
    input:
        weights=f"{OUT}/runs/{{run}}/weights.safetensors",
        recipe=f"{OUT}/runs/{{run}}/recipe.yaml",
        fasta=fasta_of,
    output:
        table=report(
            f"{OUT}/predictions/{{run}}/{{fasta}}.tsv",
            caption="../report/predictions.rst",
            category="Predictions",
            labels={"run": "{run}", "sequences": "{fasta}"},
        ),
    log:
        f"{OUT}/logs/predict/{{run}}/{{fasta}}.log",
    benchmark:
        f"{OUT}/benchmarks/predict/{{run}}/{{fasta}}.tsv"
    wildcard_constraints:
        run=only([*runs_of("regression"), *runs_of("tagging")]),
        fasta="[A-Za-z0-9_-]+",
    conda:
        ENVIRONMENT
    threads: 2
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        model=lambda wildcards, input: str(Path(input.weights).parent),
        options=lambda wildcards: options(RUNS[wildcards.run], device="--device"),
    message:
        "Predicting {wildcards.fasta} with {wildcards.run}"
    shell:
        "exec biorrn predict {params.model:q} {input.fasta:q} -o {output.table:q} {params.options:q}"
        " --threads {threads} > {log:q} 2>&1"


rule predict_sample:
    input:
        model=lambda wildcards: model_files(SAMPLES[wildcards.sample].model),
        proteins=lambda wildcards: SAMPLES[wildcards.sample].input,
    output:
        table=report(
            f"{OUT}/predictions/{{sample}}.tsv",
            caption="../report/predictions.rst",
            category="Predictions",
            labels={"run": "sample sheet", "sequences": "{sample}"},
        ),
    log:
        f"{OUT}/logs/predict_sample/{{sample}}.log",
    benchmark:
        f"{OUT}/benchmarks/predict_sample/{{sample}}.tsv"
    wildcard_constraints:
        sample=only(samples_of("protein")),
    conda:
        ENVIRONMENT
    threads: 2
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        model=lambda wildcards, input: (
            folder_of(input.model) or SAMPLES[wildcards.sample].model
        ),
    message:
        "Predicting {wildcards.sample}"
    shell:
        "exec biorrn predict {params.model:q} {input.proteins:q} -o {output.table:q} --threads {threads} > {log:q} 2>&1"
