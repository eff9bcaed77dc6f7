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
# # Watch the two phases
#
# **Does gradient flow on the multi-token loss find the circuit in two phases, as Theorem 2 says?** Yes. In Phase I the
# loss $L_2$ alone teaches layer 0 to attend to the predecessor: its weight pulls away from every other one by
# $1.000 \log t$. In Phase II the loss $L_{1a}$ teaches layer 1 to match contents: the diagonal of $W_0^{(2)}$ grows as
# $0.9 \log t$. **Do all other weights stay finite, as the theorem also says?** No: off the diagonal they fall as
# $-0.1 \log t$, and four entries of $W_1^{(2)}$ that should stay at 0 grow as $0.2 \log t$.
#
# Both phases are gradient flows on population losses, which can be computed exactly: there are 24 edge orders, and
# label symmetry takes care of the labels. We solve them to $t = 10^8$. Layers and positions count from 0; symbols with
# indices, such as $W_1^{(1)}$, are the paper's, which counts from 1.

# %%
import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy.integrate import solve_ivp

from circuits import Layer, StarGraph, circuit, encode_prompt, flow, forward, plotting, tasks

jax.config.update("jax_enable_x64", True)

family = StarGraph(paths=2, nodes=3, labels=10)
N, T = family.labels, family.sequence_length
times = flow.log_times(1e8)
later = np.asarray(times)[1:]  # a logarithmic axis has no 0

# %% [markdown]
# ## Where does the goal stand?
#
# Phase I depends on one thing about the task: where $u_{end}$ stands in the prompt. The proof takes it to be equally
# likely at each of the eight context positions.

# %%
prompts = np.asarray(jax.vmap(encode_prompt)(tasks.canonical_problems(family)))
GOAL_LABEL = 2  # of the canonical labels: start 0, v 1, goal 2
share = (prompts[:, : T - 2] == GOAL_LABEL).mean(axis=0)
print("P(u_end at position t), t = 0 .. 7:", *share.tolist())
assert share.tolist() == [0, 1 / 4] * 4

# %% [markdown]
# An edge lists its source first, and $u_{end}$ is the source of no edge. So it is only at odd positions.
#
# ## How does Phase I begin?
#
# $W_1^{(1)}$ is Toeplitz, $W_{ij} = w(i - j)$, and follows the gradient of the population loss of $L_2$. The last row
# sees the mention of $u_{end}$ in the query at offset 1, and its other mention at offset 2, 4, 6 or 8. So there are
# four kinds of offsets (p for offset 1, e for even and o for odd ones, q for offset 0), and the field is known in
# closed form:
#
# $$ \dot w_p = -s_p + \frac{s_p}{s_p + s_e}, \quad \dot w_e = -s_e + \frac14 \frac{s_e}{s_p + s_e}, \quad
#    \dot w_o = -s_o, \quad \dot w_q = -s_q. $$

# %%
tied = flow.coordinates(family, position_1=flow.toeplitz(T))
field = flow.gradient_flow(tied, flow.GOAL, family)
velocity = jax.jit(field)
at_zero = np.asarray(velocity(jnp.zeros(T)))
print("w'(1), w'(even), w'(odd), w'(0) at zero:", *(round(float(at_zero[k]), 4) for k in (1, 2, 3, 0)))

at = 0.5 * np.random.default_rng(0).normal(size=4)[[3, 0, 1, 2, 1, 2, 1, 2, 1, 2]]  # w(0), p, then even, odd, ..
s = np.exp(at) / np.exp(at).sum()
rewarded = np.array([0, 1, *[1 / 4, 0] * 4])
np.testing.assert_allclose(velocity(at), -s + rewarded * s / (s[1] + s[2]), rtol=0, atol=1e-15)

# %% [markdown]
# Eq. 10 of the paper has one kind of context offset instead, with $\frac18$, and a velocity of -0.0375 for all of them.
#
# ## What does Phase I learn?
#
# We solve the flow from zero.

