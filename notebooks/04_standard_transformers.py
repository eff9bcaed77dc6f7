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
# # Two standard transformers
#
# **What does predicting three tokens at once (3-MTP) change in a transformer?** The branching token: the first token of
# the answer, which cannot be known without looking ahead to the goal. Trained by next-token prediction (NTP), a model
# of the same architecture on the same graphs follows edges without a fault, but takes the right path in about half of
# the problems. Trained by 3-MTP it takes the right path in more than 98%, and it learned the path from its end. Without
# its view of the goal it falls to a coin toss.
#
# Both models have 8 layers of 8 heads and 0.4M parameters, and are part of the package. The task is the 2-path 5-node
# star of Section 4: the edges in random order, then goal and start, and the answer is the path between. Layers, heads
# and positions count from 0.

# %%
import jax
import jax.numpy as jnp
import numpy as np

from circuits import Taps, accuracy, held_out_problems, load_model, models, plotting, tasks, training

jax.config.update("jax_enable_x64", True)

NAMES = {"NTP": "star-2x5-ntp", "3-MTP": "star-2x5-mtp3"}
loaded = {name: load_model(source) for name, source in NAMES.items()}
task_format = loaded["NTP"].task.format
task_format

# %% [markdown]
# ## What do they write?
#
# No graph among the test problems was ever trained on: a hash of the labelled graph decides which side it is on.

# %%
problems = held_out_problems(loaded["NTP"], 128)
print(tasks.decode_ids(task_format, problems[0]))

shares = {name: accuracy(one, problems) for name, one in loaded.items()}
for name, share in shares.items():
    print(f"{name}: whole path {share['exact']:.1%}, each token {np.round(share['by_token'], 3)}")
assert shares["3-MTP"]["exact"] > 0.98
assert 0.4 < shares["NTP"]["exact"] < 0.6
assert min(shares["NTP"]["forced"][1:]) > 0.99
tasks.chance(task_format, sees_goal=True)

# %% [markdown]
# Following edges to the goal is worth one half, and that is what NTP has: it guesses which of the two paths to take.
#
# ## Why could the loss of NTP fall so far?
#
# Its loss counts each token given the true tokens before it.

# %%
for name, share in shares.items():
    print(f"{name}: given the true tokens before it {np.round(share['forced'], 3)}")

# %% [markdown]
# Given the true first token, NTP is right about all that follow.
#
# ## How did they get there?
#
# Accuracies on held-out graphs during training.

# %%
records = {name: training.read_metrics(models.checkpoint_path(source)) for name, source in NAMES.items()}
panels = []
for field, title in (("test_hard", "First token"), ("test_exact", "Whole path")):
    lines = []
    for colour, name in enumerate(("3-MTP", "NTP")):
        steps, values = np.array([(record["step"], record[field]) for record in records[name]]).T
        lines.append(plotting.Line(name, steps, values, colour))
    panels.append(plotting.LinePanel(title, "share of test problems", lines, limits=(-0.03, 1.03)))
plotting.line_panels(panels, "training steps", log_x=False, title="Held-out graphs over training")

# %% [markdown]
# 3-MTP learns the first token late and at once; NTP stays at a coin toss.
#
# ## In which order does 3-MTP find the path?
#
# Each of its three prediction heads guesses a node of the path from the prompt alone.

# %%
steps = np.array([record["step"] for record in records["3-MTP"]])
ahead = np.array([record["test_ahead"] for record in records["3-MTP"]])
lines = [plotting.Line(f"prediction head {m}", steps, ahead[:, m], m) for m in range(3)]
panel = plotting.LinePanel("3-MTP: nodes guessed from the prompt", "share", lines, limits=(-0.03, 1.03))
plotting.line_panels([panel], "training steps", log_x=False)

# %% [markdown]
# The nodes next to the goal come first, on the way back from the goal, and the first token of the path comes last.
#
# ## Where do they look?
#
# Every activation has a name, and `Taps` captures or edits it. Here we capture the attention of the prompt's last
# position, where the first token is decided. What stands at a position differs from problem to problem, so we add
# positions up by their role, and average over heads and problems.

