"""Training of networks, ensembles, Gaussian processes and forests, for any task.

alarms : training warnings: diverging, exploding, vanishing or stalled training.
batches : protein data sets and their batches.
checkpoint : run folders: checkpoints, resuming, history, warnings, provenance.
ensemble : members in processes, then weights, neighbours and calibration.
forest : fit of a forest.
gaussian : fit of a Gaussian process.
learner : Lightning module: loss, optimiser, learning rate, clipping, validation, history.
loop : training loop of a network: run, precision, trainer, callbacks.
parallel : a batch split over processes, and over threads.
processes : launch, ranks and collective operations of several processes.
residue_profile : program that trains the network of `nn.residue_profile`.
runs : reader of run folders.
task : interfaces `Task` and `Data`, and the table `TASKS`.
train : `train` for any recipe, and the program of an ensemble's member.
"""
