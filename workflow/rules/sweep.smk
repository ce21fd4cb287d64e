# Parameter sweeps: one table and figure of the runs of a sweep.


rule sweep:
    input:
        evaluations=lambda wildcards: expand(
            f"{OUT}/evaluation/{{run}}.json", run=members(wildcards.sweep)
        ),
        provenance=lambda wildcards: expand(
            f"{OUT}/runs/{{run}}/provenance.json", run=members(wildcards.sweep)
        ),
    output:
        table=report(
            f"{OUT}/sweeps/{{sweep}}.tsv",
            caption="../report/sweep.rst",
            category="Sweeps",
            labels={"sweep": "{sweep}", "shown as": "table"},
        ),
        figure=report(
            f"{OUT}/sweeps/{{sweep}}.svg",
            caption="../report/sweep.rst",
            category="Sweeps",
            labels={"sweep": "{sweep}", "shown as": "figure"},
        ),
    log:
        f"{OUT}/logs/sweep/{{sweep}}.log",
    benchmark:
        f"{OUT}/benchmarks/sweep/{{sweep}}.tsv"
    wildcard_constraints:
        sweep=only(SWEEPS),
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
        points=lambda wildcards: [
            word
            for run in SWEEPS[wildcards.sweep]
            for word in (
                "--point",
                ",".join(f"{k}={v}" for k, v in run["swept"].items()),
            )
        ],
    message:
        "Comparing the runs of {wildcards.sweep}"
    shell:
        "exec biorrn evaluate sweep {input.evaluations:q} {params.runs:q} {params.points:q} -o {output.table:q}"
        " --figure {output.figure:q} > {log:q} 2>&1"
