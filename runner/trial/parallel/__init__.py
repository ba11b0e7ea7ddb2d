"""One trial on several devices: a process for each, of which the worker leads.

Every process, a rank, makes the same batches and takes its share of each. What it computes of it
is added up over all ranks before the optimiser's step, which all of them then take alike. Rank 0
is the worker: it alone evaluates, writes checkpoints and speaks to the study.

Gradients are added by a plain all-reduce and not by torch's DistributedDataParallel: that wants
to be the forward call itself, a fixed set of trained parameters and a backward pass on every rank,
while here the forward pass may be the end of a cut model or a compiled graph, layers thaw, and a
short batch may leave a rank without an example.
"""
