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
# # Watch the two phases
#
# Theorem 2 says how multi-token prediction finds the circuit. In Phase I the loss $L_2$ alone teaches Layer 1 to point
# one position back. In Phase II the loss $L_{1a}$ teaches Layer 2 to match contents. Both are statements about
# gradient flows on population losses, which can be solved exactly: there are 24 edge orders, and label symmetry takes
# care of the labels. We solve them to $t = 10^8$ and read off what grows, how fast, and what the paper gets wrong
# on the way. Positions are counted from 1 in the text and from 0 in the code.

# %%
import jax

jax.config.update("jax_enable_x64", True)

from fractions import Fraction

import jax.numpy as jnp
import numpy as np
import optax
from scipy.integrate import solve_ivp

from circuits.disentangled.circuit import circuit
from circuits.disentangled.closed_form import forward
from circuits.disentangled.weights import Layer
from circuits.flow import printed
from circuits.flow.coordinates import coordinates, free, orbits, toeplitz
from circuits.flow.descent import optimise
from circuits.flow.fields import GOAL, PLAN, gradient_flow, population_loss
from circuits.flow.rates import rate
from circuits.flow.solve import evaluate, log_times, solve
from circuits.plotting import Line, LinePanel, attention_heatmaps, line_panels
from circuits.tasks.star.enumeration import canonical_problems
from circuits.tasks.star.graph import StarGraph, encode_prompt

family = StarGraph(paths=2, nodes=3, labels=10)
N, T = family.labels, family.sequence_length
times = log_times(1e8)

# %% [markdown]
# ## Where the goal stands
#
# Phase I depends on one thing about the task: where $u_{end}$ stands in the prompt. The proof takes it to be equally
# likely at each of the eight context positions. But an edge lists its source first, and $u_{end}$ is the source of no
# edge.

# %%
prompts = np.asarray(jax.vmap(encode_prompt)(canonical_problems(family)))
GOAL_LABEL = 2  # of the canonical labels: start 0, v 1, goal 2
share = [Fraction(int((prompts[:, t] == GOAL_LABEL).sum()), len(prompts)) for t in range(T - 2)]
print("P(u_end at position t), t = 1 .. 8:", *share)

assert share == [0, Fraction(1, 4)] * 4

# %% [markdown]
# ## Phase I
#
# $W_1^{(1)}$ is Toeplitz, $W_{ij} = w(i - j)$, and follows the gradient of the population loss of $L_2$. The last
# row sees
# $u_{end}$'s prompt mention at offset 1, and its other mention at offset 2, 4, 6 or 8. So there are four kinds of
# offsets, and the field is known in closed form:
#
# $$ \dot w_p = -s_p + \frac{s_p}{s_p + s_e}, \quad \dot w_e = -s_e + \frac14 \frac{s_e}{s_p + s_e}, \quad
#    \dot w_o = -s_o, \quad \dot w_q = -s_q, $$
#
# where Eq. 10 of the paper has one kind of context offset, with $\frac18$.

# %%
tied = coordinates(family, position_1=toeplitz(T))
field = gradient_flow(tied, GOAL, family)
compiled = jax.jit(field)
velocity = compiled(jnp.zeros(T))
print("exact   w'(1), w'(even), w'(odd), w'(0):", *(round(float(velocity[k]), 4) for k in (1, 2, 3, 0)))
print("printed w'(1), w'(context), w'(0):      ", *(round(float(x), 4) for x in printed.phase_1(jnp.zeros(3))))

at = 0.5 * np.random.default_rng(0).normal(size=4)[[3, 0, 1, 2, 1, 2, 1, 2, 1, 2]]  # w(0), p, then even, odd, ..
s = np.exp(at) / np.exp(at).sum()
rewarded = np.array([0, 1, *[1 / 4, 0] * 4])
np.testing.assert_allclose(compiled(jnp.asarray(at)), -s + rewarded * s / (s[1] + s[2]), atol=1e-15)

# %%
phase_1 = solve(field, jnp.zeros(T), times, rtol=1e-10, atol=1e-12, dense=True)
w = phase_1.states
after, curves = np.asarray(times)[1:], np.asarray(w)[1:].T  # t = 0 has no place on a logarithmic axis
kinds = {"w(1)": 1, "w(2), w(4), w(6), w(8)": 2, "w(0), w(3), w(5), w(7), w(9)": 3}
lines = [Line(name, after, curves[k], colour) for colour, (name, k) in enumerate(kinds.items())]
line_panels([LinePanel("Phase I: Layer 1 learns to point one position back", "weight", lines)], "time t of the flow")

# %% [markdown]
# The gap to every other offset grows like $\log t$, and the loss falls like $0.9 / t$. The constants follow from the
# field: insert $s_e / s_p = A / t$ and $s_o / s_p = B / t$, and both gaps grow like $\log t$ only if $\frac{15}{4}
# A + 5 B = 1$ and
# $3 A + 6 B = 1$, so $A = \frac{2}{15}$ and $B = \frac1{10}$.

# %%
for name, k in (("even", 2), ("odd", 3), ("self", 0)):
    fitted = rate(times, w[:, 1] - w[:, k])
    print(f"gap to {name:4} offsets: {fitted.slope:.5f} ± {fitted.uncertainty:.0e} per log t")
    assert abs(fitted.slope - 1) < 1e-3
loss = jax.jit(population_loss(tied, GOAL, family))(w[-1])
relative = times[-1] * jnp.exp(w[-1] - w[-1, 1])
print(f"t s_e/s_p = {relative[2]:.6f}, t s_o/s_p = {relative[3]:.6f}, t L2 = {times[-1] * loss:.6f}")

