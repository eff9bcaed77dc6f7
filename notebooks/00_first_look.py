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
# # First look
#
# **Can a small transformer find a path by walking backward from its goal?** Yes, if it was trained to predict three
# tokens at once (3-MTP). The checkpoint of this notebook writes more than 98% of the paths on graphs that it has never
# seen. A model of the same shape, trained on the same graphs to predict the next token alone (NTP), writes about half.
# Attention heads of layers 2 and 3 of the 3-MTP model read the goal, one of layer 5 the edge into it, one of layer 6
# the edge before, and one of layer 7 the one before that. No head of the NTP model reads the true path more than the
# other one. If the 3-MTP model cannot see the goal, it too is reduced to a coin toss. All of this is computed and
# asserted below, in a few minutes.
#
# To install, run `pip install -e '.[notebooks]'` in a clone of the repository, or `make lab`, which sets up everything
# and opens JupyterLab. Both checkpoints are part of the package. Layers, attention heads and positions count from 0:
# L5H1 is attention head 1 of layer 5.

# %%
import jax
import numpy as np

from circuits import accuracy, attention_maps, find_circuit, held_out_problems, load_model, probes, tasks

jax.config.update("jax_enable_x64", True)

mtp, ntp = load_model("star-2x5-mtp3-seed-1"), load_model("star-2x5-ntp-seed-1")
mtp.model.config

# %% [markdown]
# ## What is the task?
#
# Two paths of five nodes leave one start. The prompt lists their edges in random order, then the goal and the start.
# The answer is the path between them. Its first node, the branching token, is the only hard one: two edges leave the
# start, and only the goal, at the other end of the graph, tells which one to take.

# %%
problems = held_out_problems(mtp, 128)
task_format = mtp.task.format
print(tasks.decode_ids(task_format, problems[0]))
tasks.decode_problem(task_format, problems[0])

# %% [markdown]
# ## Does the model find the path?
#
# Neither model was trained on any of these graphs.

# %%
shares = {"3-MTP": accuracy(mtp, problems)["exact"], "NTP": accuracy(ntp, problems)["exact"]}
for name, share in shares.items():
    print(f"{name} writes {share:.1%} of {len(problems)} paths")
assert shares["3-MTP"] > 0.98
assert 0.4 < shares["NTP"] < 0.6

# %% [markdown]
# ## Where does it look?
#
# `attention_maps` averages the attention over problems while the branching token is predicted. Every graph is
# different, so positions are sorted first: the edges of the path from the start `s` over `n1`, `n2`, `n3` to the goal
# `g`, then those of the other path, then the goal and the start as the prompt's end states them. The record shows
# itself: choose a layer and a head, and point at a row to read it. The last row is the position that predicts the
# branching token.

# %%
maps = attention_maps(mtp.model, problems[:32], task_format, title="3-MTP")
maps

# %% [markdown]
# ## Is it more than chance?
#
# `find_circuit` scores every attention head for each part of the circuit and compares it with untrained models, with
# the layout of another graph, and with the other path of the same graph. The backward-trace score at hop i is the
# attention to the edge i steps back from the goal.

# %%
findings = find_circuit(mtp.model, problems[:16], task_format)
findings

# %%
goal, trace = findings["goal_in_query"], findings["backward_trace"]
print("heads that read the goal:", ", ".join(f"L{i}H{j}" for i, j in np.argwhere(goal.significant).tolist()))
strongest = [np.unravel_index(np.nanargmax(trace.score.mean[..., hop]), (8, 8)) for hop in range(3)]
for hop, (layer, head) in enumerate(strongest):
    print(f"the edge {hop} steps back from the goal: L{layer}H{head} {trace.score.mean[layer, head, hop]:.0%}")
of_ntp = find_circuit(ntp.model, problems[:16], task_format)["backward_trace"]
assert goal.significant[2].any()
assert goal.significant[3].any()
assert [int(layer) for layer, _ in strongest] == [5, 6, 7]
assert all(trace.significant[layer, head, hop] for hop, (layer, head) in enumerate(strongest))
assert not of_ntp.significant.any()

# %% [markdown]
# The walk goes backward from the goal, one step a layer. (The edge that leaves the start need not be read: once `n1` is
# known, the answer is.) No head of the NTP model passes the same test for the path.
#
# ## Does it need the goal?
#
# Attention shows where a model looks, not what it uses. So we stop the last position from attending to the goal, in all
# layers, and for comparison from attending to the other path.

# %%
twins = probes.planning_twins(problems[:32], task_format, jax.random.key(0))
cut = probes.knock_out(mtp.model, twins, ["query"], ["goal in query", "distractor"])
without_goal, without_distractor = cut.accuracy[0]
print(f"first node right in {cut.base_accuracy:.0%}; without the goal {without_goal:.0%}", end="; ")
print(f"without the other path {without_distractor:.0%}")
assert cut.base_accuracy > 0.98
assert without_goal < 0.65
assert without_distractor > 0.9

# %% [markdown]
# Without the goal the model can only guess which of two paths to take; without the other path it hardly notices.
#
# ## Exercise
#
# Which single attention head does the model need most? `probes.ablate(model, twins, "attn.z", "mean")` replaces the
# output of one head at a time by its mean over problems. Find the head whose loss costs the most accuracy, and say what
# `findings` knows about it. The solution is in the next cell, which is collapsed.

# %% tags=["hide-cell"] jupyter={"source_hidden": true, "outputs_hidden": true}
effects = probes.ablate(mtp.model, twins, "attn.z", "mean")
layer, head = np.unravel_index(effects.accuracy.argmin(), effects.accuracy.shape)
reads = {"the goal": goal.score.mean[layer, head]}
reads |= {f"the edge {hop} steps back": trace.score.mean[layer, head, hop] for hop in range(3)}
most = max(reads, key=lambda name: reads[name])
print(f"without L{layer}H{head} the first node is right in {effects.accuracy.min():.0%}")
print(f"it gives {most} {reads[most]:.0%} of its attention")
assert goal.significant[layer, head] or trace.significant[layer, head].any()
effects.plot(title="3-MTP: change of accuracy without one head")

# %% [markdown]
# ## What next?
#
# Notebook 01 builds the circuit by hand, 02 watches it form, and 03 shows where next-token prediction goes instead. 04
# to 06 take trained models apart, 07 does so with a language model, and 08 asks what looking further ahead teaches.
