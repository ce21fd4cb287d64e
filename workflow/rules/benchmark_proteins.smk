# Benchmark of the protein recipes on published sets, with baselines and published scores:
# `snakemake benchmark_proteins`, not part of `all`. The sets are in workflow/benchmark_proteins.yaml.
BENCHMARK = f"{OUT}/benchmark_proteins"
SETS, SEEDS, BASELINES = load_benchmark("../benchmark_proteins.yaml")


rule benchmark_split:
    # a table with one column for the split
    input:
        sources=benchmark_files,
    output:
        table=f"{BENCHMARK}/tables/{{set}}.{{rows}}.csv",
    log:
        f"{OUT}/logs/benchmark_split/{{set}}.{{rows}}.log",
    benchmark:
        f"{OUT}/benchmarks/benchmark_split/{{set}}.{{rows}}.tsv"
    wildcard_constraints:
        set=only(SETS),
        rows=r"given|\d+",
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        sources=lambda wildcards: place_real_data(SETS[wildcards.set]["sources"]),
        target=lambda wildcards: SETS[wildcards.set]["target"],
        hold_out=lambda wildcards: SETS[wildcards.set].get("hold_out", 0),
        seed=lambda wildcards: 0 if wildcards.rows == "given" else int(wildcards.rows),
    message:
        "Benchmark: the rows of {wildcards.set}"
    script:
        "../scripts/split_table.py"


rule benchmark_prepare:
    input:
        table=f"{BENCHMARK}/tables/{{set}}.{{rows}}.csv",
    output:
        prepared=f"{BENCHMARK}/data/{{set}}.{{rows}}.h5",
        report=f"{BENCHMARK}/data/{{set}}.{{rows}}.json",
        fasta=f"{BENCHMARK}/data/{{set}}.{{rows}}.fasta",
    log:
        f"{OUT}/logs/benchmark_prepare/{{set}}.{{rows}}.log",
    benchmark:
        f"{OUT}/benchmarks/benchmark_prepare/{{set}}.{{rows}}.tsv"
    wildcard_constraints:
        set=only(SETS),
        rows=r"given|\d+",
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        target=lambda wildcards: SETS[wildcards.set]["target"],
        judge=lambda wildcards: SETS[wildcards.set]["judge"],
        options=lambda wildcards: options(SETS[wildcards.set], note="--note"),
    message:
        "Benchmark: preparing {wildcards.set}"
    shell:
        "exec biorrn prepare protein {input.table:q} --target {params.target:q} --split column:set {params.options:q}"
        " -o {output.prepared:q} --report {output.report:q} --export-fasta {params.judge}={output.fasta:q}"
        " > {log:q} 2>&1"


rule benchmark_train:
    input:
        prepared=lambda wildcards: benchmark_rows(wildcards, "h5"),
    output:
        weights=f"{BENCHMARK}/runs/{{set}}.{{seed}}/weights.safetensors",
        recipe=f"{BENCHMARK}/runs/{{set}}.{{seed}}/recipe.yaml",
        provenance=f"{BENCHMARK}/runs/{{set}}.{{seed}}/provenance.json",
    log:
        f"{OUT}/logs/benchmark_train/{{set}}.{{seed}}.log",
    benchmark:
        f"{OUT}/benchmarks/benchmark_train/{{set}}.{{seed}}.tsv"
    wildcard_constraints:
        set=only(SETS),
        seed=r"\d+",
    conda:
        ENVIRONMENT
    threads: 2
    resources:
        mem_mb=6000,
        runtime=240,
    params:
        recipe=lambda wildcards: SETS[wildcards.set]["recipe"],
        folder=lambda wildcards, output: str(Path(output.weights).parent),
    message:
        "Benchmark: training on {wildcards.set}, seed {wildcards.seed}; progress is in {log}"
    shell:
        "exec biorrn train {params.recipe:q} {input.prepared:q} -o {params.folder:q} --seed {wildcards.seed} --replace"
        " --threads {threads} > {log:q} 2>&1"


