# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Powers of the graph
#
# The other theory of why multi-token prediction helps planning (arXiv:2509.23186): a model that predicts the token
# after the next through a transfer matrix has to learn, in that matrix, which token follows which, and so the
# adjacency matrix A of the graph that it walks in; a matrix for the token after that would hold A², and so on. Here
# one graph is fixed, the model walks in it, and the question is put to its weights: which power does each matrix
# hold, how well, and is that more than chance?

# %%
import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

from circuits.one_layer.counts import counts
from circuits.one_layer.losses import losses, objective
from circuits.one_layer.parameters import Options, random
from circuits.one_layer.training import train_full_batch
from circuits.plotting import NullBand, matrix_panels, power_bars
from circuits.probes.adjacency.find import find_powers, verdict
from circuits.probes.adjacency.references import graph_references
from circuits.tasks import (
    adjacency,
    degrees,
    format_walk,
    observe,
    random_dag,
    split_pairs,
    training_walks,
    walk_format,
)

# %% [markdown]
# ## Walks
#
# A line is `source target source a b ... target`. Every edge is a line of its own; a tenth of the other reachable
# pairs, and the pairs of the edges, have 20 random walks each. A test pair's degree says how far its source is from
# what training showed: 0 if some walk to that target came through the source, 1 if a neighbour is such a node, ...

# %%
graph = random_dag(60, 0.1, seed=0)
form = walk_format(graph)
pairs = split_pairs(graph, train_share=0.1, seed=0)
lines = training_walks(form, graph, pairs, paths_per_pair=20, seed=0)
seen = observe(form, lines)
print(len(lines), "lines,", graph.number_of_edges(), "edges,", len(pairs.test), "test pairs")
print("pairs by degree:", np.bincount(degrees(graph, seen, pairs.test), minlength=4))
print(format_walk([node for node in lines[-1, 2:].tolist() if node < form.nodes]))

# %% [markdown]
# ## The model of the theory
#
# With current token i and target j, the logits of step 1 are x₁ = W^M[i] + W^V[j], and those of step n are x₁, with
# the next token injected, times W^T. The loss depends on the lines only through counts, so its exact gradient over
# all of them is a few products of matrices; written out by hand, it is that of automatic differentiation.

# %%
options = Options(injection=True)
data = counts(lines, form.vocab_size, steps=4, pad=form.pad_token)
start = random(jax.random.key(0), form.vocab_size, steps=4)
by_hand = objective(start, data, options, jnp.ones(4)).gradient
by_machine = jax.grad(lambda p: losses(p, data, options).sum())(start)
gaps = [float(abs(a - b).max()) for a, b in zip(by_hand, by_machine, strict=True)]
print("largest gap:", max(gaps))
assert max(gaps) < 1e-14

# %%
adam = optax.adam(optax.cosine_decay_schedule(0.05, 300))
trained = train_full_batch(data, start, options, (1.0,) * 4, 300, adam)
print("losses of steps 1 to 4, first and last:", trained.losses[0].round(2), trained.losses[-1].round(2))
matrices = np.asarray(trained.parameters.transfers)[:, : form.nodes, : form.nodes]

# %%
edges = adjacency(graph).astype(float)
powers = [(f"A^{k}", np.linalg.matrix_power(edges, k)) for k in (1, 2, 3)]
matrix_panels([(f"step {n}", matrix) for n, matrix in enumerate(matrices, start=2)], powers)

# %% [markdown]
# ## Which power, and is it more than chance?
#
# Logits do not know a constant added to a row, so rows are centred and the cosine with each power is taken. It is
# compared with graphs whose nodes are renamed, with graphs rewired so that every node keeps its degrees (a matrix
# that knows only which nodes are popular passes the first and not the second), and with untrained weights. The power
# of the matrix of step n is n - 1, for step 1 comes straight from the backbone.

# %%
given = graph_references(graph, powers=4)
fresh = np.stack([np.asarray(random(jax.random.key(1 + s), form.vocab_size, 4).transfers) for s in range(39)])
found = find_powers(matrices, given, fresh=fresh[..., : form.nodes, : form.nodes], draws=150)
for n in range(3):
    print(f"step {n + 2}: {verdict(found, n)}, cosine {found.scores.cosine[n, found.best[n]]:.2f}")
