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
# # The circuit by hand
#
# **Can two layers of attention, with weights written down by hand, find a path backward from its goal?** Yes: the paper
# gives such weights (Corollary 1), and on its running example they predict the next node $v$, and the goal for the
# token after next, both with a probability above 0.99. **Are these weights where training ends, as Corollary 2 says?**
# No. One part of the training loss, $L_{1b}$, grows like $\gamma - \log 3$ with their sharpness $\gamma$, and the norm
# of its gradient tends to $\frac43$, not to 0.
#
# Here we build the weights, look at what they do on one prompt, and measure their losses and gradients. Every section
# ends with assertions against an independent computation: the model written out from its definition,
# automatic differentiation, or a count by hand. Layers and positions count from 0; symbols with indices, such as
# $W_0^{(1)}$ and $S^{[1]}_T$, are the paper's, which counts from 1.

# %%
import jax
import jax.numpy as jnp
import numpy as np

from circuits import Problem, StarGraph, circuit, flow, forward, objective, plotting, tasks, verify
from circuits.disentangled import batch_objective, literal, norm

jax.config.update("jax_enable_x64", True)

# %% [markdown]
# ## What is the task?
#
# A star graph has two paths of three nodes that leave one start. The prompt lists the four directed edges in any order,
# then the goal $u_{end}$, then the start. The answer is the path from start to goal, so the first token to predict is
# the middle node $v$, the branching token: nothing in the prompt's last position says which of the two branches leads
# to the goal. From the goal the choice is forced, because exactly one edge ends there. With labels from
# $\{0, \dots, 9\}$ the prompt has $T = 10$ tokens and the vocabulary $N = 10$. Our prompt is the paper's running
# example.

# %%
family = StarGraph(paths=2, nodes=3, labels=10)
edges = np.array([(3, 7), (6, 0), (7, 2), (3, 6)], np.int32)
problem = Problem(edges, start=np.int32(3), goal=np.int32(0), path=np.array([3, 6, 0], np.int32))
tokens = tasks.encode_prompt(problem)
v, u_end = tasks.targets(problem)
T, N = family.sequence_length, family.labels
print("tokens", tokens.tolist(), " next", int(v), " after next", int(u_end))

assert tokens.tolist() == [3, 7, 6, 0, 7, 2, 3, 6, 0, 3]
assert tasks.solve_star(edges, problem.start, problem.goal) == [3, int(v), int(u_end)]
problem

# %% [markdown]
# ## What are the weights?
#
# Layer $\ell$ has two blocks: $W_0^{(\ell)}$, indexed by (label of the query, label of the key), and $W_1^{(\ell)}$,
# indexed by (position of the query, position of the key). With $Z$ the one-hot matrix of the tokens,
#
# $$ A^{[\ell]} = Z W_0^{(\ell)} Z^\top + W_1^{(\ell)}, \qquad S^{[0]} = I, \qquad
#    S^{[\ell]} = \mathrm{softmax}\bigl(\mathrm{MASK}(S^{[\ell-1]} A^{[\ell]})\bigr), $$
#
# and two heads read the last position: $f_2 = S^{[1]}_T Z$ on layer 0, which predicts the token after next, and
# $f_1 = S^{[2]}_T S^{[1]} Z$ on layer 1, which predicts the next one. Corollary 1 fills the blocks with a single number
# $\gamma$, the sharpness.

# %%
GAMMA = 8.0
layers = circuit(GAMMA, labels=N, length=T)
plotting.weight_heatmap(layers[0].position, range(T), range(T), "$W_1^{(1)}$: one position back")

# %% [markdown]
# Layer 0 ignores labels and attends one position back.

# %%
title = "$W_1^{(2)}$: no match with the goal's own mention"
plotting.weight_heatmap(layers[1].position, range(T), range(T), title)

# %%
first, second = jax.tree.map(np.asarray, layers)
assert not first.content.any()
assert np.array_equal(second.content, GAMMA * np.eye(N))
assert {(int(i), int(j)) for i, j in np.argwhere(first.position)} == {(i, i - 1) for i in range(1, T)}
assert np.argwhere(second.position).tolist() == [[T - 2, T - 2]]

