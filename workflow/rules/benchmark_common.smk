"""Shared by the rules of the protein benchmark: its settings, and functions of them."""


def load_benchmark(path):
    """Return the requested sets by name, their numbers of seeds, and the baselines."""
    with open(workflow.source_path(path)) as stream:
        settings = yaml.safe_load(stream)
    asked = config.get("benchmark_sets") or list(settings["sets"])
    try:
        # sets keep the order of the settings
        for name in asked:
            lookup(settings["sets"], name, "benchmark_sets: set")
    except BiorrnError as error:
        raise WorkflowError(f"configuration: {error}") from None
    sets = {name: entry for name, entry in settings["sets"].items() if name in asked}
    for entry in sets.values():
        entry["sources"] = [f"{{real_data}}/{source}" for source in entry["sources"]]
    wanted = config.get("benchmark_seeds") or settings["seeds"]
    seeds = {
        name: wanted if entry.get("chance", True) else 1 for name, entry in sets.items()
    }
    return sets, seeds, config.get("benchmark_baselines") or settings["baselines"]


def benchmark_files(wildcards):
    """Return the files of a set; for a member of an archive, the archive."""
    sources = place_real_data(SETS[wildcards.set]["sources"])
    return [source.partition("!")[0] for source in sources]


def benchmark_rows(wildcards, suffix):
    """Return a file of the rows of a set, per seed if rows are held out at random."""
    entry = SETS[wildcards.set]
    rows = wildcards.seed if "hold_out" in entry else "given"
    return f"{BENCHMARK}/data/{wildcards.set}.{rows}.{suffix}"


def benchmark_baselines(wildcards):
    """Return the baselines of a seed. With a given split all seeds have the same rows, so only the first has baselines."""
    fitted = wildcards.seed == "0" or "hold_out" in SETS[wildcards.set]
    return BASELINES if fitted else "none"


def benchmark_outputs(pattern):
    """Return the file of each set and seed, sorted by set."""
    return [
        f"{BENCHMARK}/{pattern}".format(set=name, seed=seed)
        for name in SETS
        for seed in range(SEEDS[name])
    ]