np.testing.assert_allclose(relative[jnp.array([2, 3])], [2 / 15, 1 / 10], rtol=1e-6)
np.testing.assert_allclose(times[-1] * loss, 0.9, rtol=1e-6)

# %% [markdown]
# How do we know that the solution is right? Softmax does not see a constant added to all of $w$, so $\sum_k w(k)$
# stays.
# And $\dot w_o = -s_o$ and $\dot w_q = -s_q$ have the same denominator, so $e^{-w(3)} - e^{-w(0)}$ stays. From
# another start,
# where it is not 0, both hold, and an independent solver in plain time agrees.

# %%
start = jnp.linspace(-1.0, 1.0, T)
elsewhere = solve(field, start, times, rtol=1e-10, atol=1e-12, dense=True).states  # the same program
np.testing.assert_allclose(elsewhere.sum(axis=1), 0, atol=1e-8)
np.testing.assert_allclose(
    jnp.exp(-elsewhere[:, 3]) - jnp.exp(-elsewhere[:, 0]), jnp.exp(1 / 3) - jnp.exp(1.0), rtol=1e-8
)

jacobian = jax.jit(jax.jacfwd(field))
oracle = solve_ivp(
    lambda t, x: compiled(x), (0, 1e6), np.zeros(T), "Radau", jac=lambda t, x: jacobian(x), rtol=1e-9, atol=1e-11
)
np.testing.assert_allclose(evaluate(phase_1, 1e6), oracle.y[:, -1], rtol=1e-6)

# %% [markdown]
# Gradient descent with a finite step is near the flow, and nearer with a smaller step: explicit Euler, of order one.

# %%
end = evaluate(phase_1, 10.0)
descended = [optimise(field, jnp.zeros(T), optax.sgd(10 / n), n, n)[-1] for n in (100, 200, 400)]
distance = np.array([jnp.linalg.norm(theta - end) for theta in descended])
print("distance to the flow at t = 10:", distance.round(5), " ratios", (distance[:-1] / distance[1:]).round(3))
assert ((distance[:-1] / distance[1:] > 1.9) & (distance[:-1] / distance[1:] < 2.1)).all()

# %% [markdown]
# ## Phase II
#
# Now Layer 1 is the predecessor pointer, and $L_{1a}$ moves Layer 2 from zero. By symmetry $W_0^{(2)} = a I + b
# (11^\top - I)$,
# and only row $T - 1$ of $W_1^{(2)}$ moves. ($\gamma = 800$ is infinite for float64: $e^{-800}$ is 0.)

# %%
pointer = circuit(800.0, N, T)[0]
row = np.zeros((T, T), bool)
row[T - 2] = True
unmoved = Layer(jnp.zeros((N, N)), jnp.zeros((T, T)))
second = coordinates(family, content_2=orbits(N), position_2=free(row), at=(pointer, unmoved))
field_2 = gradient_flow(second, PLAN, family)
first_move = np.asarray(jax.jit(field_2)(jnp.zeros(12)))
print("velocity at 0 of the diagonal:", first_move[0].round(4), " of row T - 1:", first_move[2:].round(4))

phase_2 = solve(field_2, jnp.zeros(12), times, rtol=1e-9, atol=1e-10)
a, b, positions = phase_2.states[:, 0], phase_2.states[:, 1], phase_2.states[:, 2:]
content = [Line("diagonal", after, a[1:], 0), Line("off the diagonal", after, b[1:], 1)]
kinds = {"self-mask": 8, "even positions": 1, "odd positions": 0}
row_9 = [Line(name, after, positions[1:, j], colour) for colour, (name, j) in enumerate(kinds.items())]
panels = [LinePanel("$W_0^{(2)}$", "weight", content), LinePanel("Row $T - 1$ of $W_1^{(2)}$", "weight", row_9)]
line_panels(panels, "time t of the flow", title="Phase II: Layer 2 learns to match contents")

# %% [markdown]
# The diagonal grows and the self-mask falls, as Theorem 2 says. But the theorem also says that off-diagonal entries
# converge and that the other positions stay at 0, and neither is so. A row of $W_0^{(2)}$ keeps its sum, so $b =
# -a/9$. A row
# of $W_1^{(2)}$ keeps its sum too, so what the self-mask loses others must gain.

# %%
derived = {"diagonal": 9 / 10, "off-diagonal": -1 / 10, "self-mask": -4 / 5, "even": 1 / 5}
measured = {"diagonal": a, "off-diagonal": b, "self-mask": positions[:, 8], "even": positions[:, 1]}
for name, slope in derived.items():
    fitted = rate(times, measured[name])
    print(f"{name:12} {fitted.slope:+.4f} ± {fitted.uncertainty:.4f} per log t, derived {slope:+.1f}")
    assert abs(fitted.slope - slope) < 0.02
np.testing.assert_allclose(a + 9 * b, 0, atol=1e-8)
np.testing.assert_allclose(positions.sum(axis=1), 0, atol=1e-8)

# %% [markdown]
# What the model attends to at the end, on the running example: the circuit.

# %%
example = jnp.array([3, 7, 6, 0, 7, 2, 3, 6, 0, 3])
acts = forward(second.embed(phase_2.states[-1]), example)
attention_heatmaps([("Layer 1", acts.attention[0]), ("Layer 2", acts.attention[1])], example)

# %%
assert float(acts.attention[1][-1, 3]) > 0.999999
assert int(acts.outputs[1].argmax()) == 6
