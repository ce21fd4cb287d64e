# Training of the shipped basecallers from real reads; takes about five hours on two cores. What was stopped goes on from
# its last epoch when the command is run again:
#
#     make basecaller            (or: snakemake -s workflow/basecaller.smk --cores 2)
#
# The data is in {real_data}/nanopore, as in config/real.yaml. Four networks, each from the weights of one before:
#   1     phage lambda with labels by Tombo, and recombined walks over those reads (`biorrn prepare recombine`)
#   2     adds E. coli reads that network 1 maps on their genome, and reads with calls of another basecaller
#   hac   network 2 with wider layers (256), on the reads that network 2 maps on their genomes; trained longest
#   fast  network 2, which learns from the labels and from hac
# The stay score and the Q-scores of hac and fast are then fitted on held-out reads.
# Not trained on: lambda 0-12,000 (test) and 12,000-14,500 (valid); Klebsiella 0-530,000 (valid); E. coli 510,000-535,000
# (test), and 3,000,000-3,500,000 of the reads of 2017 (valid); a fifth of the human reads. The others of Klebsiella's and
# of the E. coli reads of 2017 are only in the last two networks.
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
SIZES = ("hac", "fast")
ECOLI = REAL / "references/ecoli_K12_MG1655.fna.gz"
KLEBSIELLA = REAL / "references/klebsiella_MGH78578.fna.gz"
# regions of the held-out reads to which stay score and Q-scores are fitted
CALIBRATED = ["NC_000913.3:3000000-3500000", "Lambda_NEB:12000-14500"]

# labelled reads: files, options of `biorrn prepare signal`; the model is a network of above
WALKED = "--labels bootstrap --min-identity 0.77 --min-coverage 0.5"
LABELLED = {
    "lambda": ("lambda_r941/fast5", "--labels events --split reference:Lambda_NEB:0-12000=test,Lambda_NEB:12000-14500=valid"),
    "human": ("human_r941/reads.blow5", f"--labels bam --bam '{REAL}/human_r941/guppy_sup.bam' --lead 3"
              f" --moves '{REAL}/human_r941/guppy_sup.moves.paf' --split random:0.8,0,0.2"),
    "multi": ("formats/fast5/multi_fast5_zip.fast5", "--labels calls --split random:1,0,0"),
    "prom": ("promethion_r941/reads.fast5", "--labels calls --split random:1,0,0"),
    "ecoli": ("ecoli_r94", f"{WALKED} --reference '{ECOLI}' --split reference:NC_000913.3:510000-535000=test"),
    "ecoli2017": ("ecoli_r94_nanoreviser", f"{WALKED} --reference '{ECOLI}'"
                  " --split reference:NC_000913.3:510000-535000=test,NC_000913.3:3000000-3500000=valid"),
    "klebsiella": ("klebsiella_r941", f"{WALKED} --reference '{KLEBSIELLA}' --split reference:NC_009648.1:0-530000=valid"),
}  # fmt: skip
ALONE = ("lambda", "human")  # whose labels need no model

# sampling weights of the mixtures, by file; a number after a name is that of the network that placed its labels
MIXED = {
    "1": {"lambda": 0.2, "walks1": 0.8},
    "2": {"lambda": 0.15, "walks1": 0.3, "ecoli1": 0.35, "multi1": 0.1, "prom1": 0.05, "human": 0.05},
    # by the sequence that a source adds; the walks keep a wide network from learning the sequences by heart
    "last": {"lambda": 0.09, "walks2": 0.3, "klebsiella2": 0.25, "ecoli20172": 0.18, "ecoli2": 0.06, "multi2": 0.03,
             "prom2": 0.04, "human": 0.05},
}  # fmt: skip
WALKS = {  # joined files, options
    "1": (["lambda"], "--samples 15000000"),
    "2": (
        ["lambda", "klebsiella2", "ecoli20172", "ecoli2", "multi2", "prom2", "human"],
        "--samples 80000000 --rounds 2 --run 3 --seed 7",
    ),
}
WIDE = "--set model.core.hidden=256 --set model.frontend.layers.2.width=256"
# against learning the reads by heart, for the wide network
DROPOUT = "--set model.core.dropout=0.1 --set model.locked_dropout=true --set training.weight_decay=0.05"
# as short reads are normalised, at more speeds and with more noise than those of the recipe
HARD = " ".join(
    f"--set training.augment.{key}={value}"
    for key, value in {
        "scale": 0.1,
        "shift": 0.15,
        "noise": 0.2,
        "stretch": 0.15,
    }.items()
)
# mixture, network that it starts from, one that it learns from, epochs of 4,096 windows of 2,000 samples, options
TRAINED = {
    "1": ("1", None, None, 20, ""),
    "2": ("2", "1", None, 120, ""),
    "hac": ("last", "2", None, 150, f"--set name=hac {WIDE} {HARD} {DROPOUT}"),
    "fast": ("last", "2", "hac", 120, f"{HARD} --set training.lr=2e-3"),
}


