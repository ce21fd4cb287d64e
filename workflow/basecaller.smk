# Training of the shipped basecaller dna_r9.4.1_fast from real reads; takes hours on two cores:
#
#     make basecaller            (or: snakemake -s workflow/basecaller.smk --cores 2)
#
# The data is in {real_data}/nanopore, as in config/real.yaml. Three stages, each starting from the weights of the last:
#   1  phage lambda with labels by Tombo, and recombined walks over those reads (`biorrn prepare recombine`)
#   2  adds E. coli reads, labelled by the K-12 genome, and reads with calls of another basecaller, aligned by model 1
#   3  adds Klebsiella reads called by model 2, walks over all others that change read every 2.5 bases on average, and
#      simulated reads; trained longest. Stay score and Q-scores are then fitted on held-out E. coli and lambda
#      reads, Q-scores also on noise
# Not trained on: lambda 0-12,000 (test) and 12,000-14,500 (selection of the epoch), E. coli 514,000-531,000, and a fifth of
# the human reads.
import os
import sys
from pathlib import Path

# jobs find `biorrn` in the folder of snakemake
os.environ["PATH"] = os.pathsep.join(
    [os.environ.get("PATH", ""), str(Path(sys.executable).parent)]
)

REAL = Path(
    config.get("real_data") or os.environ.get("BIORRN_SHARED_DATA") or "../shared/data",
    "nanopore",
)
OUT = config.get("output", "results/basecaller")
MODEL = "dna_r9.4.1_fast"
# E. coli without the 40 kb covered by the reads of ecoli_r94; lambda without the test region
CALIBRATED = [
    "NC_000913.3:0-514000",
    "NC_000913.3:531000-718000",
    "NC_000913.3:738000-4069000",
    "NC_000913.3:4078000-4641652",
    "Lambda_NEB:12000-14500",
]
HELD_OUT = "reference:Lambda_NEB:0-12000=test,Lambda_NEB:12000-14500=valid"

# sampling weights of the three mixtures, by file
MIXED = {
    1: {"lambda": 0.2, "walks1": 0.8},
    2: {
        "lambda": 0.12,
        "walks1": 0.33,
        "ecoli1": 0.33,
        "multi1": 0.12,
        "prom1": 0.05,
        "human": 0.05,
    },
    3: {
        "lambda": 0.03,
        "walks2": 0.42,
        "simulated": 0.1,
        "ecoli2": 0.04,
        "multi2": 0.14,
        "klebsiella": 0.2,
        "prom2": 0.05,
        "human": 0.02,
    },
}
EPOCHS = {1: 20, 2: 20, 3: 100}  # of 4,096 windows of 2,000 samples
LABELLED = {  # reads with calls: files, options, split
    "ecoli": ("ecoli_r94", f"--calls {REAL}/ecoli_r94/basecalls.fasta --reference {REAL}/references/ecoli_K12_MG1655.fna.gz",
              "reference:NC_000913.3:514000-531000=test"),
    "multi": ("formats/fast5/multi_fast5_zip.fast5", "", "random:1,0,0"),
    "prom": ("promethion_r941/reads.fast5", "", "random:1,0,0"),
}  # fmt: skip


wildcard_constraints:
    stage="[123]",
    source="ecoli|multi|prom",


rule all:
    input:
        f"{OUT}/{MODEL}/weights.safetensors",


rule tombo:
    output:
        f"{OUT}/lambda.h5",
    log:
        f"{OUT}/logs/lambda.log",
    shell:
        "biorrn prepare signal {REAL}/lambda_r941/fast5 --labels events --split {HELD_OUT:q} -o {output:q} > {log:q} 2>&1"


rule human:
    output:
        f"{OUT}/human.h5",
    log:
        f"{OUT}/logs/human.log",
    shell:
        "biorrn prepare signal {REAL}/human_r941/reads.blow5 --labels bam --bam {REAL}/human_r941/guppy_sup.bam"
        " --moves {REAL}/human_r941/guppy_sup.moves.paf --lead 3 --split random:0.8,0,0.2 -o {output:q} > {log:q} 2>&1"


rule called:
    # known sequences, aligned to the signal by the model of a stage
    input:
        f"{OUT}/model{{stage}}/weights.safetensors",
    output:
        f"{OUT}/{{source}}{{stage}}.h5",
    log:
        f"{OUT}/logs/{{source}}{{stage}}.log",
    params:
        reads=lambda wildcards: REAL / LABELLED[wildcards.source][0],
        options=lambda wildcards: LABELLED[wildcards.source][1],
        split=lambda wildcards: LABELLED[wildcards.source][2],
    shell:
        "biorrn prepare signal {params.reads:q} --labels calls --model {OUT}/model{wildcards.stage} {params.options}"
        " --split {params.split} --threads 1 -o {output:q} > {log:q} 2>&1"


