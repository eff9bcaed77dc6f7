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
# # Attention from checkpoints
#
# Two transformers of one shape, trained on the same graphs: one to predict the next token (NTP), one the next three
# (3-MTP). While they predict the difficult token, the first node of the path, where do they look? The theory says: a
# model trained by MTP attends to the goal, and then traces the path backward.
#
# `circuits attention CHECKPOINT --out DIR` and `circuits probe scores CHECKPOINT --out DIR` do from the command line
# what this notebook does step by step.

# %%
import jax

jax.config.update("jax_enable_x64", True)


import jax.numpy as jnp
import numpy as np

from circuits import held_out_problems, load_model
from circuits.plotting import attention_grid, attention_page, head_score_heatmap, query_heatmap
from circuits.probes.attention.extract import attention_maps
from circuits.probes.attention.planning import find_circuit
from circuits.probes.layout import aligned_names, problem_layout, query_position
from circuits.tasks import decode_ids

loaded = {"NTP": load_model("star-2x5-ntp-seed-1"), "3-MTP": load_model("star-2x5-mtp3-seed-1")}
ntp, mtp, form = loaded["NTP"].model, loaded["3-MTP"].model, loaded["NTP"].task.format
problems = held_out_problems(loaded["NTP"], 256)
query = query_position(form)  # where the first token that needs look-ahead is predicted
query

# %% [markdown]
# ## One order for all graphs
#
# Edges are listed in random order, so a plain average over problems shows at each position a mixture of everything. A
# layout says where things stand in one problem, and puts its edges into an order that is the same for all: the path
# from start `s` to goal `g` first, then the distractor path `x1`, `x2`, ...

# %%
at = problem_layout(jnp.asarray(problems[0]), form, query)
names, roles = aligned_names(at)
print(decode_ids(form, problems[0]))
print("in the common order:", decode_ids(form, problems[0][np.asarray(at.order)]))
print("its names:          ", " ".join(names))

# %% [markdown]
# ## The counterpart of the paper's Figures 5 and 6
#
# Mean over heads and problems, one panel a layer; the outlined row is the query that predicts the difficult token.
# First NTP, then 3-MTP.

# %%
maps = {name: attention_maps(model, problems, form, title=name) for name, model in (("NTP", ntp), ("3-MTP", mtp))}
attention_grid(maps["NTP"])

# %%
attention_grid(maps["3-MTP"])

# %% [markdown]
# The outlined rows alone. NTP reads the two edges that leave the start, both alike, and cannot know which to take.
# 3-MTP reads the goal in layers 3 to 6, the goal's own edge in layer 6, the one before it in layer 7 and the one
# before that in layer 8: one step back a layer.

# %%
query_heatmap(maps["NTP"])

# %%
query_heatmap(maps["3-MTP"])

# %% [markdown]
# ## The same as a page
#
# Layers and heads as a grid; point at a row to read it. The page needs no network. In the matrix below the
# thumbnails, choose "goal" to see at one look which heads read it.

# %%
attention_page(maps["3-MTP"])

# %% [markdown]
# ## Scores, and what they are worth
#
# Each score is a mass of attention, from 0 to 1. `trace` at hop i is what the query reads of the edge i steps back
# from the goal. A head counts when its score is beyond every null, over all heads and scores together: above the
# highest head of hundreds of untrained models; where the score depends on labels, above what the same patterns give
# with another problem's layout; and, for `trace`, above what is read of the other path.

# %%
found = {name: find_circuit(model, problems, form) for name, model in (("NTP", ntp), ("3-MTP", mtp))}
for name, findings in found.items():
    print(name)
    for score, finding in findings.items():
        for layer, head, *hop in np.argwhere(finding.significant).tolist():
            if score in ("goal_in_query", "backward_trace"):
                value = finding.score.mean[(layer, head, *hop)]
                where = f" hop {hop[0]}" if hop else ""
                print(f"  {score}{where}: L{layer}H{head}, {value:.2f}")

# %%
trace = found["3-MTP"]["backward_trace"]
strongest = trace.score.mean.max(axis=-1)
head_score_heatmap(
    strongest, "3-MTP: the edge of the path that each head reads most", significant=trace.significant.any(axis=-1)
)

# %% [markdown]
# In this seed the backward walk is all at the query: layer 6 reads the edge into the goal, layer 7 the one before,
# layer 8 the one before that. Other seeds share the work differently (see FINDINGS.md): the goal's own position can
# read its edge, and positions in the list can join edges before the query reads them. What all three seeds of 3-MTP
# have, and none of NTP, are heads that read the true path more than the other one:

# %%
assert found["3-MTP"]["backward_trace"].significant.any()
assert not found["NTP"]["backward_trace"].significant.any()
