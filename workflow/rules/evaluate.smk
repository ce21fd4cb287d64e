# Predictions or basecalls beside the truth -> numbers with intervals, and figures.


rule evaluate_regression:
    input:
        predictions=f"{OUT}/predictions/{{run}}/valid.tsv",
        prepared=prepared,
    output:
        evaluation=f"{OUT}/evaluation/{{run}}.json",
        figures=report(
            directory(f"{OUT}/evaluation/{{run}}"),
            patterns=["{figure}.svg"],
            caption="../report/regression.rst",
            category="Evaluation",
            labels={"run": "{run}", "figure": "{figure}"},
        ),
    log:
        f"{OUT}/logs/evaluate_regression/{{run}}.log",
    benchmark:
        f"{OUT}/benchmarks/evaluate_regression/{{run}}.tsv"
    wildcard_constraints:
        run=only(runs_of("regression")),
    conda:
        ENVIRONMENT
    threads: 2
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        options=lambda wildcards: options(RUNS[wildcards.run], baselines="--baselines"),
    message:
        "Evaluating {wildcards.run} on its validation rows"
    shell:
        "biorrn evaluate regression {input.predictions:q} {input.prepared:q} --split valid --name {wildcards.run:q}"
        " {params.options:q} --threads {threads} -o {output.evaluation:q} --figures {output.figures:q} > {log:q} 2>&1"


rule evaluate_basecalls:
    input:
        reads=f"{OUT}/basecalls/{{run}}.fastq.gz",
        reference=lambda wildcards: run_data(wildcards)["reference"],
    output:
        evaluation=f"{OUT}/evaluation/{{run}}.json",
        table=f"{OUT}/evaluation/{{run}}.reads.tsv",
        figures=report(
            directory(f"{OUT}/evaluation/{{run}}"),
            patterns=["{figure}.svg"],
            caption="../report/basecalls.rst",
            category="Evaluation",
            labels={"run": "{run}", "figure": "{figure}"},
        ),
    log:
        f"{OUT}/logs/evaluate_basecalls/{{run}}.log",
    benchmark:
        f"{OUT}/benchmarks/evaluate_basecalls/{{run}}.tsv"
    wildcard_constraints:
        run=only(runs_of("basecalling")),
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        options=lambda wildcards: options(
            run_data(wildcards), region="--region", note="--note"
        ),
    message:
        "Evaluating the basecalls of {wildcards.run}"
    shell:
        "biorrn evaluate basecalls {input.reads:q} {input.reference:q} {params.options:q} --name {wildcards.run:q}"
        " -o {output.evaluation:q} --table {output.table:q} --figures {output.figures:q} > {log:q} 2>&1"
