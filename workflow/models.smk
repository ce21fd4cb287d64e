# Training of the shipped protein models from public data sets:  make models
#
# The data is in --config real_data=FOLDER, else BIORRN_SHARED_DATA, else ../shared/data, as in the workflow.
# Two lines of steps run side by side, of ddg with stability and of secondary_structure: two networks that train on half
# of the processors each are faster than one after the other on all, whose small layers leave a second processor idle.
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
SCRIPTS = Path(workflow.basedir, "scripts")
PARTS = [
    "chains",
    "language_forward",
    "language_backward",
]  # models whose outputs are features of ddg
HALF = max(1, (workflow.cores or 2) // 2)  # processors for one of the two lines
# table, target, split, threads
MODELS = {
    "stability": (REAL / "stability/stability.csv.gz", "stability", "column:set", HALF),
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
        f"{OUT}/ddg/intervals.txt",


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
    threads: HALF
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
    threads: HALF
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
    threads: HALF
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
    threads: HALF
    params:
        python=sys.executable,
    shell:
        "(biorrn train secondary_structure {input.labelled:q} --init $(dirname {input.students:q})"
        " -o {OUT}/secondary_structure --threads {threads}"
        " && {params.python:q} -m biorrn.nn.compact {OUT}/secondary_structure && touch {output:q}) > {log:q} 2>&1"


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
    # `stability` learned the scores by each protease beside its own; Gaussian processes need full precision
    input:
        lambda wildcards: (
            f"{OUT}/stability_mutants.h5"
            if wildcards.model == "stability"
            else f"{OUT}/{wildcards.model}.h5"
        ),
    output:
        f"{OUT}/{{model}}/done",
    log:
        f"{OUT}/logs/train_{{model}}.log",
    threads: lambda wildcards: MODELS[wildcards.model][3]
    params:
        compact=lambda wildcards: (
            f"{sys.executable} -m biorrn.nn.compact {OUT}/stability --target stability"
            if wildcards.model == "stability"
            else "true"
        ),
    shell:
        "(biorrn train {wildcards.model} {input:q} -o {OUT}/{wildcards.model} --threads {threads}"
        " && biorrn evaluate calibrate {OUT}/{wildcards.model} {input:q} --threads {threads}"
        " && {params.compact} && touch {output:q}) > {log:q} 2>&1"


rule stability_table:
    # designs, and with less weight mutants: random ones of designs, valued by the shipped `ddg`, and measured ones of
    # domains; see the script
    input:
        designs=REAL / "stability/stability.csv.gz",
        proteases=sorted((REAL / "rocklin").glob("*_rd*.tsv.gz")),
        domains=REAL / "ddg/domains_train.csv.gz",
        effects=f"{OUT}/ddg/intervals.txt",
        script=SCRIPTS / "protein_sources.py",
    output:
        table=f"{OUT}/stability_mutants.csv",
        left_out=f"{OUT}/stability_left_out.csv",
        prepared=f"{OUT}/stability_mutants.h5",
    log:
        f"{OUT}/logs/stability_table.log",
    params:
        python=sys.executable,
    shell:
        "({params.python:q} {input.script:q} made {input.designs:q} > {OUT}/made.csv"
        " && biorrn predict ddg {OUT}/made.csv --wild-type wt_sequence -o {OUT}/made.tsv"
        " && {params.python:q} {input.script:q} stability {input.designs:q} {input.domains:q} {OUT}/made.csv"
        " {OUT}/made.tsv {input.proteases:q} > {output.table:q}"
        " && {params.python:q} {input.script:q} left_out {input.domains:q} > {output.left_out:q}"
        " && biorrn prepare protein {output.table:q} --target stability --target trypsin"
        " --target chymotrypsin --split column:set --weight weight"
        " -o {output.prepared:q}) 2> {log:q}"


rule differences:
    # ddG in kcal/mol; one unit of the score, a tenfold concentration, is RT ln 10 = 1.364 kcal/mol at 25 degrees C
    input:
        model=f"{OUT}/stability/done",
        pairs=f"{OUT}/stability_left_out.csv",
        designs=f"{OUT}/stability.h5",
    output:
        f"{OUT}/stability/differences.txt",
    log:
        f"{OUT}/logs/differences.log",
    params:
        python=sys.executable,
    shell:
        "{params.python:q} -m biorrn.proteins.uncertainty.extra_intervals differences {OUT}/stability {input.pairs:q} --wild-type wt_sequence"
        " --mutation mutation --target ddg --scale 1.364 --known-rows {input.designs:q} > {output:q} 2> {log:q}"


rule ddg_sources:
    # mutants of domains, split by clusters; see the script
    input:
        domains=REAL / "ddg/domains_train.csv.gz",
        script=SCRIPTS / "protein_sources.py",
    output:
        f"{OUT}/ddg_{{fold}}.csv",
    log:
        f"{OUT}/logs/ddg_{{fold}}.log",
    wildcard_constraints:
        fold="all|[0-4]",
    params:
        python=sys.executable,
        fold=lambda wildcards: "" if wildcards.fold == "all" else wildcards.fold,
    shell:
        "{params.python:q} {input.script:q} mutants {input.domains:q} {params.fold} > {output:q} 2> {log:q}"


rule chains_and_sequences:
    # states and conservation of chains; and sequences for the language models, without the test chains' labels
    input:
        structure=REAL / "secondary_structure/splits.zip",
        conservation=REAL / "unlabelled/flip_conservation.zip",
        others=[
            REAL / "unlabelled/domain_homologs.csv.gz",
            REAL / "unlabelled/domains_862.fasta",
            REAL / "pfam_domains/domains.csv.gz",
            REAL / "solubility/esol_train.csv.gz",
        ],
        melting=f"{REAL}/meltome/tasks.zip",
        script=SCRIPTS / "protein_sources.py",
    output:
        chains=f"{OUT}/chains.csv",
        sequences=f"{OUT}/sequences.csv",
    log:
        f"{OUT}/logs/chains_and_sequences.log",
    params:
        python=sys.executable,
    shell:
        "({params.python:q} {input.script:q} chains {input.structure:q} {input.conservation:q} > {output.chains:q}"
        " && {params.python:q} {input.script:q} unlabelled {input.structure:q}!splits/sequences.fasta"
        " {input.conservation:q}!splits/sequences.fasta {input.others:q} {input.melting:q}!tasks/full_task.csv"
        " > {output.sequences:q}) 2> {log:q}"


rule train_chains:
    input:
        f"{OUT}/chains.csv",
    output:
        f"{OUT}/chains/weights.safetensors",
    log:
        f"{OUT}/logs/train_chains.log",
    threads: HALF
    shell:
        "(biorrn prepare tags {input:q} --value helix --value strand --value coil --value conservation"
        " --split column:split -o {OUT}/chains.h5"
        " && biorrn train chains {OUT}/chains.h5 -o {OUT}/chains --threads {threads}) > {log:q} 2>&1"


rule prepare_sequences:
    input:
        f"{OUT}/sequences.csv",
    output:
        f"{OUT}/sequences.h5",
    log:
        f"{OUT}/logs/prepare_sequences.log",
    shell:
        "biorrn prepare protein {input:q} --no-target --split column:split -o {output:q} > {log:q} 2>&1"


rule train_language:
    input:
        f"{OUT}/sequences.h5",
    output:
        f"{OUT}/language_{{direction}}/weights.safetensors",
    log:
        f"{OUT}/logs/train_language_{{direction}}.log",
    wildcard_constraints:
        direction="forward|backward",
    shell:
        "biorrn train residue_lm {input:q} -o {OUT}/language_{wildcards.direction}"
        " --set model.core.direction={wildcards.direction} --set training.batch_size=64 --set training.epochs=3"
        " --threads {threads} > {log:q} 2>&1"


rule train_ddg:
    # one of all training domains, which is shipped, and one for each fold, whose valid domains tell the intervals
    input:
        mutants=f"{OUT}/ddg_{{fold}}.csv",
        parts=[f"{OUT}/{name}/weights.safetensors" for name in PARTS],
    output:
        f"{OUT}/ddg_{{fold}}/weights.safetensors",
    log:
        f"{OUT}/logs/train_ddg_{{fold}}.log",
    wildcard_constraints:
        fold="all|[0-4]",
    params:
        parts=",".join(f"{OUT}/{name}" for name in PARTS),
    shell:
        "(biorrn prepare tags {input.mutants:q} --wild-type wt_sequence --value ddg --split column:split"
        " -o {OUT}/ddg_{wildcards.fold}.h5"
        " && biorrn train ddg {OUT}/ddg_{wildcards.fold}.h5 -o {OUT}/ddg_{wildcards.fold}"
        " --set 'model.frontend.path=[{params.parts}]' --threads {threads}) > {log:q} 2>&1"


rule predict_ddg:
    # of domains that the model was trained without
    input:
        mutants=f"{OUT}/ddg_{{fold}}.csv",
        model=f"{OUT}/ddg_{{fold}}/weights.safetensors",
    output:
        f"{OUT}/ddg_{{fold}}.tsv",
    log:
        f"{OUT}/logs/predict_ddg_{{fold}}.log",
    wildcard_constraints:
        fold="[0-4]",
    shell:
        "(awk -F, 'NR == 1 || $4 == \"valid\"' {input.mutants:q} > {OUT}/ddg_{wildcards.fold}_valid.csv"
        " && biorrn predict $(dirname {input.model:q}) {OUT}/ddg_{wildcards.fold}_valid.csv --wild-type wt_sequence"
        " -o {output:q}) > {log:q} 2>&1"


rule ship_ddg:
    # stability learns from the shipped one, by its name
    input:
        model=f"{OUT}/ddg_all/weights.safetensors",
        folds=expand(f"{OUT}/ddg_{{fold}}.tsv", fold=range(5)),
        natural=REAL / "ddg/natural_S8754.csv.gz",
        script=SCRIPTS / "protein_sources.py",
    output:
        f"{OUT}/ddg/intervals.txt",
    log:
        f"{OUT}/logs/ship_ddg.log",
    params:
        python=sys.executable,
        shipped=Path(workflow.basedir).parent / "biorrn/pretrained/ddg",
    shell:
        "(cp $(dirname {input.model:q})/recipe.yaml $(dirname {input.model:q})/weights.safetensors {OUT}/ddg/"
        " && {params.python:q} -m biorrn.nn.compact {OUT}/ddg"
        " && {params.python:q} {input.script:q} pairs {input.natural:q} > {OUT}/natural.csv"
        " && biorrn predict {OUT}/ddg {OUT}/natural.csv --wild-type wt_sequence -o {OUT}/natural.tsv"
        " && {params.python:q} -m biorrn.proteins.uncertainty.extra_intervals effects {OUT}/ddg {OUT}/ddg_all.h5"
        " --predicted {input.folds:q} --unlike {OUT}/natural.tsv --lengths 30 80 > {OUT}/intervals.txt"
        " && cp {OUT}/ddg/recipe.yaml {OUT}/ddg/weights.safetensors {params.shipped:q}"
        " && mv {OUT}/intervals.txt {output:q}) 2> {log:q}"


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
