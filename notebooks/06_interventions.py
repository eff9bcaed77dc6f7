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
# # Interventions
#
# **The heads of notebook 05 look at the goal and walk back from it: do they do the work?** Yes. If the outputs of five
# of them are replaced by their means, the 3-MTP model is right about the first node in about half of the problems; if
# those of the other 43 heads of layers 2 to 7 are, it is right in more than 95%. And they form a chain: each tells the
# next one where to look.
#
# Attention shows where a head looks, not whether it matters. So here we change a model while it runs, and see what that
# does to its answer. `circuits probe interventions CHECKPOINT --out DIR` runs all of
# this, and more, on any checkpoint. Layers, heads and positions count from 0, and L5H1 is head 1 of layer 5.

# %%
import jax
import jax.numpy as jnp
import numpy as np

from circuits import held_out_problems, load_model, probes
from circuits.plotting import effect_heatmap, head_score_heatmap
from circuits.tasks import decode_ids

jax.config.update("jax_enable_x64", True)

loaded = load_model("star-2x5-mtp3-seed-1")
mtp, ntp, task_format = loaded.model, load_model("star-2x5-ntp-seed-1").model, loaded.task.format
problems = jnp.asarray(held_out_problems(loaded, 800))

# %% [markdown]
# ## Twins
#
# Each problem has a twin that differs in one token of the prompt: the goal, which is the end of the other path.
# Whatever a model does differently on the two comes from that token. We patch 8 problems, ablate on 32, and fit probes
# on the rest.

# %%
twins = probes.planning_twins(problems, task_format, jax.random.key(0))
few, some, rest = (jax.tree.map(lambda part, s=s: part[s], twins) for s in (slice(8), slice(32), slice(32, None)))
for name, tokens, answer in (
    ("clean", twins.clean_tokens[0], twins.clean_answer[0]),
    ("corrupt", twins.corrupt_tokens[0], twins.corrupt_answer[0]),
):
    print(f"{name:>7}: {decode_ids(task_format, tokens)}, first token of the answer: {answer}")

# %% [markdown]
# ## Where does the goal travel?
#
# We run the corrupt twin, but with the clean run's residual stream at one layer and one position. The effect is 1 where
# the answer becomes the clean one, and 0 where nothing changes.

# %%
stream = probes.patch(mtp, few, "resid_pre", aligned=True)
stream.plot(title="3-MTP: the stream before each layer, patched")

# %% [markdown]
# At first the goal's own position carries all of the effect; from layer 3 on it has moved to the last position, where
# the answer is made.
#
# ## Which heads carry it?
#
# We patch the output of one head at a time.

# %%
heads = probes.patch(mtp, few, "attn.z", ("layer", "head"))
heads.plot(title="3-MTP: heads patched")

# %% [markdown]
# They are the heads that notebook 05 finds by where they look: L2H4 reads the goal, L5H1 the edge into it, L6H6 the
# edge before, and L7H3 the edge before that.
#
# ## Which head writes the answer?
#
# In path patching, every other head and every MLP keeps its unpatched value, so that only what a head writes directly
# to the answer is left.

# %%
direct = probes.path_patch(mtp, few)
head_score_heatmap(direct.effect[0], "3-MTP: direct effect on the answer", label="effect")

# %% [markdown]
# Only L7H3 does.
#
# ## What do the others do?
#
# Path patching into the *queries* of a head asks which earlier head reaches the answer through what that head looks
# for.

# %%
chain = ((2, 4), (3, 2), (5, 1), (6, 6), (7, 3))  # two that read the goal; hops 0, 1 and 2
receivers = [probes.Receiver("q", layer, head) for layer, head in chain[2:]]
into = probes.path_patch(mtp, few, receivers, mlps="free")
for (layer, head), effect in zip(chain[2:], into.effect, strict=True):
    senders = [divmod(int(i), 8) for i in np.argsort(-effect, axis=None)[:3]]
    best = ", ".join(f"L{i}H{j} {effect[i, j]:.2f}" for i, j in senders)
    print(f"into the queries of L{layer}H{head}: {best}")

# %% [markdown]
# Each tells the next one where to look: the heads that read the goal tell L5H1, that one tells L6H6, and that one tells
# L7H3, which writes the first node.
#
# ## Are these five heads enough?
#
# We ablate all other heads of layers 2 to 7, then these five, and for comparison five others. An ablated output is
# replaced by its mean, by zero, or by its value on another problem.

