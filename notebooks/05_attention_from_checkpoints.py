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
# # Attention from checkpoints
#
# **Where does a trained model look while it predicts the branching token, the first node of the path?** The theory says
# that a model trained by multi-token prediction attends to the goal, and then traces the path backward. The model of
# this notebook, trained to predict three tokens (3-MTP), does just that: L5H1 reads the edge into the goal, L6H6 the
# edge before, and L7H3 the one before that, each with more than 90% of its attention. In a twin trained by next-token
# prediction (NTP) no head reads the true path more than the other one.
#
# `circuits attention CHECKPOINT --out DIR`
# and `circuits probe scores CHECKPOINT --out DIR` do from the command line what this notebook does step by step.
# Layers, heads and positions count from 0.

# %%
import jax
import jax.numpy as jnp
import numpy as np

from circuits import attention_maps, find_circuit, held_out_problems, load_model, probes, tasks
from circuits.plotting import query_heatmap

jax.config.update("jax_enable_x64", True)

loaded = {"NTP": load_model("star-2x5-ntp-seed-1"), "3-MTP": load_model("star-2x5-mtp3-seed-1")}
task_format = loaded["NTP"].task.format
problems = held_out_problems(loaded["NTP"], 64)

# %% [markdown]
# ## How do we average over graphs?
#
# Edges are listed in random order, so a plain average over problems mixes different parts of the graph at each
# position. A layout says what stands where in one problem, and gives an order that is the same for all: the edges of
# the path from start `s` to goal `g` first, then those of the other path, `x1`, `x2`, ...

# %%
layout = probes.problem_layout(jnp.asarray(problems[0]), task_format, probes.query_position(task_format))
names, roles = probes.aligned_names(layout)
print("as written:          ", tasks.decode_ids(task_format, problems[0]))
print("in the aligned order:", tasks.decode_ids(task_format, problems[0][np.asarray(layout.order)]))
print("names:               ", " ".join(names))

# %% [markdown]
# ## Where do they look?
#
# This is the counterpart of the paper's Figures 5 and 6: the mean over heads and problems, one panel a layer. The
# outlined row is the query that predicts the branching token. This is 3-MTP; `maps["NTP"].plot()` draws the other.

# %%
maps = {name: attention_maps(one.model, problems, task_format, title=name) for name, one in loaded.items()}
maps["3-MTP"].plot()

# %% [markdown]
# ## What does the last position read?
#
# The outlined rows alone, first of NTP: it reads the two edges that leave the start, both alike, and cannot know which
# to take.

# %%
query_heatmap(maps["NTP"])

# %% [markdown]
# 3-MTP reads the goal in layers 2 to 5, the edge into the goal in layer 5, the one before it in layer 6 and the one
# before that in layer 7: one step back a layer.

# %%
query_heatmap(maps["3-MTP"])

# %% [markdown]
# ## Which head is it?
#
# The record shows itself as an interactive page, with layers and heads as a grid. Point at a row to read it; compare
# heads by "attention to goal" to see at a glance which of them read it. The page needs no network.

# %%
maps["3-MTP"]

# %% [markdown]
# ## Is it more than chance?
#
# Each score is an amount of attention, from 0 to 1. The backward-trace score at hop i is what the query reads of the
# edge i steps back from the goal. A head counts when it beats every null hypothesis, over all heads and scores
# together: the best head of untrained models; where the score depends on labels, the same
# patterns with another problem's layout; and for the backward trace, what is read of the other path.

# %%
results = {name: find_circuit(one.model, problems[:16], task_format) for name, one in loaded.items()}
results["3-MTP"]

# %% [markdown]
# Heads of 3-MTP read the true path more than the other one. And NTP?

# %%
results["NTP"]["backward_trace"]

# %%
trace = results["3-MTP"]["backward_trace"]
for hop, (layer, head) in enumerate([(5, 1), (6, 6), (7, 3)]):
    assert trace.significant[layer, head, hop]
    assert trace.score.mean[layer, head, hop] > 0.9
assert not results["NTP"]["backward_trace"].significant.any()

# %% [markdown]
# No head of NTP does. With this seed the walk back is all at the query: layer 5 reads the edge into the goal, layer 6
# the one before, layer 7 the one before that. Other seeds share the work differently (see FINDINGS.md): the goal's own
# position can read its edge, and positions in the list can join edges before the query reads them.
#
# ## Exercise
#
# NTP does not follow the path back from the goal. Does any of its heads look at the goal? Find the head with the
# highest `goal` score. The solution is in the next cell, which is collapsed.

# %% tags=["hide-cell"] jupyter={"source_hidden": true, "outputs_hidden": true}
goal = results["NTP"]["goal"].score.mean
layer, head = np.unravel_index(goal.argmax(), goal.shape)
print(f"L{layer}H{head} of NTP gives the goal {goal.max():.0%} of its attention; notebook 06 shows what it is worth")
assert layer == 5
assert goal.max() > 0.5
results["NTP"]["goal"].plot(title="NTP: attention to the goal")
