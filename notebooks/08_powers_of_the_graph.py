# ---
# jupyter:
#   jupytext:
#     notebook_metadata_filter: -jupytext.text_representation.jupytext_version
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Powers of the graph
#
# **Does a model that predicts the token after next learn the graph in its transfer matrix?** That is another theory of
# why multi-token prediction helps planning (arXiv:2509.23186): the matrix has to hold which token follows which, and so
# the adjacency matrix A of the graph; a matrix for the token after that would hold A², and so on. The answer: the
# matrix of step 2 holds A, that of step 3 holds the support of A², both beyond every null hypothesis; about step 4 the
# test says nothing. A standard transformer with a transfer layer holds A too.
#
# Here one graph is fixed and models walk in it. Steps of prediction count
# from 1, as in the paper: step 1 predicts the next token.

# %%
import jax
import jax.numpy as jnp
import numpy as np
import optax

from circuits import load_model, one_layer, plotting, probes, tasks, transformer

jax.config.update("jax_enable_x64", True)

# %% [markdown]
# ## What do models walk in?
#
# A line is `source target source a b ... target`. Every edge is a line of its own; a tenth of the other reachable
# pairs, and the pairs of the edges, have 20 random walks each. A test pair's degree says how far its source is from
# what training showed: 0 if some walk to that target came through the source, 1 if a neighbour is such a node, ...

# %%
graph = tasks.random_dag(60, 0.1, seed=0)
walk_format = tasks.walk_format(graph)
pairs = tasks.split_pairs(graph, train_share=0.1, seed=0)
lines = tasks.training_walks(walk_format, graph, pairs, paths_per_pair=20, seed=0)
degrees = tasks.degrees(graph, tasks.observe(walk_format, lines), pairs.test)
print(len(lines), "lines,", graph.number_of_edges(), "edges,", len(pairs.test), "test pairs")
print("pairs by degree:", np.bincount(degrees, minlength=4))
print(tasks.format_walk([node for node in lines[-1, 2:].tolist() if node < walk_format.nodes]))

# %% [markdown]
# Most test pairs are close to what training showed.
#
# ## Is the gradient by hand the gradient?
#
# In the theory's model, with current token i and target j, the logits of step 1 are x₁ = W^M[i] + W^V[j], and those of
# step n are x₁, with the next token injected, times W^T. The loss depends on the lines only through counts, so its
# exact gradient over all of them is a few products of matrices.

# %%
vocab, options = walk_format.vocab_size, one_layer.Options(injection=True)
data = one_layer.count_contexts(lines, vocab, steps=4, pad=walk_format.pad_token)
start = one_layer.random(jax.random.key(0), vocab, steps=4)
by_hand = one_layer.objective(start, data, options, jnp.ones(4)).gradient
by_autodiff = jax.jit(jax.grad(lambda p: one_layer.step_losses(p, data, options).sum()))(start)
gaps = [float(abs(a - b).max()) for a, b in zip(by_hand, by_autodiff, strict=True)]
print(f"largest gap: {max(gaps):.1e}")
assert max(gaps) < 1e-14

# %% [markdown]
# The gradient by hand is that of automatic differentiation.
#
# ## What do trained transfer matrices look like?
#
# We train the model on all lines at once, and draw its matrices above the powers of the graph.

# %%
adam = optax.adam(optax.cosine_decay_schedule(0.05, 300))
trained = one_layer.train_full_batch(data, start, options, (1.0,) * 4, 300, adam)
print("losses of steps 1 to 4, first and last:", trained.losses[0].round(2), trained.losses[-1].round(2))
nodes = slice(walk_format.nodes)
matrices = np.asarray(trained.parameters.transfers)[:, nodes, nodes]

edges = tasks.adjacency(graph).astype(float)
powers = [(f"A^{k}", np.linalg.matrix_power(edges, k)) for k in (1, 2, 3)]
plotting.matrix_panels([(f"step {n}", matrix) for n, matrix in enumerate(matrices, start=2)], powers)

# %% [markdown]
# The matrix of step 2 resembles A, and those of the later steps resemble A² and A³ less and less.
#
# ## Which power, and is it more than chance?
#
# A constant added to a row of logits changes nothing, so rows are centred before we take the cosine with each power. It
# is compared with graphs whose nodes are renamed, with graphs rewired so that every node keeps its degrees (a matrix
# that knows only which nodes are popular beats the first but not the second), and with untrained weights.

# %%
references = probes.graph_references(graph, powers=4)
keys = jax.vmap(jax.random.key)(jnp.arange(1, 40))
fresh = jax.jit(jax.vmap(lambda key: one_layer.random(key, vocab, 4).transfers))(keys)
found = probes.find_powers(matrices, references, fresh=np.asarray(fresh)[..., nodes, nodes], draws=150)
for n in range(3):
    print(f"step {n + 2}: {probes.verdict(found, n)}, cosine {found.scores.cosine[n, found.best[n]]:.2f}")
