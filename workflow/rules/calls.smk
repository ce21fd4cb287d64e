"""What is called and predicted besides the runs' own data: the sample sheet, and reads in shards. No rule stands here."""

from importlib import resources as package

from biorrn.config.samples import read_samples
from biorrn.nanopore.readers.files import count_shards, list_files

STEPS = ("qc", "map")  # after calling, where key steps is not set
SHARD_GB = 4
SMALL = 10_000  # bytes of a file of proteins
SHIPPED = package.files("biorrn.pretrained")


def load_samples(path):
    """Return the samples of the sheet by name; a fault is one line."""
    if not path:
        return {}
    try:
        tasks = {name: run["task"] for name, run in RUNS.items()}
        samples = {sample.name: sample for sample in read_samples(path, RUNS, tasks)}
        shipped = {entry.name: None for entry in SHIPPED.iterdir() if entry.is_dir()}
        for sample in samples.values():
            if sample.model not in RUNS and not Path(sample.model).is_dir():
                lookup(
                    shipped | RUNS,
                    sample.model,
                    f"{path}: sample '{sample.name}': model",
                )
    except BiorrnError as error:
        raise WorkflowError(f"sample sheet: {error}") from None
    return samples


def model_files(model):
    """Return the files of a model that jobs wait for: none of a shipped one."""
    folder = f"{OUT}/runs/{model}" if model in RUNS else model
    if model in RUNS or Path(folder).is_dir():
        return [f"{folder}/weights.safetensors", f"{folder}/recipe.yaml"]
    return []


def folder_of(files):
    """Return the folder of a model's files as a job has them, or None of a shipped model."""
    return str(Path(files[0]).parent) if files else None


def samples_of(kind):
    """Return the names of the samples of a kind."""
    return [name for name, sample in SAMPLES.items() if sample.kind == kind]


def model_of(sample):
    """Return the model of a sample as the sheet names it: a run, a shipped model or a folder."""
    return SAMPLES[sample].model


def task_of(sample):
    """Return the task of the model of a sample."""
    model = model_of(sample)
    if model in RUNS:
        return RUNS[model]["task"]
    folder = Path(model) if Path(model).is_dir() else SHIPPED / model
    recipe = folder / "recipe.yaml"
    return yaml.safe_load(recipe.read_text()).get("task") if recipe.is_file() else None


def proteins_of(task):
    """Return the names of the samples of proteins to which a model of a task is applied: a property, or tags."""
    tags = task == "tagging"
    return [
        name for name in samples_of("protein") if (task_of(name) == "tagging") == tags
    ]


def sample_threads(wildcards):
    """Return the threads for a sample of proteins: one for a small file, where the start of Python is all."""
    path = Path(SAMPLES[wildcards.sample].input[0])
    return 1 if path.is_file() and path.stat().st_size < SMALL else 2


def predicted_samples():
    """Return the table of each sample of proteins, by name."""
    tables = {name: f"{OUT}/predictions/{name}.tsv" for name in samples_of("protein")}
    tables |= {name: f"{OUT}/scans/{name}.tsv" for name in samples_of("scan")}
    return tables


def applied_models(files):
    """Return the model of each sample of proteins as `biorrn` takes it: its folder, or the id of a shipped one.

    `files` are those of `model_files`, of one sample after the other, as a job has them.
    """
    found, left = [], list(files)
    for name in predicted_samples():
        count = len(model_files(model_of(name)))
        found.append(folder_of(left[:count]) or model_of(name))
        left = left[count:]
    return found


def find_calls():
    """Return what is basecalled, by name: inputs, model, device and number of shards.

    These are the reads of each basecalling run, called by its model, and the flow cells of the sample sheet.
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
        if sample.shards:
            calls[name]["shards"] = sample.shards
    for call in calls.values():
        call.setdefault("shards", config.get("shards") or "auto")
        if call["shards"] == "auto":
            # the folders are walked only here, so that a number spares an archive of millions of files the walk
            gigabytes = config.get("shard_gb") or SHARD_GB
            call["shards"] = count_shards(list_files(call["input"]), gigabytes * 1e9)
    return calls


def calls_in(many):
    """Return the names of what is basecalled in one job, or in many."""
    return [name for name, call in CALLS.items() if (call["shards"] > 1) == many]


def shards_of(pattern):
    """Return a function of wildcards: the file of each shard of a call, in order."""

    def files(wildcards):
        count = CALLS[wildcards.call]["shards"]
        return [
            pattern.format(call=wildcards.call, shard=f"{number}-of-{count}")
            for number in range(1, count + 1)
        ]

    return files


def gpus(entry):
    """Return how many GPUs a job asks for: one where its device is named so; nobody waits for one unasked."""
    return int(str(entry.get("device") or "").startswith("cuda"))


def processes(run):
    """Return on how many processes a run is trained."""
    return RUNS[run].get("processes", 1)


def training_threads(run):
    """Return the threads of a training, of all its processes together."""
    return RUNS[run].get("threads", max(2, processes(run)))


def more_memory(mem_mb):
    """Return a function that asks for this much memory, and at each retry as much again."""
    return lambda wildcards, attempt: mem_mb * attempt


def step_outputs(step, pattern, names):
    """Return a file for each of the names, where the step is asked for."""
    steps = config.get("steps")
    wanted = step in (STEPS if steps is None else steps)
    return [f"{OUT}/{pattern}".format(name=name) for name in names] if wanted else []


def mapped_samples():
    """Return the names of the samples that have a reference."""
    return [name for name in samples_of("signal") if SAMPLES[name].reference]


def sample_outputs():
    """Return what the sample sheet asks for, beside the report."""
    return [
        *predicted_samples().values(),
        *expand(f"{OUT}/basecalls/{{name}}.fastq.gz", name=samples_of("signal")),
        *step_outputs("map", "mapped/{name}.bam", mapped_samples()),
        *step_outputs(
            "assemble", "assembly/{name}/contigs.fasta", samples_of("signal")
        ),
    ]


def note_of(name):
    """Return the option that gives the note of a sample's line, where it has one; runs have none."""
    note = SAMPLES[name].note if name in SAMPLES else ""
    return ["--note", note] if note else []


SAMPLES = load_samples(config.get("samples"))
CALLS = find_calls()