rule benchmark_predict:
    input:
        weights=f"{BENCHMARK}/runs/{{set}}.{{seed}}/weights.safetensors",
        recipe=f"{BENCHMARK}/runs/{{set}}.{{seed}}/recipe.yaml",
        fasta=lambda wildcards: benchmark_rows(wildcards, "fasta"),
    output:
        table=f"{BENCHMARK}/predictions/{{set}}.{{seed}}.tsv",
    log:
        f"{OUT}/logs/benchmark_predict/{{set}}.{{seed}}.log",
    benchmark:
        f"{OUT}/benchmarks/benchmark_predict/{{set}}.{{seed}}.tsv"
    wildcard_constraints:
        set=only(SETS),
        seed=r"\d+",
    conda:
        ENVIRONMENT
    threads: 2
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        model=lambda wildcards, input: str(Path(input.weights).parent),
    message:
        "Benchmark: predicting {wildcards.set}, seed {wildcards.seed}"
    shell:
        "exec biorrn predict {params.model:q} {input.fasta:q} -o {output.table:q} --threads {threads} > {log:q} 2>&1"


rule benchmark_evaluate:
    input:
        predictions=f"{BENCHMARK}/predictions/{{set}}.{{seed}}.tsv",
        prepared=lambda wildcards: benchmark_rows(wildcards, "h5"),
    output:
        evaluation=f"{BENCHMARK}/evaluation/{{set}}.{{seed}}.json",
    log:
        f"{OUT}/logs/benchmark_evaluate/{{set}}.{{seed}}.log",
    benchmark:
        f"{OUT}/benchmarks/benchmark_evaluate/{{set}}.{{seed}}.tsv"
    wildcard_constraints:
        set=only(SETS),
        seed=r"\d+",
    conda:
        ENVIRONMENT
    threads: 2
    resources:
        mem_mb=6000,
        runtime=120,
    params:
        judge=lambda wildcards: SETS[wildcards.set]["judge"],
        baselines=benchmark_baselines,
    message:
        "Benchmark: evaluating {wildcards.set}, seed {wildcards.seed}"
    shell:
        "exec biorrn evaluate regression {input.predictions:q} {input.prepared:q} --split {params.judge} --name {wildcards.set:q}"
        " --baselines {params.baselines:q} --threads {threads} -o {output.evaluation:q} > {log:q} 2>&1"


rule benchmark_proteins:
    input:
        evaluations=benchmark_outputs("evaluation/{set}.{seed}.json"),
        provenance=benchmark_outputs("runs/{set}.{seed}/provenance.json"),
        published=workflow.source_path("../published.tsv"),
    output:
        table=report(
            f"{BENCHMARK}/benchmark.tsv",
            caption="../report/benchmark.rst",
            category="Benchmark",
            labels={"proteins": "table"},
        ),
        markdown=f"{BENCHMARK}/benchmark.md",
        figure=report(
            f"{BENCHMARK}/benchmark.svg",
            caption="../report/benchmark.rst",
            category="Benchmark",
            labels={"proteins": "figure"},
        ),
        picture=f"{BENCHMARK}/benchmark.png",
    log:
        f"{OUT}/logs/benchmark_proteins.log",
    benchmark:
        f"{OUT}/benchmarks/benchmark_proteins.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        runs=lambda wildcards, input: [
            word
            for path in input.provenance
            for word in ("--run", str(Path(path).parent))
        ],
        metrics=[
            word
            for name, entry in SETS.items()
            if "metric" in entry
            for word in ("--metric", f"{name}={entry['metric']}")
        ],
    message:
        "Writing {output.markdown}"
    shell:
        "exec biorrn evaluate table {input.evaluations:q} {params.runs:q} {params.metrics:q} --published {input.published:q}"
        " -o {output.table:q} --markdown {output.markdown:q} --figure {output.figure:q} --figure {output.picture:q}"
        " > {log:q} 2>&1"
