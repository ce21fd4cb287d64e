# Training of the shipped protein models from public data sets:  make models
#
# The data is in --config real_data=FOLDER, else BIORRN_SHARED_DATA, else ../shared/data, as in the workflow.
import os
import sys
from pathlib import Path

# jobs find `biorrn` in the folder of snakemake
os.environ["PATH"] = os.pathsep.join(
    [os.environ.get("PATH", ""), str(Path(sys.executable).parent)]
)

REAL = Path(
    config.get("real_data") or os.environ.get("BIORRN_SHARED_DATA") or "../shared/data",
    "protein",
)
OUT = config.get("output", "results/models")
# table, target, split, threads
MODELS = {
    "stability": (REAL / "stability/stability.csv.gz", "stability", "column:set", 2),
    "beta_lactamase": (f"{OUT}/beta_lactamase.csv", "scaled_effect", "column:set", 1),
    "solubility": (
        REAL / "solubility/esol_train.csv.gz",
        "solubility",
        "random:0.9,0.1,0",
        1,
    ),
    "melting_temperature": (f"{OUT}/melting.csv", "target", "column:split", 1),
}


wildcard_constraints:
    model="|".join(MODELS),


rule all:
    input:
        expand(f"{OUT}/{{model}}/done", model=[*MODELS, "secondary_structure"]),
        f"{OUT}/stability/differences.txt",
        f"{OUT}/melting_temperature/strangers.txt",


rule prepare_structure:
    # the split of FLIP; its test chains are not used for training or model selection
    input:
        REAL / "secondary_structure/splits.zip",
    output:
        f"{OUT}/secondary_structure.h5",
    log:
        f"{OUT}/logs/prepare_secondary_structure.log",
    shell:
        "biorrn prepare tags {input:q} -o {output:q} > {log:q} 2>&1"


rule teach_structure:
    # three teacher networks on the labels only; their pseudo-labels, averaged over homologs, train the shipped networks
    input:
        f"{OUT}/secondary_structure.h5",
    output:
        f"{OUT}/secondary_structure_teacher/weights.safetensors",
    log:
        f"{OUT}/logs/train_secondary_structure_teacher.log",
    threads: 2
    shell:
        "biorrn train secondary_structure_teacher {input:q} -o {OUT}/secondary_structure_teacher --threads {threads}"
        " > {log:q} 2>&1"


rule label_structure:
    # domains, and proteins of 13 species and of E. coli; none is homologous to a valid or test chain
    input:
        labelled=f"{OUT}/secondary_structure.h5",
        teacher=f"{OUT}/secondary_structure_teacher/weights.safetensors",
        others=[
            REAL / "pfam_domains/domains.csv.gz",
            f"{OUT}/melting_full.csv",
            f"{OUT}/melting_clustered.csv",
            REAL / "solubility/esol_train.csv.gz",
        ],
    output:
        f"{OUT}/secondary_structure_taught.h5",
    log:
        f"{OUT}/logs/label_secondary_structure.log",
    threads: 2
    shell:
        "biorrn prepare pseudo-labels {input.labelled:q} {input.others:q} --teacher $(dirname {input.teacher:q})"
        " --threads {threads} -o {output:q} > {log:q} 2>&1"


rule sequences_of_melting:
    input:
        f"{REAL}/meltome/tasks.zip",
    output:
        f"{OUT}/melting_{{task}}.csv",
    log:
        f"{OUT}/logs/melting_{{task}}.log",
    wildcard_constraints:
        task="full|clustered",
    shell:
        "unzip -p {input:q} tasks/{wildcards.task}_task.csv > {output:q} 2> {log:q}"


rule train_students:
    input:
        f"{OUT}/secondary_structure_taught.h5",
    output:
        f"{OUT}/secondary_structure_students/weights.safetensors",
    log:
        f"{OUT}/logs/train_secondary_structure_students.log",
    threads: 2
    shell:
        "biorrn train secondary_structure_students {input:q} -o {OUT}/secondary_structure_students --threads {threads}"
        " > {log:q} 2>&1"


