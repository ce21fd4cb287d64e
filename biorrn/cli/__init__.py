"""The command line: one file per subcommand. Options and calls are here, no computation.

main             the command `biorrn`: table of subcommands, errors and exit codes
options          options shared by several commands
outputs          checks of output paths; writing of evaluations
prepare/         biorrn prepare: protein, signal, tags, pairs, pore-model, ...
evaluate/        biorrn evaluate: regression, classification, basecalls, tagging, language, translation, ...
experiments      biorrn experiments: cells, gradient-flow
models           biorrn models; with activations, and embedding and states in embed
predict scan explain basecall generate translate                    use a model
train train_table calibrate rerun                                   train a model
reads simulate merge qc map assemble                                handle reads
report                                                              the HTML report
"""