# %% [markdown]
# Layer 1 matches labels. It must not match the goal in the query with itself, at position 8, and one entry of
# $W_1^{(2)}$ cancels that match.
#
# ## What does it attend to?
#
# Three cells of the two attention patterns carry the prediction.
#
# 1. The last position attends to position 8 in layer 0. Now it carries the goal's label, and this is all that $f_2$
#    reads.
# 2. In layer 1 its query is what layer 0 brought, the goal, so it attends to the other position with that label:
#    $t_{end}$, inside the edge that ends at the goal.
# 3. In layer 0, $t_{end}$ attends to $t_v = t_{end} - 1$. Layer 1 reads the output of layer 0 there, which is $v$.

# %%
activations = jax.jit(forward)(layers, tokens)
t_end = int(np.argmax(tokens[: T - 2] == u_end))
t_v = t_end - 1
edge_roles = [f"edge {u}→{v}" for u, v in edges for _ in range(2)]
plotting.attention_heatmaps(
    [("Layer 0", activations.attention[0]), ("Layer 1", activations.attention[1])],
    tokens,
    roles=[*edge_roles, "goal", "start"],
    marks=[
        [(T - 1, T - 2, "1  attend to the goal"), (t_end, t_v, "3  trace back to v")],
        [(T - 1, t_end, "2  find the goal's edge")],
    ],
)

# %% [markdown]
# The other rows are used by neither head. Those of layer 1 that are split in halves look for a label that stands at two
# visible positions.
#
# ## Is that the paper's model?
#
# The oracle is the model as Definitions 1 and 2 state it: a concatenated residual stream, here 20, 40, then 80 wide,
# and full weight matrices. It shares no code with the closed form above. (As printed, Definition 2 has no meaning at
# the paper's Layer 2, where the stream is wider than the matrix. The blocks are placed as in the paper's footnote 2.)
# Row $t$ of the first layer is also known in closed form, Eq. 8:
# $S^{[1]}_{t,t-1} = e^\gamma / (e^\gamma + t - 1)$.

# %%
oracle = jax.jit(literal.forward)(layers, tokens)
for ours, truth in zip(activations.attention, oracle.attention, strict=True):
    np.testing.assert_allclose(ours, truth, rtol=0, atol=1e-14)
before = np.arange(1, T)  # t - 1 for t = 2 .. T
np.testing.assert_allclose(
    np.diagonal(activations.attention[0], -1), np.exp(GAMMA) / (np.exp(GAMMA) + before), rtol=1e-14
)

# %% [markdown]
# ## What does it predict?
#
# On the prompt $Z$, $f_1$ should say $v = 6$ and $f_2$ should say $u_{end} = 0$. Then $v$ takes the last position,
# which gives the context $Z'$, and $f_1$ should say $u_{end}$.

# %%
replayed = tasks.replay_context(tokens, v)
f2, f1 = activations.outputs
f1_replayed = jax.jit(forward)(layers, replayed).outputs[1]
for name, output, target in (("f2(Z) ", f2, u_end), ("f1(Z) ", f1, v), ("f1(Z')", f1_replayed, u_end)):
    print(f"{name} says {int(output.argmax())} with {float(output.max()):.4f}, and should say {int(target)}")

np.testing.assert_allclose(f2, oracle.outputs[0], rtol=0, atol=1e-14)
np.testing.assert_allclose(f1, oracle.outputs[1], rtol=0, atol=1e-14)
np.testing.assert_allclose(f1_replayed, jax.jit(literal.forward)(layers, replayed).outputs[1], rtol=0, atol=1e-14)
assert (int(f2.argmax()), int(f1.argmax()), int(f1_replayed.argmax())) == (0, 6, 6)
assert min(f1.max(), f2.max()) > 0.99

# %% [markdown]
# It finds the path, read backwards, but then says $v$ again. Nothing that steers the circuit has changed: the last
# position still reads position 8, where the goal still stands.
#
# ## What are the losses and gradients?
#
# The training loss (Eq. 3) is $\mathcal{L} = \frac12 \bigl[ \frac12 (L_{1a} + L_{1b}) + L_2 \bigr]$ with
#
# $$ L_{1a} = -\log f_1(Z)\, e_v, \qquad L_{1b} = -\log f_1(Z')\, e_{u_{end}}, \qquad
#    L_2 = -\log f_2(Z)\, e_{u_{end}}. $$
#
# `objective` returns the three losses and their gradients in all four weight matrices, by the hand derivations of
# Lemmas 3 and 5, with the transpositions in Lemma 3 put right. The oracle is `jax.grad` of the literal model.

