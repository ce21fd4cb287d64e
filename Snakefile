# Entry point: `snakemake` in the project's root runs the workflow with profiles/default. The rules are in workflow/.
configfile: "config/config.yaml"


module biorrn:
    snakefile:
        "workflow/Snakefile"
    config:
        config


use rule * from biorrn
