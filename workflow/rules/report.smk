# The report: all runs and samples on one page.


rule report:
    input:
        evaluations=expand(f"{OUT}/evaluation/{{run}}.json", run=RUNS),
        figures=expand(f"{OUT}/evaluation/{{run}}", run=RUNS),
        histories=expand(f"{OUT}/runs/{{run}}/history.tsv", run=RUNS),
        provenance=expand(f"{OUT}/runs/{{run}}/provenance.json", run=RUNS),
        prepared=expand(f"{OUT}/data/{{data}}.json", data=data_used()),
        qc=step_outputs("qc", "qc/{name}.json", CALLS),
        qc_figures=step_outputs("qc", "qc/{name}", CALLS),
        mapped=step_outputs("map", "mapped/{name}.json", mapped_samples()),
        map_figures=step_outputs("map", "mapped/{name}", mapped_samples()),
        assembled=step_outputs(
            "assemble", "assembly/{name}/assembly.json", samples_of("signal")
        ),
        predictions=predicted_samples().values(),
        models=[
            file
            for name in predicted_samples()
            for file in model_files(model_of(name))
        ],
        prediction_figures=[
            *expand(f"{OUT}/predictions/{{name}}.svg", name=proteins_of("tagging")),
            *expand(f"{OUT}/scans/{{name}}", name=samples_of("scan")),
        ],
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
        predictions=lambda wildcards, input: [
            word
            for model, path in zip(applied_models(input.models), input.predictions)
            for word in ("--predictions", f"{model}={path}")
        ],
        more=lambda wildcards, input: [
            word
            for option, paths in (
                ("--qc", input.qc),
                ("--map", input.mapped),
                ("--assembly", input.assembled),
            )
            for path in paths
            for word in (option, path)
        ],
        # not with a remote storage: the benchmark files are not retrieved from it
        benchmarks=(
            []
            if workflow.storage_settings.default_storage_provider
            else ["--benchmarks", f"{OUT}/benchmarks"]
        ),
        title=config.get("title", "biorrn report"),
    message:
        "Writing {output.html}"
    shell:
        "exec biorrn report {input.evaluations:q} {params.runs:q} {params.prepared:q} {params.predictions:q} {params.more:q}"
        " {params.benchmarks:q} --title {params.title:q}"
        " -o {output.html:q} > {log:q} 2>&1"