# %%
taps = Taps(capture=["blocks.*.attn.pattern"])
length = task_format.prompt_length
path, listed = problems[:, length:], problems[:, : length - 2]
on_path = (listed[:, :, None] == path[:, None, :]).any(axis=-1)
is_goal, is_start = listed == problems[:, [-1]], listed == problems[:, [length - 1]]
goal_and_start = np.broadcast_to(np.eye(2, dtype=bool)[:, None], (2, len(problems), 2))  # the prompt's last two tokens
neither = np.zeros((len(problems), 2), bool)
roles = {
    "goal": np.concatenate([is_goal, goal_and_start[0]], axis=1),
    "start": np.concatenate([is_start, goal_and_start[1]], axis=1),
    "correct path": np.concatenate([on_path & ~is_goal, neither], axis=1),
    "other path": np.concatenate([~on_path & ~is_start, neither], axis=1),
}


@jax.jit
def last_rows(model, prompts):
    """Return attention from the last position, averaged over heads: [problems, layers, positions]."""
    caches = jax.vmap(lambda tokens: model(tokens, taps)[1])(prompts)
    return jnp.stack([pattern.mean(axis=1)[:, -1] for pattern in caches.values()], axis=1)


panels = []
for name, one in loaded.items():
    attention = np.asarray(last_rows(one.model, problems[:, :length]))
    by_role = {role: (attention * mask[:, None]).sum(axis=-1).mean(axis=0) for role, mask in roles.items()}
    lines = [plotting.Line(role, np.arange(8), values, colour) for colour, (role, values) in enumerate(by_role.items())]
    panels.append(plotting.LinePanel(name, "attention", lines, limits=(0, 1)))
plotting.line_panels(panels, "layer", log_x=False, title="Attention from the prompt's end, by role")

# %% [markdown]
# 3-MTP attends to the goal in the middle layers and to the correct path in the last ones; NTP attends to both paths
# alike.
#
# ## Do they need the goal?
#
# An edit replaces an activation on its way. This one removes the attention to the goal in the query, in all layers, and
# scales what is left up to 1 again.


# %%
def blind(pattern):
    rest = pattern.at[..., length - 2].set(0)
    return rest / jnp.maximum(rest.sum(axis=-1, keepdims=True), jnp.asarray(1e-9, pattern.dtype))


edited = Taps(edit={"blocks.*.attn.pattern": blind})


def first_token(name, taps):
    """Return how often an edited model is right about the branching token."""
    answer = jax.jit(jax.vmap(lambda model, tokens: model(tokens, taps)[0][0, -1].argmax(), in_axes=(None, 0)))
    return float(np.mean(np.asarray(answer(loaded[name].model, problems[:, :length])) == path[:, 0]))


blinded = {name: first_token(name, edited) for name in loaded}
for name, share in blinded.items():
    print(f"{name}, blind to the goal: first token right in {share:.1%}")
assert blinded["3-MTP"] < 0.65

# %% [markdown]
# Without the goal 3-MTP is reduced to guessing; NTP loses nothing, because it never used the goal.
#
# ## Exercise
#
# In which layers does 3-MTP need to see the goal? Edit layers 2 and 3 only, and then all layers but these two.
# The solution is in the next cell, which is collapsed.

# %% tags=["hide-cell"] jupyter={"source_hidden": true, "outputs_hidden": true}
middle, others = (
    Taps(edit={f"blocks.{i}.attn.pattern": blind for i in chosen}) for chosen in ((2, 3), (0, 1, 4, 5, 6, 7))
)
shares = [first_token("3-MTP", taps) for taps in (middle, others)]
print(f"3-MTP, first token right: blind in layers 2 and 3 {shares[0]:.1%}, blind in all others {shares[1]:.1%}")
assert shares[0] < shares[1]
