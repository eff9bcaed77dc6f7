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
# # Two standard transformers
#
# Same architecture, same graphs, same number of steps; one was trained to predict the next token (NTP), the other the
# next three (3-MTP). Both have 8 layers of 8 heads and 0.4M parameters, and come with the repository. The task is the
# 2-path 5-node star of Section 4: the edges in random order, then goal and start, and the answer is the path between.
# Only its first token is hard. Once on a path, one can follow edges.

# %%
import jax

jax.config.update("jax_enable_x64", True)


import jax.numpy as jnp
import numpy as np

from circuits import held_out_problems, load_model
from circuits.models import CHECKPOINTS
from circuits.plotting import Line, LinePanel, line_panels
from circuits.tasks import chance, decode_ids
from circuits.training.evaluation import score
from circuits.training.run_folder import read_metrics
from circuits.transformer.taps import Taps

loaded = {"NTP": load_model("star-2x5-ntp"), "3-MTP": load_model("star-2x5-mtp3")}
form = loaded["NTP"].task.format
form

# %% [markdown]
# ## What they write
#
# 512 test problems. No graph among them was ever trained on: a hash of the labelled graph decides which side it is on.

# %%
problems = held_out_problems(loaded["NTP"], 512)
print(decode_ids(form, problems[0]))

for name, (_, model, task, *_) in loaded.items():
    found = score(model, task, problems)
    print(f"{name}: whole path {found['exact']:.1%}, each token {np.round(found['by_token'], 3)}")
print("chance:", chance(form, sees_goal=True).exact)

# %% [markdown]
# NTP follows edges without a fault and guesses which of the two paths to take. Given the true first token it is right
# on all that follow, which is why its loss could fall so far:

# %%
for name, (_, model, task, *_) in loaded.items():
    found = score(model, task, problems)
    print(f"{name}: given the true tokens before it {np.round(found['forced'], 3)}")

# %% [markdown]
# ## How they came to it

# %%
panels = []
for field, title in (("test_hard", "First token"), ("test_exact", "Whole path")):
    lines = []
    for colour, (name, run) in enumerate((("3-MTP", "star-2x5-mtp3"), ("NTP", "star-2x5-ntp"))):
        records = read_metrics(CHECKPOINTS / run)
        steps = np.array([record["step"] for record in records])
        lines.append(Line(name, steps, np.array([record[field] for record in records]), colour))
    panels.append(LinePanel(title, "share of test problems", lines, limits=(-0.03, 1.03)))
line_panels(panels, "training steps", log_x=False, title="Held-out graphs over training")

# %% [markdown]
# What 3-MTP's other heads guess from the prompt alone: the second head the second node, the third head the third.
# The nodes next to the goal come first, the way back from the goal, and the first token of all comes last.

# %%
records = read_metrics(CHECKPOINTS / "star-2x5-mtp3")
ahead = np.array([record["test_ahead"] for record in records])
steps = np.array([record["step"] for record in records])
lines = [Line(f"node {m + 1}", steps, ahead[:, m], m) for m in range(3)]
line_panels(
    [LinePanel("3-MTP: nodes of the path, guessed from the prompt", "share", lines, limits=(-0.03, 1.03))],
    "training steps",
    log_x=False,
)

# %% [markdown]
# ## Where they look
#
# Every activation has a name, and `Taps` captures or edits it. Here: the attention of the prompt's last position, where
# the first token is decided, averaged over heads and problems. Weight goes to positions; what stands there differs from
# problem to problem, so positions are sorted into roles.

# %%
taps = Taps(capture=["blocks.*.attn.pattern"])


def last_row(model, tokens):
    """Attention from the prompt's end: (layers, positions), averaged over heads."""
    _, cache = model(tokens, taps)
    return jnp.stack([pattern.mean(axis=0)[-1] for pattern in cache.values()])


prompts = jnp.asarray(problems[:, : form.prompt_length])
path = problems[:, form.prompt_length :]
listed = problems[:, : form.prompt_length - 2]
on_path = (listed[:, :, None] == path[:, None, :]).any(axis=-1)
is_goal, is_start = listed == problems[:, -1:], listed == problems[:, [form.prompt_length - 1]]
roles = {
    "goal": np.concatenate([is_goal, np.ones((512, 1), bool), np.zeros((512, 1), bool)], axis=1),
    "start": np.concatenate([is_start, np.zeros((512, 1), bool), np.ones((512, 1), bool)], axis=1),
    "correct path": np.concatenate([on_path & ~is_goal, np.zeros((512, 2), bool)], axis=1),
    "other path": np.concatenate([~on_path & ~is_start, np.zeros((512, 2), bool)], axis=1),
}
panels = []
for name, (_, model, *_) in loaded.items():
    attention = np.asarray(jax.vmap(lambda tokens, model=model: last_row(model, tokens))(prompts))
    lines = [
        Line(role, np.arange(1, 9), (attention * mask[:, None]).sum(axis=-1).mean(axis=0), colour)
        for colour, (role, mask) in enumerate(roles.items())
    ]
    panels.append(LinePanel(name, "attention", lines, limits=(0, 1)))
line_panels(panels, "layer", log_x=False, title="Attention from the prompt's end, by role")

# %% [markdown]
# ## Edit as well as look
#
# An edit replaces an activation on its way. Without the attention pattern's weight on the goal, in all layers:

# %%
goal_at = form.prompt_length - 2


def blind(pattern):
    """No attention to the goal in the query; what is left is scaled up to 1 again."""
    kept = pattern.at[..., goal_at].set(0)
    return kept / jnp.maximum(kept.sum(axis=-1, keepdims=True), jnp.asarray(1e-9, pattern.dtype))


edited = Taps(edit={"blocks.*.attn.pattern": blind})
for name, (_, model, *_) in loaded.items():
    logits = jax.vmap(lambda tokens, model=model: model(tokens, edited)[0][0, -1])(prompts)
    share = float((jnp.argmax(logits, axis=-1) == path[:, 0]).mean())
    print(f"{name}, blind to the goal: first token right in {share:.1%}")
