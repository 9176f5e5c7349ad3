"""How ops run on many samples at once: what `fovea.vmap` is made of.

Inside `vmap` a function sees `Batched` tensors, each of which stands for one sample and holds them
all, with the batch as first dimension. Such a tensor's form is its own, so the plans of ops on it
are, too (`fovea.dispatch`): a plan is the op's *rule*, which binds ops on all samples. One table
(`rules.RULES`) has a rule for each op; an op without one runs sample by sample, with a warning.

Gradients need nothing more. Within `vmap`, a `Batched` tensor may be on a tape as any tensor may,
and the ops of its gradient rules are batched in turn; around `vmap`, the ops that rules bind are
recorded as always.
"""
