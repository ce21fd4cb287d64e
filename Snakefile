# Entry point: `snakemake` in the project's root runs the workflow with profiles/default. The rules are in workflow/.
# else the runs of that file would be merged into those of --configfile
if not workflow.overwrite_configfiles:

    configfile: "config/config.yaml"


module biorrn:
    snakefile:
        "workflow/Snakefile"
    config:
        config


use rule * from biorrn
