"""Shared by the rules for samples and basecalling: the sample sheet, models, and shards of reads."""

from dataclasses import replace
from importlib import resources as package

from biorrn.config.samples import read_samples
from biorrn.nanopore.readers.files import count_shards, list_files

STEPS = ("qc", "map")  # default of key steps
SHARD_GB = 4
SMALL = 10_000  # bytes of a protein file that gets one thread
SHIPPED = package.files("biorrn.pretrained")


def load_samples(path):
    """Return the samples of the sheet by name."""
    if not path:
        return {}
    try:
        tasks = {name: run["task"] for name, run in RUNS.items()}
        samples = {sample.name: sample for sample in read_samples(path, RUNS, tasks)}
        known = {entry.name: None for entry in SHIPPED.iterdir() if entry.is_dir()}
        for name, sample in samples.items():
            if sample.model not in known | RUNS and not Path(sample.model).is_dir():
                # takes a third of a second
                from biorrn.nn.store import own_models, short_names

                own = short_names() | own_models()
                what = f"{path}: sample '{name}': model"
                folder = lookup(known | RUNS | own, sample.model, what)
                samples[name] = replace(sample, model=str(folder))
            if sample.kit:
                check_barcodes(f"{path}: sample '{name}'", sample)
    except BiorrnError as error:
        raise WorkflowError(f"sample sheet: {error}") from None
    return samples


def check_barcodes(what, sample):
    """Raise where reads cannot be sorted by the kit or the aliases of a sample: before hours of calling, not after."""
    from biorrn.nanopore.reads.demux import Demultiplexer, read_sheet
    from biorrn.nanopore.reads.kits import find_kit

    try:
        kit = find_kit(sample.kit)
        Demultiplexer(kit)
        # Snakemake names one that is missing
        if sample.aliases and Path(sample.aliases).is_file():
            read_sheet(sample.aliases, kit)
    except BiorrnError as error:
        raise WorkflowError(f"sample sheet: {what}: {error}") from None


def model_files(model):
    """Return the files of a model as inputs of a job; none for a shipped model."""
    folder = f"{OUT}/runs/{model}" if model in RUNS else model
    if is_foreign(model):
        return sorted(str(file) for file in Path(folder).iterdir() if file.is_file())
    if model in RUNS or Path(folder).is_dir():
        return [f"{folder}/weights.safetensors", f"{folder}/recipe.yaml"]
    return []


def is_foreign(model):
    """Return whether a model is a folder of Dorado or Bonito."""
    folder = Path(model)
    own = model not in RUNS and not (folder / "weights.safetensors").is_file()
    return own and (folder / "config.toml").is_file()


def folder_of(files):
    """Return the folder of the files of a model, as staged for a job; None for a shipped model."""
    return str(Path(files[0]).parent) if files else None


def samples_of(kind):
    """Return the names of the samples of a kind."""
    return [name for name, sample in SAMPLES.items() if sample.kind == kind]


def model_of(sample):
    """Return the model of a sample: a run, a shipped model or a folder."""
    return SAMPLES[sample].model


def task_of(sample):
    """Return the task of the model of a sample."""
    model = model_of(sample)
    if model in RUNS:
        return RUNS[model]["task"]
    if is_foreign(model):
        return "basecalling"
    folder = Path(model) if Path(model).is_dir() else SHIPPED / model
    recipe = folder / "recipe.yaml"
    return yaml.safe_load(recipe.read_text()).get("task") if recipe.is_file() else None


def proteins_of(task):
    """Return the names of the protein samples with a tagging model, or with a model of another task."""
    tags = task == "tagging"
    return [
        name for name in samples_of("protein") if (task_of(name) == "tagging") == tags
    ]


def sample_threads(wildcards):
    """Return the threads of a protein sample: one for a small file, where start-up dominates."""
    path = Path(SAMPLES[wildcards.sample].input[0])
    return 1 if path.is_file() and path.stat().st_size < SMALL else 2


def predicted_samples():
    """Return the prediction or scan table of each protein sample, by name."""
    tables = {name: f"{OUT}/predictions/{name}.tsv" for name in samples_of("protein")}
    tables |= {name: f"{OUT}/scans/{name}.tsv" for name in samples_of("scan")}
    return tables