# %%
phase_1 = flow.solve(field, jnp.zeros(T), times, rtol=1e-10, atol=1e-12, dense=True)
w = np.asarray(phase_1.states)
phase_1.plot(
    [f"w({k})" for k in range(T)], title="Phase I: layer 0 learns to attend to the predecessor", ylabel="weight"
)

# %% [markdown]
# The weight of the predecessor, w(1), grows, and all others fall.
#
# ## How fast?
#
# The constants follow from the field: insert $s_e / s_p = A / t$ and $s_o / s_p = B / t$. Both gaps grow like $\log t$
# only if $\frac{15}{4} A + 5 B = 1$ and $3 A + 6 B = 1$, so $A = \frac{2}{15}$ and $B = \frac1{10}$.

# %%
for name, k in (("even", 2), ("odd", 3), ("self", 0)):
    fitted = flow.rate(times, w[:, 1] - w[:, k])
    print(f"gap to {name:4} offsets: {fitted.slope:.5f} ± {fitted.uncertainty:.0e} per log t")
    assert abs(fitted.slope - 1) < 1e-3
loss = jax.jit(flow.population_loss(tied, flow.GOAL, family))(w[-1])
relative = later[-1] * np.exp(w[-1] - w[-1, 1])
print(f"t s_e/s_p = {relative[2]:.6f}, t s_o/s_p = {relative[3]:.6f}, t L2 = {times[-1] * loss:.6f}")

np.testing.assert_allclose(relative[[2, 3]], [2 / 15, 1 / 10], rtol=1e-6)
np.testing.assert_allclose(times[-1] * loss, 0.9, rtol=1e-6)

# %% [markdown]
# The gap to every other offset grows like $\log t$, and the loss falls like $0.9 / t$.
#
# ## How do we know that the solution is right?
#
# Softmax does not see a constant added to all of $w$, so $\sum_k w(k)$ is conserved. And $\dot w_o = -s_o$ and $\dot
# w_q = -s_q$ have the same denominator, so $e^{-w(3)} - e^{-w(0)}$ is conserved too. We check both from another start,
# where the second is not 0, and the first solution with an independent solver in plain time.

# %%
start = jnp.linspace(-1.0, 1.0, T)
elsewhere = np.asarray(flow.solve(field, start, times, rtol=1e-10, atol=1e-12, dense=True).states)
np.testing.assert_allclose(elsewhere.sum(axis=1), 0, rtol=0, atol=1e-8)
conserved = np.exp(-elsewhere[:, 3]) - np.exp(-elsewhere[:, 0])
np.testing.assert_allclose(conserved, np.exp(1 / 3) - np.exp(1.0), rtol=1e-8)

jacobian = jax.jit(jax.jacfwd(field))
oracle = solve_ivp(
    lambda t, x: velocity(x), (0, 1e6), np.zeros(T), "Radau", jac=lambda t, x: jacobian(x), rtol=1e-9, atol=1e-11
)
np.testing.assert_allclose(flow.evaluate(phase_1, 1e6), oracle.y[:, -1], rtol=1e-6)

# %% [markdown]
# Both are conserved, and the two solvers agree.
#
# ## Does gradient descent follow the flow?
#
# Gradient descent with a finite step is explicit Euler, a method of order one.

# %%
end = flow.evaluate(phase_1, 10.0)
descended = [flow.optimise(field, jnp.zeros(T), optax.sgd(10 / n), n, n)[-1] for n in (100, 200, 400)]
distance = np.array([np.linalg.norm(theta - end) for theta in descended])
print("distance to the flow at t = 10:", distance.round(5), " ratios", (distance[:-1] / distance[1:]).round(3))
assert ((distance[:-1] / distance[1:] > 1.9) & (distance[:-1] / distance[1:] < 2.1)).all()