assert [probes.verdict(found, n) for n in (0, 1)] == ["holds A", "holds A^2 support"]
bands = {name: plotting.NullBand(null.mean[0], null.low[0], null.high[0]) for name, null in found.nulls.items()}
names = [reference.name for reference in references]
plotting.power_bars(names, found.scores.cosine[0], (found.low[0], found.high[0]), bands, title="step 2")

# %% [markdown]
# Step 2 holds A, and step 3 the support of A² (which nodes two edges lead to), as the theory says, since step 1 comes
# straight from the backbone. What step 4 holds is undecided.
#
# ## Does the test reject what it should?
#
# A random matrix holds nothing. One that knows only in-degrees agrees with every power and beats renamed nodes.

# %%
noise = np.random.default_rng(0).normal(size=edges.shape)
popular = np.tile(edges.sum(axis=0), (len(edges), 1)) + 0.1 * noise
controls = probes.find_powers(np.stack([noise, popular]), references, draws=150)
for n, name in enumerate(("random", "in-degrees")):
    best = controls.best[n]
    p = {null: round(float(part.p[n, best]), 3) for null, part in controls.nulls.items()}
    print(f"{name}: {probes.verdict(controls, n)}; p of its best power, {names[best]}: {p}")
assert not controls.holds.any()

# %% [markdown]
# Neither counts as holding a power: the second does not beat rewired graphs.
#
# ## How much noise does the test bear?
#
# A planted A^k plus noise of σ times its spread has cosine 1/√(1 + σ²) with A^k.

# %%
spreads = np.array([0.0, 2, 8, 32])
rng = np.random.default_rng(1)
curves = []
for k in (1, 2, 3, 4):
    power = np.linalg.matrix_power(edges, k)
    centred = power - power.mean(axis=1, keepdims=True)
    planted = centred + spreads[:, None, None] * centred.std() * rng.normal(size=(len(spreads), *edges.shape))
    tests = [probes.find_powers(matrix[None], references, draws=59) for matrix in planted]
    own = [i for i, reference in enumerate(references) if reference.power == k]
    curves.append(plotting.Line(f"A^{k}", spreads, [test.scores.cosine[0, own].max() for test in tests], k - 1))
    print(f"A^{k}:", [probes.verdict(test, 0) for test in tests])
curves.append(plotting.Line("1/√(1 + σ²)", spreads, 1 / np.sqrt(1 + spreads**2), 6, "reference"))
plotting.line_panels([plotting.LinePanel("Planted powers", "cosine", curves)], "noise σ", log_x=False)

# %% [markdown]
# Powers are found as long as the cosine exceeds about 2/N, which the null hypotheses reach.
#
# ## Is it the same in a standard transformer?
#
# One layer, one head, width 120, trained on a graph of 100 nodes with a transfer layer that is given the next token.
# `circuits probe adjacency dag-injection --out DIR` examines all of its matrices.

# %%
loaded = load_model("dag-injection")
sources = (probes.transfer_matrices, probes.ov_circuits, probes.layer_maps)
parts = [source(loaded.model, np.arange(100)) for source in sources]
values = np.concatenate([np.asarray(part.values, np.float64) for part in parts])
found = probes.find_powers(values, probes.graph_references(loaded.task.graph, 4), draws=100)
for m, name in enumerate(name for part in parts for name in part.names):
    print(f"{name}: {probes.verdict(found, m)}, cosine {found.scores.cosine[m, found.best[m]]:.2f}")

# %% [markdown]
# Read with token embeddings as rows, which is what injection feeds it, the transfer matrix holds A.
#
# ## What else is looking ahead good for?
#
# The second prediction head drafts the token after next, and the first one checks the draft in its next pass.

# %%
task_format = loaded.task.format
prompts = jnp.asarray(loaded.task.problems("test", 200)[:, : task_format.prompt_length], jnp.int32)
request = (task_format.answer_length, task_format.end_token, task_format.pad_token)
plain = jax.jit(jax.vmap(lambda prompt: transformer.greedy(loaded.model, prompt, *request)))(prompts)
drafted = jax.jit(jax.vmap(lambda prompt: transformer.speculative_greedy(loaded.model, prompt, *request)))(prompts)
rates = transformer.acceptance_rates(drafted)
print(f"{rates.per_pass:.2f} tokens a forward pass, drafts accepted: {rates.conditional}")
assert jnp.array_equal(plain, drafted.tokens)

# %% [markdown]
# The answers are the same, in fewer passes.
#
# ## Exercise
#
# Reachability (a path of any length) is one of the references too. Plant it with noise of twice its spread: does the
# test recognise it, and with what cosine? The solution is in the next cell, which is collapsed.

# %% tags=["hide-cell"] jupyter={"source_hidden": true, "outputs_hidden": true}
reachable = tasks.reachability(graph).astype(float)
centred = reachable - reachable.mean(axis=1, keepdims=True)
noisy = centred + 2 * centred.std() * np.random.default_rng(2).normal(size=centred.shape)
recognised = probes.find_powers(noisy[None], references, draws=150)
print(f"{probes.verdict(recognised, 0)}, cosine {recognised.scores.cosine.max():.2f}, expected {1 / np.sqrt(5):.2f}")
assert probes.verdict(recognised, 0).startswith("holds reachability")