# %%
by_hand = jax.jit(objective)(layers, tokens, v, u_end)
for name, loss, gradient in zip(("L1a", "L1b", "L2 "), by_hand.losses, by_hand.gradients, strict=True):
    print(f"{name} = {float(loss):.6f}   |gradient| = {float(norm(gradient)):.6f}")


@jax.jit
def literal_losses(layers):
    """Return L1a, L1b and L2."""
    on_prompt, on_replayed = (literal.forward(layers, context).outputs for context in (tokens, replayed))
    return -jnp.log(jnp.stack([on_prompt[1][v], on_replayed[1][u_end], on_prompt[0][u_end]]))


by_autodiff = jax.jit(jax.jacrev(literal_losses))(layers)
np.testing.assert_allclose(by_hand.losses, literal_losses(layers), rtol=0, atol=1e-12)
for number, gradient in enumerate(by_hand.gradients):
    for ours, truth in zip(jax.tree.leaves(gradient), jax.tree.leaves(by_autodiff), strict=True):
        np.testing.assert_allclose(ours, truth[number], rtol=0, atol=1e-12)

# %% [markdown]
# $L_{1a}$, $L_2$ and their gradients are small. $L_{1b}$ is not, and neither is its gradient.
#
# ## And as γ grows?
#
# The losses are summed in log space and the gradients are formed without dividing by a small $f$, so that $\gamma$ can
# run from 5 to 500 in float64.

# %%
gammas = np.linspace(5, 500, 100)
stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *(circuit(gamma, N, T) for gamma in gammas))


@jax.jit
@jax.vmap
def sweep(layers):
    both = objective(layers, tokens, v, u_end)
    return both.losses, [norm(gradient) for gradient in both.gradients], norm(both.multi_token[1])


(plan, replay, goal), (plan_norm, replay_norm, goal_norm), eq_3_norm = jax.tree.map(np.asarray, sweep(stacked))
lines = {"$L_{1a}$": plan, "$L_2$": goal, "$L_{1b}$": replay}
plotting.lines_by_gamma(gammas, lines, title="Losses on the running example", ylabel="nats", reference=1)

# %% [markdown]
# $L_{1a}$ and $L_2$ fall like $e^{-\gamma}$; $L_{1b}$ grows.

# %%
lines = {r"$|\nabla L_{1a}|$": plan_norm, r"$|\nabla L_2|$": goal_norm, r"$|\nabla L_{1b}|$": replay_norm}
ylabel = "Euclidean norm over all four weight matrices"
plotting.lines_by_gamma(gammas, lines, title="Gradient norms on the running example", ylabel=ylabel, reference=1)