rule klebsiella:
    # unlabelled reads: labelled with the calls of model 2
    input:
        f"{OUT}/model2/weights.safetensors",
    output:
        calls=f"{OUT}/klebsiella.fastq",
        prepared=f"{OUT}/klebsiella.h5",
    log:
        f"{OUT}/logs/klebsiella.log",
    threads: 2
    shell:
        "(biorrn basecall {REAL}/klebsiella_r941 --model {OUT}/model2 --decoder beam -o {output.calls:q}"
        " && biorrn prepare signal {REAL}/klebsiella_r941 --labels calls --calls {output.calls:q} --model {OUT}/model2"
        " --split random:1,0,0 --threads 1 -o {output.prepared:q}) > {log:q} 2>&1"


rule walks_lambda:
    input:
        f"{OUT}/lambda.h5",
    output:
        f"{OUT}/walks1.h5",
    log:
        f"{OUT}/logs/walks1.log",
    shell:
        "biorrn prepare recombine {input:q} --samples 15000000 -o {output:q} > {log:q} 2>&1"


rule walks_all:
    input:
        [f"{OUT}/{name}.h5" for name in ("lambda", "ecoli2", "multi2", "prom2")],
    output:
        joined=f"{OUT}/joined.h5",
        walks=f"{OUT}/walks2.h5",
    log:
        f"{OUT}/logs/walks2.log",
    shell:
        "(biorrn prepare mix {input:q} -o {output.joined:q}"
        " && biorrn prepare recombine {output.joined:q} --samples 40000000 --rounds 2 --run 2.5 --seed 7 -o {output.walks:q})"
        " > {log:q} 2>&1"


rule simulated:
    output:
        reads=f"{OUT}/simulated.blow5",
        truth=f"{OUT}/simulated.tsv",
        prepared=f"{OUT}/simulated.h5",
    log:
        f"{OUT}/logs/simulated.log",
    shell:
        "(biorrn simulate --random-genome 1500000 --coverage 1 --seed 5 -o {output.reads:q} --truth {output.truth:q}"
        " && biorrn prepare signal {output.reads:q} --labels truth --truth {output.truth:q} --split random:1,0,0"
        " -o {output.prepared:q}) > {log:q} 2>&1"


rule mix:
    input:
        lambda wildcards: [f"{OUT}/{name}.h5" for name in MIXED[int(wildcards.stage)]],
    output:
        f"{OUT}/mix{{stage}}.h5",
    log:
        f"{OUT}/logs/mix{{stage}}.log",
    params:
        shares=lambda wildcards: [
            f"{OUT}/{name}.h5={share}"
            for name, share in MIXED[int(wildcards.stage)].items()
        ],
    shell:
        "biorrn prepare mix {params.shares:q} -o {output:q} > {log:q} 2>&1"


rule train:
    input:
        prepared=f"{OUT}/mix{{stage}}.h5",
        before=lambda wildcards: (
            f"{OUT}/model{int(wildcards.stage) - 1}/weights.safetensors"
            if wildcards.stage > "1"
            else []
        ),
    output:
        f"{OUT}/model{{stage}}/weights.safetensors",
    log:
        f"{OUT}/logs/train{{stage}}.log",
    threads: 2
    params:
        epochs=lambda wildcards: EPOCHS[int(wildcards.stage)],
        init=lambda wildcards, input: (
            ["--init", str(Path(input.before).parent)] if input.before else []
        ),
    shell:
        "biorrn train fast {input.prepared:q} -o {OUT}/model{wildcards.stage} {params.init:q} --threads {threads}"
        " --set training.epochs={params.epochs} > {log:q} 2>&1"


rule calibrate:
    input:
        f"{OUT}/model3/weights.safetensors",
    output:
        f"{OUT}/{MODEL}/weights.safetensors",
    log:
        f"{OUT}/logs/calibrate.log",
    threads: 2
    params:
        regions=[f"--region {region}" for region in CALIBRATED],
    shell:
        "(cp {OUT}/model3/weights.safetensors {OUT}/model3/recipe.yaml {OUT}/{MODEL}/"
        " && gzip -dc {REAL}/references/ecoli_K12_MG1655.fna.gz | cat - {REAL}/lambda_r941/reference.fasta > {OUT}/known.fasta"
        " && biorrn calibrate {OUT}/{MODEL} {REAL}/ecoli_r94_nanoreviser {REAL}/lambda_r941/fast5"
        " --blank --reference {OUT}/known.fasta {params.regions} --unlike {REAL}/r1041_remora --unlike {REAL}/sequin_rna002"
        " --threads {threads}) > {log:q} 2>&1"
