# The workflow from the project's root: `snakemake` runs it with profiles/default. The rules are in workflow/.
configfile: "config/config.yaml"


module biorrn:
    snakefile:
        "workflow/Snakefile"
    config:
        config


use rule * from biorrn
