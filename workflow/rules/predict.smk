# Prediction: tables of predictions for evaluated rows, for each FASTA listed under `predict`, and for samples.


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
        run=only(PREDICTING),
        fasta="[A-Za-z0-9_-]+",
    conda:
        ENVIRONMENT
    threads: lambda wildcards: RUNS[wildcards.run].get("threads", 2)
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
        sample=only(proteins_of("regression")),
    conda:
        ENVIRONMENT
    threads: sample_threads
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


rule tag_sample:
    input:
        model=lambda wildcards: model_files(SAMPLES[wildcards.sample].model),
        proteins=lambda wildcards: SAMPLES[wildcards.sample].input,
    output:
        table=f"{OUT}/predictions/{{sample}}.tsv",
        figure=report(
            f"{OUT}/predictions/{{sample}}.svg",
            caption="../report/predictions.rst",
            category="Predictions",
            labels={"run": "sample sheet", "sequences": "{sample}"},
        ),
    log:
        f"{OUT}/logs/tag_sample/{{sample}}.log",
    benchmark:
        f"{OUT}/benchmarks/tag_sample/{{sample}}.tsv"
    wildcard_constraints:
        sample=only(proteins_of("tagging")),
    conda:
        ENVIRONMENT
    threads: sample_threads
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        model=lambda wildcards, input: (
            folder_of(input.model) or SAMPLES[wildcards.sample].model
        ),
    message:
        "Predicting the states of {wildcards.sample}"
    shell:
        "exec biorrn predict {params.model:q} {input.proteins:q} -o {output.table:q} --figure {output.figure:q}"
        " --threads {threads} > {log:q} 2>&1"


rule scan_sample:
    input:
        model=lambda wildcards: model_files(SAMPLES[wildcards.sample].model),
        proteins=lambda wildcards: SAMPLES[wildcards.sample].input,
    output:
        table=f"{OUT}/scans/{{sample}}.tsv",
        figures=report(
            directory(f"{OUT}/scans/{{sample}}"),
            patterns=["{figure}.png"],
            caption="../report/scan.rst",
            category="Predictions",
            labels={"run": "sample sheet", "sequences": "{sample}, {figure}"},
        ),
    log:
        f"{OUT}/logs/scan_sample/{{sample}}.log",
    benchmark:
        f"{OUT}/benchmarks/scan_sample/{{sample}}.tsv"
    wildcard_constraints:
        sample=only(samples_of("scan")),
    conda:
        ENVIRONMENT
    threads: 2
    resources:
        mem_mb=2000,
        runtime=240,
    params:
        model=lambda wildcards, input: (
            folder_of(input.model) or SAMPLES[wildcards.sample].model
        ),
        # with several proteins, the id is appended
        figure=lambda wildcards, output: f"{output.figures}/{wildcards.sample}.png",
    message:
        "Scanning {wildcards.sample}"
    shell:
        "exec biorrn scan {params.model:q} {input.proteins:q} -o {output.table:q} --figure {params.figure:q}"
        " --threads {threads} > {log:q} 2>&1"
