# Preparation: input files -> HDF5 with a split, and a JSON report of rows kept, dropped and shared between splits.


rule prepare_protein:
    input:
        proteins=lambda wildcards: DATA[wildcards.data]["input"],
        table=lambda wildcards: DATA[wildcards.data].get("table", []),
    output:
        prepared=f"{OUT}/data/{{data}}.h5",
        report=f"{OUT}/data/{{data}}.json",
        valid=f"{OUT}/data/{{data}}.valid.fasta",
    log:
        f"{OUT}/logs/prepare_protein/{{data}}.log",
    benchmark:
        f"{OUT}/benchmarks/prepare_protein/{{data}}.tsv"
    wildcard_constraints:
        data=only([name for name in data_of("protein") if name not in tested()]),
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        split=lambda wildcards: DATA[wildcards.data]["split"],
        options=lambda wildcards: options(
            DATA[wildcards.data],
            table="--targets",
            targets="--target",
            target_type="--target-type",
            sequence_column="--sequence-column",
            id_column="--id-column",
            weight="--weight",
            seed="--seed",
            note="--note",
        ),
        exports=lambda wildcards, output: [
            word
            for split in ("valid", "test")
            if split in output.keys()
            for word in ("--export-fasta", f"{split}={output[split]}")
        ],
    message:
        "Preparing the proteins of {wildcards.data}"
    shell:
        "exec biorrn prepare protein {input.proteins:q} {params.options:q} --split {params.split:q}"
        " -o {output.prepared:q} --report {output.report:q} {params.exports:q} > {log:q} 2>&1"


use rule prepare_protein as prepare_tested_protein with:
    output:
        prepared=f"{OUT}/data/{{data}}.h5",
        report=f"{OUT}/data/{{data}}.json",
        valid=f"{OUT}/data/{{data}}.valid.fasta",
        test=f"{OUT}/data/{{data}}.test.fasta",
    wildcard_constraints:
        data=only(tested()),


rule prepare_signal:
    input:
        reads=lambda wildcards: DATA[wildcards.data]["reads"],
        labels=lambda wildcards: [
            DATA[wildcards.data][key]
            for key in ("truth", "bam", "moves", "calls")
            if key in DATA[wildcards.data]
        ],
        reference=label_reference,
    output:
        prepared=f"{OUT}/data/{{data}}.h5",
        report=f"{OUT}/data/{{data}}.json",
    log:
        f"{OUT}/logs/prepare_signal/{{data}}.log",
    benchmark:
        f"{OUT}/benchmarks/prepare_signal/{{data}}.tsv"
    wildcard_constraints:
        data=only(data_of("signal")),
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        split=lambda wildcards: DATA[wildcards.data]["split"],
        options=lambda wildcards: options(
            DATA[wildcards.data],
            labels="--labels",
            truth="--truth",
            bam="--bam",
            moves="--moves",
            calls="--calls",
            model="--model",
            force="--force",
            normaliser="--normaliser",
            seed="--seed",
            note="--note",
        ),
        reference=lambda wildcards, input: (
            ["--reference", input.reference] if input.reference else []
        ),
    message:
        "Preparing the reads of {wildcards.data}"
    shell:
        "exec biorrn prepare signal {input.reads:q} {params.options:q} {params.reference:q} --split {params.split:q}"
        " -o {output.prepared:q} --report {output.report:q} > {log:q} 2>&1"


rule prepare_tags:
    input:
        sequences=lambda wildcards: DATA[wildcards.data]["input"],
        labels=lambda wildcards: [
            DATA[wildcards.data][key]
            for key in ("label_file", "mask", "bed")
            if key in DATA[wildcards.data]
        ],
    output:
        prepared=f"{OUT}/data/{{data}}.h5",
        report=f"{OUT}/data/{{data}}.json",
    log:
        f"{OUT}/logs/prepare_tags/{{data}}.log",
    benchmark:
        f"{OUT}/benchmarks/prepare_tags/{{data}}.tsv"
    wildcard_constraints:
        data=only(data_of("tags")),
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        split=lambda wildcards: DATA[wildcards.data]["split"],
        options=lambda wildcards: options(
            DATA[wildcards.data],
            label_file="--labels",
            mask="--mask",
            bed="--bed",
            label_column="--label-column",
            sequence_column="--sequence-column",
            values="--value",
            alphabet="--alphabet",
            states="--states",
            unknown="--unknown",
            seed="--seed",
            note="--note",
        ),
    message:
        "Preparing the tagged sequences of {wildcards.data}"
    shell:
        "exec biorrn prepare tags {input.sequences:q} {params.options:q} --split {params.split:q}"
        " -o {output.prepared:q} --report {output.report:q} > {log:q} 2>&1"
