"""Neural networks, Gaussian processes and forests, which know no domain, and their model folders.

attention : multi-head self-attention core, and the pool `multihead`.
batch : padded batches with lengths, masks, alignment of rows to a reference.
beam_search : greedy and beam search over a decoder.
cells : recurrent cells (`CELLS`) and the recurrent core; says where a new cell is added.
cells_reference : the equations of every cell (`REFERENCES`), for reading and for tests.
convolutions : residual, separable and dilated convolution blocks.
decoder : recurrent decoder with attention (`ATTENTIONS`).
engine : CPU inference engine for property models.
ensemble : weighted mean of several models, neighbouring training rows, calibration.
facts : facts of a model beside its weights, and their checks.
forest : extremely randomised trees on substitutions.
chunks : overlapping chunks of long inputs.
forward : batched inference by torch: devices, padding, memory limits.
frontends : tokens or signal to features (`FRONTENDS`).
gaussian : Gaussian processes: `kernels`, `substitutions`, `proteins` and the `model` (`KERNELS`).
gradients : integrated gradients of a regression model.
heads : pools and heads (`POOLS`, `HEADS`).
layout : names and shapes of the tensors of a stored network, for kernels that need no torch module.
neighbours : correction by the nearest training rows.
residue_profile : secondary structure and disorder of residues, as features of proteins.
sequence : SequenceModel, its builder, its size limit, and language models run one symbol at a time.
store : model folders: save, load, check, describe; torch only where a module is asked for.
windows : records read ahead, sorted into batches, run on threads, and given back in order.
"""