bands = {name: NullBand(null.mean[0], null.low[0], null.high[0]) for name, null in found.nulls.items()}
power_bars([one.name for one in given], found.scores.cosine[0], (found.low[0], found.high[0]), bands, title="step 2")

# %% [markdown]
# Controls. A random matrix holds nothing; one that knows only in-degrees agrees with every power, and beats renamed
# nodes, but not rewired graphs.

# %%
noise = np.random.default_rng(0).normal(size=edges.shape)
popular = np.tile(edges.sum(axis=0), (len(edges), 1)) + 0.1 * noise
controls = find_powers(np.stack([noise, popular]), given, draws=150)
for n, name in enumerate(("random", "in-degrees")):
    p = {null: round(float(part.p[n, controls.best[n]]), 3) for null, part in controls.nulls.items()}
    print(f"{name}: {verdict(controls, n)}; p of its best power, {given[controls.best[n]].name}: {p}")
assert not controls.holds.any()

# %% [markdown]
# ## Until what noise?
#
# A planted A^k plus noise of σ times its spread has cosine 1/√(1 + σ²) with A^k. The nulls reach about 2/N.

# %%
spreads = np.array([0.0, 2, 8, 16, 32])
rng = np.random.default_rng(1)
centred = [m - m.mean(axis=1, keepdims=True) for m in (np.linalg.matrix_power(edges, k) for k in (1, 2, 3, 4))]
planted = np.stack([m + s * m.std() * rng.normal(size=m.shape) for m in centred for s in spreads])
figure, ax = plt.subplots(figsize=(5.5, 3.4))
for k in range(4):
    mine = slice(k * len(spreads), (k + 1) * len(spreads))
    each = [find_powers(matrix[None], given, draws=59) for matrix in planted[mine]]
    own = [i for i, one in enumerate(given) if one.power == k + 1]
    ax.plot(spreads, [max(one.scores.cosine[0, own]) for one in each], label=f"A^{k + 1}")
    print(f"A^{k + 1}:", [verdict(one, 0) for one in each])
ax.plot(spreads, 1 / np.sqrt(1 + spreads**2), "k:", label="1/√(1 + σ²)")
ax.set(xlabel="noise σ", ylabel="cosine", xscale="symlog")
ax.legend()

# %% [markdown]
# ## A standard transformer
#
# One layer, one head, width 120, trained on a graph of 100 nodes with a transfer layer that is given the next token.
# `circuits probe adjacency checkpoints/dag-injection --out DIR` asks all of its matrices. Read with token embeddings as
# rows, which is what injection feeds it, the transfer matrix is A.

# %%
from pathlib import Path

from circuits.probes.adjacency.sources import layer_maps, ov_circuits, transfer_matrices
from circuits.training.stored import read

(stored,) = read(Path("checkpoints/dag-injection"))
task, ids = stored.task, np.arange(100)
parts = [source(stored.model, ids) for source in (transfer_matrices, ov_circuits, layer_maps)]
names = [name for part in parts for name in part.names]
values = np.concatenate([np.asarray(part.values, np.float64) for part in parts])
found = find_powers(values, graph_references(task.graph, 4), draws=100)
for m, name in enumerate(names):
    print(f"{name}: {verdict(found, m)}, cosine {found.scores.cosine[m, found.best[m]]:.2f}")

# %% [markdown]
# ## Drafts
#
# The head that looks ahead can also save passes: it drafts the token after next, and the first head checks the draft
# in its next pass, so the answer is the same.

# %%
from circuits.transformer.generate import greedy
from circuits.transformer.speculative import acceptance_rates, speculative_greedy

form, prompts = task.format, jnp.asarray(task.problems("test", 200)[:, :2], jnp.int32)
count, end, pad = form.answer_length, form.end_token, form.pad_token
plain = jax.jit(jax.vmap(lambda prompt: greedy(stored.model, prompt, count, end, pad)))(prompts)
drafted = jax.jit(jax.vmap(lambda prompt: speculative_greedy(stored.model, prompt, count, end, pad)))(prompts)
assert jnp.array_equal(plain, drafted.tokens)
rates = acceptance_rates(drafted)
print(f"{rates.per_pass:.2f} tokens a forward pass, drafts accepted: {rates.conditional}")