rule train_structure:
    # each network is fine-tuned from one of the students, on the labels only
    input:
        labelled=f"{OUT}/secondary_structure.h5",
        students=f"{OUT}/secondary_structure_students/weights.safetensors",
    output:
        f"{OUT}/secondary_structure/done",
    log:
        f"{OUT}/logs/train_secondary_structure.log",
    threads: 2
    params:
        python=sys.executable,
    shell:
        "(biorrn train secondary_structure {input.labelled:q} --init $(dirname {input.students:q})"
        " -o {OUT}/secondary_structure --threads {threads}"
        " && {params.python:q} -c 'import sys; from biorrn.nn.store import shrink; shrink(sys.argv[1])'"
        " {OUT}/secondary_structure && touch {output:q}) > {log:q} 2>&1"


rule beta_lactamase:
    input:
        expand(
            f"{REAL}/beta_lactamase/beta_lactamase_{{part}}.csv.gz",
            part=["train", "valid"],
        ),
    output:
        f"{OUT}/beta_lactamase.csv",
    log:
        f"{OUT}/logs/beta_lactamase.log",
    shell:
        "(gzip -dc {input[0]:q} && gzip -dc {input[1]:q} | tail -n +2) > {output:q} 2> {log:q}"


rule melting:
    # a tenth of the training rows is held out for the intervals; the test rows are not used
    input:
        f"{REAL}/meltome/tasks.zip",
    output:
        f"{OUT}/melting.csv",
    log:
        f"{OUT}/logs/melting.log",
    shell:
        'unzip -p {input:q} tasks/clustered_task.csv | awk -F, \'NR == 1 {{print $0 ",split"; next}}'
        ' {{print $0 "," ($3 == "test" ? "test" : (NR % 10 ? "train" : "valid"))}}\''
        " > {output:q} 2> {log:q}"


rule prepare:
    input:
        lambda wildcards: MODELS[wildcards.model][0],
    output:
        f"{OUT}/{{model}}.h5",
    log:
        f"{OUT}/logs/prepare_{{model}}.log",
    params:
        target=lambda wildcards: MODELS[wildcards.model][1],
        split=lambda wildcards: MODELS[wildcards.model][2],
    shell:
        "biorrn prepare protein {input:q} --target {params.target} --split {params.split} -o {output:q} > {log:q} 2>&1"


rule train:
    # networks are stored in half precision; Gaussian processes need full precision
    input:
        f"{OUT}/{{model}}.h5",
    output:
        f"{OUT}/{{model}}/done",
    log:
        f"{OUT}/logs/train_{{model}}.log",
    threads: lambda wildcards: MODELS[wildcards.model][3]
    params:
        python=sys.executable,
        kept=lambda wildcards: (
            "shrink(sys.argv[1])" if wildcards.model == "stability" else "pass"
        ),
    shell:
        "(biorrn train {wildcards.model} {input:q} -o {OUT}/{wildcards.model} --threads {threads}"
        " && {params.python:q} -c 'import sys; from biorrn.nn.store import shrink; {params.kept}' {OUT}/{wildcards.model}"
        " && biorrn calibrate {OUT}/{wildcards.model} {input:q} --threads {threads}"
        " && touch {output:q}) > {log:q} 2>&1"


rule differences:
    # ddG in kcal/mol; one unit of the score, a tenfold concentration, is RT ln 10 = 1.364 kcal/mol at 25 degrees C
    input:
        model=f"{OUT}/stability/done",
        pairs=REAL / "ddg/domains_train.csv.gz",
    output:
        f"{OUT}/stability/differences.txt",
    log:
        f"{OUT}/logs/differences.log",
    params:
        python=sys.executable,
    shell:
        "{params.python:q} -m biorrn.proteins.uncertainty.extra_intervals differences {OUT}/stability {input.pairs:q} --wild-type wt_sequence"
        " --mutation mutation --target ddg --scale 1.364 > {output:q} 2> {log:q}"


rule strangers:
    # proteins of other organisms, without those of the test set
    input:
        model=f"{OUT}/melting_temperature/done",
        prepared=f"{OUT}/melting_temperature.h5",
        others=REAL / "tm/natural_tm50.csv.gz",
        test=f"{OUT}/melting_clustered.csv",
    output:
        f"{OUT}/melting_temperature/strangers.txt",
    log:
        f"{OUT}/logs/strangers.log",
    params:
        python=sys.executable,
    shell:
        "{params.python:q} -m biorrn.proteins.uncertainty.extra_intervals no-relative {OUT}/melting_temperature {input.prepared:q} {input.others:q}"
        " --target tm --left-out {input.test:q} > {output:q} 2> {log:q}"