# %% [markdown]
# The gradient of $L_{1b}$ does not fall.
#
# ## Why not?
#
# The limits can be counted by hand. To first order in $e^{-\gamma}$ a head fails when exactly one step goes to a
# position other than its own, and each such position has weight $e^{-\gamma}$.
#
# - $L_2$: the last row of layer 0 sees 9 other positions. One of them, $t_{end}$, also holds the goal. So
#   $L_2 \approx 8 e^{-\gamma}$.
# - $L_{1a}$: row $t_{end} = 3$ of layer 0 sees 3 other positions, none of which holds $v$. The last row of layer 1 sees
#   9 others; from one of them, position 8, layer 0 reads the other mention of $v$ in the edge 3→6. So
#   $L_{1a} \approx (3 + 8) e^{-\gamma}$.
# - $L_{1b}$: on $Z'$ the target $u_{end}$ is reached by three such routes: from $t_{end}$ to itself in layer 0, and in
#   layer 1 by the two positions that follow a mention of $u_{end}$, $t_{end} + 1$ and the last one. So
#   $f_1(Z')\, e_{u_{end}} \approx 3 e^{-\gamma}$, and $L_{1b} = \gamma - \log 3 + o(1)$.
#
# The same three routes give the gradient of $L_{1b}$. The gradient of $-\log f$ in the logits is a prior minus a
# posterior, where the posterior says by which route the target was reached: $\frac13$ each. In layer 1 the prior is all
# on $t_{end}$. In layer 0 the row of $t_{end}$ counts with the one route of three that passes through it, its prior on
# $t_v$ and its posterior on $t_{end}$ itself. What is left of the differences does not depend on $\gamma$:
#
# | block | entries that do not vanish | sum of squares |
# |---|---|---|
# | $W_1^{(1)}$, row $t_{end}$ | $+\frac13$ at $t_v$, $-\frac13$ at $t_{end}$ | $\frac29$ |
# | $W_0^{(1)}$, row $u_{end}$ | the same at the labels $v$ and $u_{end}$ | $\frac29$ |
# | $W_1^{(2)}$, row of position 8 | $+\frac23$ at $t_{end}$, $-\frac13$ at $t_{end}+1$ and at the end | $\frac69$ |
# | $W_0^{(2)}$, row $u_{end}$ | the same at the labels there | $\frac69$ |
#
# So the norm tends to $\sqrt{16/9} = \frac43$. Corollary 2 states that this norm is $O(e^{-\gamma})$, so that the error
# is trapped. Its proof notes, correctly, that every term contains a softmax Jacobian of size $O(e^{-\gamma})$. But the
# terms are also divided by $f_1(Z')\, e_{u_{end}}$, which is $O(e^{-\gamma})$ too. In $L_{1a}$ and $L_2$ that divisor
# tends to 1, and there the argument goes through.

# %%
large = gammas >= 20
np.testing.assert_allclose(plan[large] * np.exp(gammas[large]), 11, rtol=1e-6)
np.testing.assert_allclose(goal[large] * np.exp(gammas[large]), 8, rtol=1e-6)
np.testing.assert_allclose(replay[large] - gammas[large], -np.log(3), rtol=0, atol=1e-6)
np.testing.assert_allclose(replay_norm[large], 4 / 3, rtol=1e-6)
np.testing.assert_allclose(eq_3_norm[large], 1 / 3, rtol=1e-6)  # Eq. 3 gives L1b a quarter of the weight
for falling in (plan_norm, goal_norm):
    slope = np.polyfit(gammas, np.log(falling), 1)[0]
    np.testing.assert_allclose(slope, -1, rtol=0, atol=1e-3)

sharp = circuit(20.0, N, T)  # the literal model still has enough digits
by_autodiff = jax.tree.map(lambda part: part[1], jax.jit(jax.jacrev(literal_losses))(sharp))
np.testing.assert_allclose(norm(by_autodiff), 4 / 3, rtol=1e-6)

# %% [markdown]
# ## Is this prompt special?
#
# The family has 24 edge orders and 30,240 labelings, 725,760 prompts in all. The circuit treats all labels alike, so
# one labeling of each edge order tells everything about the norms.

# %%
orders = tasks.canonical_problems(family)
prompts = jax.vmap(tasks.encode_prompt)(orders)
gradients = jax.jit(batch_objective)(sharp, prompts, *tasks.targets(orders)).gradients.replay
norms = np.asarray(jax.jit(jax.vmap(norm))(gradients))
at_end = np.argmax(np.asarray(prompts)[:, : T - 2] == np.asarray(orders.goal)[:, None], axis=1)
for position in np.unique(at_end).tolist():
    values = sorted({round(float(value), 6) for value in norms[at_end == position]})
    print(f"t_end = {position}: {np.sum(at_end == position)} edge orders, |gradient of L1b| = {values}")

np.testing.assert_allclose(norms, np.where(at_end == T - 3, 2 / np.sqrt(3), 4 / 3), rtol=1e-6)

# %% [markdown]
# It is not. In the 6 orders that list the goal's edge last, $t_{end} + 1$ is position 8, where the goal itself stands.
# Two of the three labels in the last row of the table then coincide, its sum of squares is $\frac29$, and the norm
# $\sqrt{12/9} = 2/\sqrt3$.
#
# ## Do the gradients cancel on average?
#
# Gradient descent follows the mean over prompts. `mean_by_symmetry` averages over the 24 orders, and over all labelings
# in closed form: a content gradient averaged over all relabelings has one value on its diagonal and one off it. The
# result is exact. (`circuits verify --only 'corollary-*'` also goes through all 725,760 prompts one by one.)

