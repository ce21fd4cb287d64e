# Every run on one page.


rule report:
    input:
        evaluations=expand(f"{OUT}/evaluation/{{run}}.json", run=RUNS),
        figures=expand(f"{OUT}/evaluation/{{run}}", run=RUNS),
        histories=expand(f"{OUT}/runs/{{run}}/history.tsv", run=RUNS),
        provenance=expand(f"{OUT}/runs/{{run}}/provenance.json", run=RUNS),
        prepared=expand(f"{OUT}/data/{{data}}.json", data=data_used()),
    output:
        html=report(REPORT, caption="../report/report.rst", category="Report"),
    log:
        f"{OUT}/logs/report.log",
    benchmark:
        f"{OUT}/benchmarks/report.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        runs=lambda wildcards, input: [
            word
            for path in input.histories
            for word in ("--run", str(Path(path).parent))
        ],
        prepared=lambda wildcards, input: [
            word for path in input.prepared for word in ("--prepare", path)
        ],
        title=config.get("title", "biorrn report"),
    message:
        "Writing {output.html}"
    shell:
        "biorrn report {input.evaluations:q} {params.runs:q} {params.prepared:q} --title {params.title:q}"
        " -o {output.html:q} > {log:q} 2>&1"