wildcard_constraints:
    network="1|2|hac|fast",
    number="[12]",
    source="|".join(LABELLED),
    alone="|".join(ALONE),
    size="|".join(SIZES),
    mixture="1|2|last",


rule all:
    input:
        expand(f"{OUT}/dna_r9.4.1_{{size}}/weights.safetensors", size=SIZES),


rule labelled:
    # known sequences, aligned to the signal by a network
    input:
        f"{OUT}/network{{number}}/weights.safetensors",
    output:
        f"{OUT}/{{source}}{{number}}.h5",
    log:
        f"{OUT}/logs/{{source}}{{number}}.log",
    params:
        model=f"{OUT}/network{{number}}",
        reads=lambda wildcards: REAL / LABELLED[wildcards.source][0],
        options=lambda wildcards: LABELLED[wildcards.source][1],
    shell:
        "biorrn prepare signal {params.reads:q} --model {params.model:q} {params.options}"
        " --threads 1 -o {output:q} > {log:q} 2>&1"


rule events:
    output:
        f"{OUT}/{{alone}}.h5",
    log:
        f"{OUT}/logs/{{alone}}.log",
    params:
        reads=lambda wildcards: REAL / LABELLED[wildcards.alone][0],
        options=lambda wildcards: LABELLED[wildcards.alone][1],
    shell:
        "biorrn prepare signal {params.reads:q} {params.options} -o {output:q} > {log:q} 2>&1"


rule walks:
    input:
        lambda wildcards: [f"{OUT}/{name}.h5" for name in WALKS[wildcards.number][0]],
    output:
        joined=temp(f"{OUT}/joined{{number}}.h5"),
        walks=f"{OUT}/walks{{number}}.h5",
    log:
        f"{OUT}/logs/walks{{number}}.log",
    params:
        options=lambda wildcards: WALKS[wildcards.number][1],
    shell:
        "(biorrn prepare mix {input:q} -o {output.joined:q}"
        " && biorrn prepare recombine {output.joined:q} {params.options} -o {output.walks:q}) > {log:q} 2>&1"


rule mix:
    input:
        lambda wildcards: [f"{OUT}/{name}.h5" for name in MIXED[wildcards.mixture]],
    output:
        f"{OUT}/mix_{{mixture}}.h5",
    log:
        f"{OUT}/logs/mix_{{mixture}}.log",
    params:
        shares=lambda wildcards: [
            f"{OUT}/{name}.h5={share}"
            for name, share in MIXED[wildcards.mixture].items()
        ],
    shell:
        "biorrn prepare mix {params.shares:q} -o {output:q} > {log:q} 2>&1"


def needed(network):
    mixture, *models = TRAINED[network][:3]
    return [
        f"{OUT}/mix_{mixture}.h5",
        *(f"{OUT}/network{name}/weights.safetensors" for name in models if name),
    ]


def options_of(network):
    _, before, teacher, epochs, options = TRAINED[network]
    found = f"--set training.epochs={epochs} {options}"
    found += f" --init '{OUT}/network{before}'" if before else ""
    return found + (
        f" --set 'training.teacher={OUT}/network{teacher}'" if teacher else ""
    )


rule train:
    input:
        lambda wildcards: needed(wildcards.network),
    output:
        f"{OUT}/network{{network}}/weights.safetensors",
    log:
        f"{OUT}/logs/train_{{network}}.log",
    threads: 2
    params:
        folder=f"{OUT}/network{{network}}",
        options=lambda wildcards: options_of(wildcards.network),
    shell:
        "biorrn train fast {input[0]:q} -o {params.folder:q} --threads {threads} --processes {threads} {params.options}"
        " >> {log:q} 2>&1"


rule calibrate:
    input:
        f"{OUT}/network{{size}}/weights.safetensors",
    output:
        f"{OUT}/dna_r9.4.1_{{size}}/weights.safetensors",
    log:
        f"{OUT}/logs/calibrate_{{size}}.log",
    threads: 2
    params:
        network=f"{OUT}/network{{size}}",
        folder=f"{OUT}/dna_r9.4.1_{{size}}",
        known=f"{OUT}/dna_r9.4.1_{{size}}/known.fasta",
        genomes=[ECOLI, REAL / "lambda_r941/reference.fasta"],
        reads=[REAL / "ecoli_r94_nanoreviser", REAL / "lambda_r941/fast5"],
        unlike=[REAL / "r1041_remora", REAL / "sequin_rna002"],
        regions=[f"--region {region}" for region in CALIBRATED],
    shell:
        "(cp {params.network:q}/weights.safetensors {params.network:q}/recipe.yaml {params.folder:q}/"
        " && gzip -dcf {params.genomes:q} > {params.known:q}"
        " && biorrn evaluate calibrate {params.folder:q} {params.reads:q} --blank --reference {params.known:q} {params.regions}"
        " --unlike {params.unlike[0]:q} --unlike {params.unlike[1]:q} --threads {threads}) > {log:q} 2>&1"
