# Evaluation: predictions or basecalls compared with the truth -> metrics with intervals, and figures.


rule evaluate_regression:
    input:
        predictions=lambda wildcards: (
            f"{OUT}/predictions/{wildcards.run}/{judged(wildcards.run)}.tsv"
        ),
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
    threads: lambda wildcards: RUNS[wildcards.run].get("threads", 2)
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        split=lambda wildcards: judged(wildcards.run),
        options=lambda wildcards: options(RUNS[wildcards.run], baselines="--baselines"),
    message:
        "Evaluating {wildcards.run} on its {params.split} rows"
    shell:
        "exec biorrn evaluate regression {input.predictions:q} {input.prepared:q} --split {params.split} --name {wildcards.run:q}"
        " {params.options:q} --threads {threads} -o {output.evaluation:q} --figures {output.figures:q} > {log:q} 2>&1"


rule evaluate_basecalls:
    input:
        reads=f"{OUT}/basecalls/{{run}}.fastq.gz",
        reference=lambda wildcards: run_data(wildcards)["reference"],
        # for the squiggle figure: raw signal, and the model that aligns the called bases to it
        signal=lambda wildcards: run_data(wildcards)["reads"],
        model=lambda wildcards: model_files(wildcards.run),
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
        model=lambda wildcards, input: folder_of(input.model),
        options=lambda wildcards: options(
            run_data(wildcards), region="--region", note="--note", reads="--signal"
        ),
    message:
        "Evaluating the basecalls of {wildcards.run}"
    shell:
        "exec biorrn evaluate basecalls {input.reads:q} {input.reference:q} {params.options:q} --model {params.model:q}"
        " --name {wildcards.run:q}"
        " -o {output.evaluation:q} --table {output.table:q} --figures {output.figures:q} > {log:q} 2>&1"


rule evaluate_tagging:
    input:
        model=lambda wildcards: model_files(wildcards.run),
        prepared=prepared,
    output:
        evaluation=f"{OUT}/evaluation/{{run}}.json",
        figures=report(
            directory(f"{OUT}/evaluation/{{run}}"),
            patterns=["{figure}.svg"],
            caption="../report/tagging.rst",
            category="Evaluation",
            labels={"run": "{run}", "figure": "{figure}"},
        ),
    log:
        f"{OUT}/logs/evaluate_tagging/{{run}}.log",
    benchmark:
        f"{OUT}/benchmarks/evaluate_tagging/{{run}}.tsv"
    wildcard_constraints:
        run=only(runs_of("tagging")),
    conda:
        ENVIRONMENT
    threads: 2
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        task=lambda wildcards: RUNS[wildcards.run]["task"],
        model=lambda wildcards, input: folder_of(input.model),
        split=lambda wildcards: judged(wildcards.run),
        options=lambda wildcards: options(
            RUNS[wildcards.run], baselines="--baselines", device="--device"
        ),
    message:
        "Evaluating {wildcards.run} on its {params.split} rows"
    shell:
        "exec biorrn evaluate {params.task} {params.model:q} {input.prepared:q} --split {params.split} --name {wildcards.run:q}"
        " {params.options:q} --threads {threads} -o {output.evaluation:q} --figures {output.figures:q} > {log:q} 2>&1"


use rule evaluate_tagging as evaluate_classification with:
    output:
        evaluation=f"{OUT}/evaluation/{{run}}.json",
        figures=report(
            directory(f"{OUT}/evaluation/{{run}}"),
            patterns=["{figure}.svg"],
            caption="../report/classification.rst",
            category="Evaluation",
            labels={"run": "{run}", "figure": "{figure}"},
        ),
    log:
        f"{OUT}/logs/evaluate_classification/{{run}}.log",
    benchmark:
        f"{OUT}/benchmarks/evaluate_classification/{{run}}.tsv"
    wildcard_constraints:
        run=only(runs_of("classification")),