# %% [markdown]
# It does: with half the step, it is half as far from the flow.
#
# ## What does Phase II learn?
#
# Now layer 0 attends to the predecessor, and $L_{1a}$ moves layer 1 from zero. By symmetry
# $W_0^{(2)} = a I + b (11^\top - I)$, and only row $T - 1$ of $W_1^{(2)}$ moves, the row of the goal in the query, at
# position 8. ($\gamma = 800$ is infinite for float64: $e^{-800}$ is 0.)

# %%
predecessor = circuit(800.0, N, T)[0]
row = np.zeros((T, T), bool)
row[T - 2] = True
at = (predecessor, Layer(jnp.zeros((N, N)), jnp.zeros((T, T))))
second = flow.coordinates(family, content_2=flow.orbits(N), position_2=flow.free(row), at=at)
field_2 = flow.gradient_flow(second, flow.PLAN, family)
phase_2 = flow.solve(field_2, jnp.zeros(12), times, rtol=1e-9, atol=1e-10)
a, b, *positions = np.asarray(phase_2.states).T
content = [plotting.Line("diagonal", later, a[1:], 0), plotting.Line("off the diagonal", later, b[1:], 1)]
kinds = {"8, itself": 8, "odd positions": 1, "even positions": 0}
of_row = [plotting.Line(name, later, positions[j][1:], colour) for colour, (name, j) in enumerate(kinds.items())]
panels = [
    plotting.LinePanel("$W_0^{(2)}$", "weight", content),
    plotting.LinePanel("Row $T - 1$ of $W_1^{(2)}$, by key position", "weight", of_row),
]
plotting.line_panels(panels, "time t of the flow", title="Phase II: layer 1 learns to match contents")

# %% [markdown]
# The diagonal grows and the weight of the goal's own position falls, as Theorem 2 says. But the theorem also says that
# off-diagonal entries converge and that the other positions stay at 0, and neither is so.
#
# ## How fast?
#
# A row of $W_0^{(2)}$ keeps its sum, so $b = -a/9$. A row of $W_1^{(2)}$ keeps its sum too, so what one position loses,
# others must gain.

# %%
derived = {"diagonal": (a, 9 / 10), "off-diagonal": (b, -1 / 10), "itself": (positions[8], -4 / 5)}
for name, (values, slope) in (derived | {"odd positions": (positions[1], 1 / 5)}).items():
    fitted = flow.rate(times, values)
    print(f"{name:13} {fitted.slope:+.4f} ± {fitted.uncertainty:.4f} per log t, derived {slope:+.1f}")
    assert abs(fitted.slope - slope) < 0.02
np.testing.assert_allclose(a + 9 * b, 0, rtol=0, atol=1e-8)
np.testing.assert_allclose(sum(positions), 0, rtol=0, atol=1e-8)

# %% [markdown]
# All slopes are as derived from these two sums.
#
# ## Is this the circuit?
#
# We look at the attention at the end of the flow, on the paper's running example.

# %%
example = jnp.array([3, 7, 6, 0, 7, 2, 3, 6, 0, 3])
activations = jax.jit(forward)(second.embed(phase_2.states[-1]), example)
plotting.attention_heatmaps([(f"Layer {i}", pattern) for i, pattern in enumerate(activations.attention)], example)

# %%
assert float(activations.attention[1][-1, 3]) > 0.999999
assert int(activations.outputs[1].argmax()) == 6

# %% [markdown]
# The last position attends to the goal's edge, and the model predicts the branching token: it is the circuit.
#
# ## Exercise
#
# How fast does $L_{1a}$ fall in Phase II? Find the limit of $t L_{1a}$ from the last state of the flow.
# The solution is in the next cell, which is collapsed.

# %% tags=["hide-cell"] jupyter={"source_hidden": true, "outputs_hidden": true}
loss = jax.jit(flow.population_loss(second, flow.PLAN, family))(phase_2.states[-1])
print(f"t L1a = {times[-1] * loss:.4f}, derived {49 / 5}")
np.testing.assert_allclose(times[-1] * loss, 49 / 5, rtol=1e-2)
