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
# # Interventions
#
# Attention shows where a head looks, not whether it matters. Here runs are changed, and the answer tells. The model
# is 3-MTP of notebook 05, whose heads seem to read the goal and then walk back from it; the question is whether they
# do the work. `circuits probe interventions CHECKPOINT --out DIR` runs all of this, and more, on any checkpoint of
# ours.

# %%
import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import numpy as np

from circuits import held_out_problems, load_model
from circuits.plotting import effect_heatmap, head_score_heatmap
from circuits.probes import Receiver, ablate, knock_out, patch, path_patch, planning_twins
from circuits.probes.layout import aligned_names
from circuits.probes.residual.linear import fit_linear_probes, score_linear_probes
from circuits.tasks import decode_ids
from circuits.tasks.planning import TEST_SEED, draw

loaded = load_model("star-2x5-mtp3-seed-1")
mtp, ntp, form = loaded.model, load_model("star-2x5-ntp-seed-1").model, loaded.task.format
problems = jnp.asarray(held_out_problems(loaded, 64))
pairs = planning_twins(problems, form, jax.random.key(0))

# %% [markdown]
# ## Twins
#
# Each problem has a twin that differs in one token of the prompt: the goal, which is the end of the other path.
# Whatever a model does differently on the two comes from that token.

# %%
prompt = problems[0, : form.prompt_length]
print("clean:  ", decode_ids(form, prompt), "  first token of the answer:", int(pairs.clean_answer[0]))
print(
    "corrupt:", decode_ids(form, pairs.corrupt_tokens[0]), "  first token of the answer:", int(pairs.corrupt_answer[0])
)

# %% [markdown]
# ## Where the goal travels
#
# Run the corrupt twin, but put the clean run's residual stream into it at one layer and one place. 1: the answer
# becomes the clean one; 0: nothing changes. The goal's own position carries all of it at first; from layer 4 on it
# has moved to the last position, where the answer is made.

# %%
names, roles = aligned_names(jax.tree.map(lambda part: np.asarray(part)[0], pairs.layout))
layers = [str(layer) for layer in range(1, 9)]
stream = patch(mtp, pairs, "resid_pre", aligned=True)
effect_heatmap(stream.effect, layers, names, roles=roles, title="3-MTP: the stream before each layer, patched")

# %% [markdown]
# ## Which heads carry it
#
# The same with the output of one head at a time.

# %%
heads = patch(mtp, pairs, "attn.z", ("layer", "head"))
head_score_heatmap(heads.effect, "3-MTP: heads patched", label="effect")

# %% [markdown]
# They are the heads that notebook 05 found by where they look: head 5 of layer 3 reads the goal, head 2 of layer 6
# the edge into it, head 7 of layer 7 the edge before, head 4 of layer 8 the edge before that. Only the last one
# writes to the answer directly, as path patching shows, in which every other head and MLP is held at its unpatched
# value:

# %%
direct = path_patch(mtp, pairs)
head_score_heatmap(direct.effect[0], "3-MTP: direct effect on the answer", label="effect")

# %% [markdown]
# And the others? Each tells the next one where to look. Path patching into the *queries* of a head asks which earlier
# head reaches the answer through what that head looks for:

# %%
chain = ((3, 5), (4, 3), (6, 2), (7, 7), (8, 4))  # layer and head from 1: goal, goal, hop 1, hop 2, hop 3
receivers = [Receiver("q", layer - 1, head - 1) for layer, head in chain[2:]]
into = path_patch(mtp, pairs, receivers, mlps="free")
for (layer, head), effect in zip(chain[2:], into.effect, strict=True):
    best = np.argsort(-effect, axis=None)[:3]
    senders = [f"{i // 8 + 1}.{i % 8 + 1} {effect.ravel()[i]:.2f}" for i in best.tolist()]
    print(f"into the queries of {layer}.{head}: {', '.join(senders)}")

# %% [markdown]
# So the chain is closed: the goal heads tell head 6.2 what to look for, that one tells 7.7, and that one 8.4, which
# writes the first node. Are these five heads enough? All others of layers 3 to 8 replaced, and then these five alone;
# for comparison, five others.

# %%
chosen, five = np.zeros((2, 8, 1, 8), bool)
for layer, head in chain:
    chosen[layer - 1, 0, head - 1] = True
for layer, head in ((3, 2), (4, 6), (6, 5), (7, 3), (8, 6)):
    five[layer - 1, 0, head - 1] = True
late = np.arange(8)[:, None, None] >= 2
masks = np.stack([late & ~chosen, chosen, five])
for method in ("mean", "zero", "resample"):
    after = ablate(mtp, pairs, "attn.z", method, masks=masks, key=jax.random.key(3)).accuracy
    print(f"{method:>8}: without the other 43 {after[0]:.2f}, these five {after[1]:.2f}, five others {after[2]:.2f}")

# %% [markdown]
# Replaced by their means or by nothing, the other 43 are not missed. Replaced by what they were on other problems,
# they are in part: what they then say of other graphs gets in the way.

# %% [markdown]
# ## What breaks without them
#
# Each head's output replaced by its output on another problem.

# %%
lost = ablate(mtp, pairs, "attn.z", "resample", key=jax.random.key(1))
print(f"accuracy on the first token: {lost.base_accuracy:.3f}")
head_score_heatmap(
    -lost.accuracy_change, "3-MTP: accuracy lost without a head", label="accuracy lost", limits=(0.0, 1.0)
)

# %% [markdown]
# Attention knocked out from the last position to one kind of key, in all layers at once. 3-MTP needs the goal and the
# true path, and the other path not at all. NTP does not need the goal. It guesses between the two first nodes that it
# can read: without the true path it always takes the other one, and without the other path it is always right.

# %%
keys = ("goal in query", "start in query", "path", "distractor")
for name, model in (("3-MTP", mtp), ("NTP", ntp)):
    found = knock_out(model, pairs, ("query",), keys)
    after = ", ".join(f"{key} {value:.2f}" for key, value in zip(keys, found.accuracy[0], strict=True))
    print(f"{name}: accuracy {found.base_accuracy:.2f}; without attention to: {after}")

# %% [markdown]
# ## What each layer knows
#
# A linear probe on the stream at the last position for each node of the path, fitted on other problems. In 3-MTP the
# goal comes first (head 1.1 already reads some of it), and then the nodes in reverse order, one a layer. In NTP only
# the two candidates for the first node can be told from the rest (about half right), and nothing behind them.

# %%
others = planning_twins(jnp.asarray(draw(form, "test", TEST_SEED + 1, 1024, one_in=64)), form, jax.random.key(2))
nodes = ["n1", "n2", "n3", "goal"]
known = {}
for name, model in (("3-MTP", mtp), ("NTP", ntp)):
    known[name] = score_linear_probes(model, fit_linear_probes(model, others.layout), pairs.layout).accuracy[:, 0, 1:]
effect_heatmap(
    np.concatenate(list(known.values()), axis=1),
    ["embedding", *layers],
    [f"{name} {node}" for name in known for node in nodes],
    title="Nodes that can be read off at the last position",
    column_name="",
    label="accuracy",
    diverging=False,
)

# %%
first = [int(np.argmax(known["3-MTP"][:, node] > 0.95)) for node in (3, 2, 1, 0)]
print("goal, n3, n2, n1 of 3-MTP can be read off after layers", first)
assert first == sorted(first)