# %%
five, other_five = np.zeros((2, 8, 1, 8), bool)
for layer, head in chain:
    five[layer, 0, head] = True
for layer, head in ((2, 1), (3, 5), (5, 4), (6, 2), (7, 5)):
    other_five[layer, 0, head] = True
late = np.arange(8)[:, None, None] >= 2
sets = np.stack([late & ~five, five, other_five])
each = probes.mask_grid(mtp.config, "attn.z", ("layer", "head")).reshape(64, 8, 1, 8)
ablated = {
    method: probes.ablate(mtp, some, "attn.z", method, masks=masks, key=jax.random.key(3))
    for method, masks in (("mean", sets), ("zero", sets), ("resample", np.concatenate([sets, each])))
}
for method, result in ablated.items():
    others, these, control = result.accuracy[:3]
    print(f"{method:>8}: without the other 43 {others:.2f}, these five {these:.2f}, five others {control:.2f}")
assert ablated["mean"].accuracy[0] > 0.95
assert ablated["mean"].accuracy[1] < 0.65

# %% [markdown]
# With means or zeros in their place, the other 43 are not missed. With values from other problems they are, in part:
# what they say about another graph gets in the way.
#
# ## What breaks without a single head?
#
# The outputs of one head at a time are replaced by those on another problem.

# %%
print(f"accuracy on the first token: {ablated['resample'].base_accuracy:.3f}")
lost = -ablated["resample"].accuracy_change[3:].reshape(8, 8)
head_score_heatmap(lost, "3-MTP: accuracy lost without a head", label="accuracy lost", limits=(0.0, 1.0))

# %% [markdown]
# The accuracy falls without the heads of the chain, and without L1H4, which comes before them.
#
# ## What must the last position see?
#
# We stop it from attending to one kind of position, in all layers at once.

# %%
keys = ("goal in query", "start in query", "path", "distractor")
for name, model in (("3-MTP", mtp), ("NTP", ntp)):
    result = probes.knock_out(model, some, ("query",), keys)
    after = ", ".join(f"{key} {value:.2f}" for key, value in zip(keys, result.accuracy[0], strict=True))
    print(f"{name}: accuracy {result.base_accuracy:.2f}; without attention to: {after}")

# %% [markdown]
# 3-MTP needs the goal and the true path, but not the other path. NTP does not need the goal: it guesses between the two
# first nodes that it can read, so without the true path it always takes the other one, and without the other path it
# is always right.
#
# ## What does each layer know?
#
# Linear probes, fitted on other problems, read the nodes of the path off the stream at the last position.

# %%
nodes = ["n1", "n2", "n3", "goal"]
known = {}
for name, model in (("3-MTP", mtp), ("NTP", ntp)):
    fitted = probes.fit_linear_probes(model, rest.layout)
    known[name] = probes.score_linear_probes(model, fitted, some.layout).accuracy[:, 0, 1:]
effect_heatmap(
    np.concatenate(list(known.values()), axis=1),
    ["embedding", *range(8)],
    [f"{name} {node}" for name in known for node in nodes],
    title="Nodes that can be read off at the last position",
    column_name="",
    label="accuracy",
    diverging=False,
)

# %% [markdown]
# In 3-MTP the goal comes first (L0H0 already reads some of it), and then the nodes in reverse order, one a layer. In
# NTP only the two candidates for the first node stand out, and it is a coin toss which of them is named.

# %%
first = [int(np.argmax(known["3-MTP"][:, node] > 0.95)) - 1 for node in (3, 2, 1, 0)]
print("goal, n3, n2 and n1 of 3-MTP can be read off after layers", first)
assert first == sorted(first)

# %% [markdown]
# ## Exercise
#
# From which layer on does the last position, and not the goal's own, carry the answer? Read it off `stream.effect`
# [layers, positions], whose last two columns are the goal and the start as the prompt's end states them.
# The solution is in the next cell, which is collapsed.

# %% tags=["hide-cell"] jupyter={"source_hidden": true, "outputs_hidden": true}
moved = int(np.argmax(stream.effect[:, -1] > stream.effect[:, -2]))
at_goal, at_end = stream.effect[moved, -2:]
print(f"from layer {moved} on: effect {at_end:.2f} at the last position, {at_goal:.2f} at the goal")
assert moved == 3
assert all(stream.effect[moved:, -1] > stream.effect[moved:, -2])