# %%
mean = flow.mean_by_symmetry(objective, sharp, family)
for name, loss, gradient in zip(("L1a", "L1b", "L2 "), mean.losses, mean.gradients, strict=True):
    print(f"mean {name} = {float(loss):.6g}   |mean gradient| = {float(norm(gradient)):.6g}")

# %% [markdown]
# They do not cancel.
#
# ## To what does the mean tend?
#
# The limit can be counted as well, from the table above with $t_{end}$ at 1, 3, 5 or 7 in a quarter of the orders each.
# For the content blocks let $x$ be the entry at $(u_{end}, u_{end})$. The entries of the row add up to 0, so the mean
# over relabelings is $x/10$ on the diagonal and $-x/90$ off it, and its sum of squares is
# $10 (x/10)^2 + 90 (x/90)^2 = x^2/9$. We count in units of $1/36$.

# %%
position_1 = 8 * 3**2  # +1/3 and -1/3, each in a quarter of the orders, at four positions
position_2 = 4 * 6**2 + 4 * 3**2 + 12**2  # t_end; t_end + 1; the last position, in all orders
content_1 = 12**2 // 9  # x = 1/3
content_2 = 21**2 // 9  # x = 2/3, or 1/3 where two labels coincide
squares = position_1 + position_2 + content_1 + content_2
print(f"|mean gradient of L1b| → √({squares}/1296) = {np.sqrt(squares) / 36:.6f}")

np.testing.assert_allclose(norm(mean.gradients.replay), np.sqrt(squares) / 36, rtol=1e-6)
np.testing.assert_allclose(norm(mean.multi_token[1]), np.sqrt(squares) / 144, rtol=1e-6)  # Eq. 3
np.testing.assert_allclose(mean.losses.replay, 20 - np.log(3), rtol=0, atol=1e-6)
np.testing.assert_allclose(mean.losses.goal * np.exp(20), 8, rtol=1e-6)

# %% [markdown]
# So in the limit the circuit is a stationary point of $L_{1a}$ and of $L_2$, but not of the loss of Eq. 3, in which
# $L_{1b}$ has weight $\frac14$: that loss grows as $\gamma/4$, and gradient descent on it does not rest there.
#
# ## Which claims hold?
#
# The registry lists what the papers claim, each with a recorded verdict. A check states tests, and the verdict is
# computed from what they measure. A test is also applied to deliberately wrong variants of the claim, its controls,
# which it has to reject. *Amended* means false or ill-typed as printed, while what it was meant to establish stands
# with a stated correction; *fails* means that what the claim was meant to establish is false too. Two claims that are
# decided quickly (and not again if the code has not changed since):

# %%
decided = verify("lemma-3.content-2,theorem-1.replay")
assert decided.agrees
decided

# %% [markdown]
# The evidence for one of them:

# %%
decided["theorem-1.replay"]

# %% [markdown]
# `circuits verify` decides the whole registry, the corollaries of this notebook among them, and exits with 1 when a
# verdict differs from the recorded one or a control does not come out as it must.
#
# ## Exercise
#
# One entry of $W_1^{(2)}$ keeps layer 1 from matching the goal in the query with itself. What is the mean probability
# of $v$ over the 24 edge orders if that entry is 0? Count first, then compute. The solution is in the next cell, which
# is collapsed.

# %% tags=["hide-cell"] jupyter={"source_hidden": true, "outputs_hidden": true}
# The last row of layer 1 now gives one half to t_end, from which v is read, and one half to position 8, which passes on
# position 7: the target of the edge that is listed last. In a quarter of the orders that is (start, v), so it is v too.
unmasked = (sharp[0], sharp[1]._replace(position=jnp.zeros((T, T))))
outputs = jax.jit(jax.vmap(forward, in_axes=(None, 0)))(unmasked, prompts).outputs[1]
probability = float(np.mean(np.asarray(outputs)[np.arange(24), np.asarray(tasks.targets(orders)[0])]))
print(f"mean probability of v: {probability:.4f}")
np.testing.assert_allclose(probability, 1 / 2 + 1 / 4 * 1 / 2, rtol=0, atol=1e-6)