def applied_models(files):
    """Return the model argument of each protein sample: a folder, or the name of a shipped model.

    `files`: the `model_files` of all samples, in order, as staged for a job.
    """
    found, left = [], list(files)
    for name in predicted_samples():
        count = len(model_files(model_of(name)))
        found.append(folder_of(left[:count]) or model_of(name))
        left = left[count:]
    return found


def find_calls():
    """Return the basecalling jobs by name: inputs, model, device and number of shards.

    One for the reads of each basecalling run, with its model, and one for each signal sample of the sheet.
    """
    calls = {}
    for name in runs_of("basecalling"):
        run = RUNS[name]
        calls[name] = {**run, "input": DATA[run["data"]]["reads"], "model": name}
    for name in samples_of("signal"):
        sample = SAMPLES[name]
        calls[name] = {"input": list(sample.input), "model": sample.model}
        calls[name]["device"] = config.get("device")
        calls[name]["force"] = config.get("force")
        calls[name]["kit"] = sample.kit
        if sample.shards:
            calls[name]["shards"] = sample.shards
    for call in calls.values():
        call.setdefault("shards", config.get("shards") or "auto")
        if call["shards"] == "auto":
            # folders are searched only here: with a given number of shards, huge archives are not searched
            gigabytes = config.get("shard_gb") or SHARD_GB
            call["shards"] = count_shards(list_files(call["input"]), gigabytes * 1e9)
    return calls


def calls_in(many):
    """Return the names of basecalling jobs with several shards, or with one."""
    return [name for name, call in CALLS.items() if (call["shards"] > 1) == many]


def shards_of(pattern):
    """Return an input function: the file of each shard of a call, in order."""

    def files(wildcards):
        count = CALLS[wildcards.call]["shards"]
        return [
            pattern.format(call=wildcards.call, shard=f"{number}-of-{count}")
            for number in range(1, count + 1)
        ]

    return files


def gpus(entry):
    """Return the number of GPUs of a job: one if its device is cuda, not if it is auto."""
    return int(str(entry.get("device") or "").startswith("cuda"))


def processes(run):
    """Return the number of training processes of a run."""
    return RUNS[run].get("processes", 1)


def training_threads(run):
    """Return the threads of a training, over all its processes."""
    return RUNS[run].get("threads", max(2, processes(run)))


def more_memory(mem_mb):
    """Return a resource function: this memory, multiplied by the attempt."""
    return lambda wildcards, attempt: mem_mb * attempt


def step_outputs(step, pattern, names):
    """Return the file of each name if the step is requested."""
    steps = config.get("steps")
    wanted = step in (STEPS if steps is None else steps)
    return [f"{OUT}/{pattern}".format(name=name) for name in names] if wanted else []


def mapped_samples():
    """Return the names of the samples that have a reference."""
    return [name for name in samples_of("signal") if SAMPLES[name].reference]


def barcoded_samples():
    """Return the names of the samples with a kit of barcodes."""
    return [name for name in samples_of("signal") if SAMPLES[name].kit]


def sample_outputs():
    """Return the outputs of the sample sheet, besides the report."""
    return [
        *predicted_samples().values(),
        *expand(f"{OUT}/basecalls/{{name}}.fastq.gz", name=samples_of("signal")),
        *expand(f"{OUT}/demux/{{name}}", name=barcoded_samples()),
        *step_outputs("map", "mapped/{name}.bam", mapped_samples()),
        *step_outputs(
            "assemble", "assembly/{name}/contigs.fasta", samples_of("signal")
        ),
    ]


def aliases_of(name):
    """Return the table of aliases of a sample as an input; [] without one, and for runs."""
    return (SAMPLES[name].aliases if name in SAMPLES else None) or []


def note_of(name):
    """Return the option --note with the note of a sample, if it has one; runs have none."""
    note = SAMPLES[name].note if name in SAMPLES else ""
    return ["--note", note] if note else []


SAMPLES = load_samples(config.get("samples"))
CALLS = find_calls()
