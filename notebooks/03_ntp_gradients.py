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
# # Next-token prediction: printed and real gradients
#
# Theorem 3 explains why next-token prediction (NTP) misses the circuit: at zero initialisation, it says, the gradient
# of the NTP loss lowers $w(1)$, the weight of the predecessor, and raises $w(k)$ for $k \ge 2$. This notebook
# computes that
# gradient exactly, in fractions, on all 24 edge orders. The sign is the other way round. We find the step of the proof
# that turns it, and then follow the flow to see where NTP really goes. Positions are counted from 1 in the text and
# from 0 in the code.

# %%
import jax

jax.config.update("jax_enable_x64", True)

from fractions import Fraction

import jax.numpy as jnp
import numpy as np
import optax

from circuits.disentangled.objective import objective
from circuits.disentangled.weights import zeros
from circuits.flow.coordinates import all_entries, causal_entries, coordinates, orbits, toeplitz
from circuits.flow.descent import optimise
from circuits.flow.fields import NEXT_TOKEN, PLAN, gradient_flow, population_loss
from circuits.flow.population import mean_by_symmetry
from circuits.flow.rates import rate
from circuits.flow.solve import log_times, solve
from circuits.plotting import BarPanel, Bars, Line, LinePanel, bar_panels, line_panels
from circuits.tasks.star.enumeration import canonical_problems
from circuits.tasks.star.graph import StarGraph, encode_prompt

family = StarGraph(paths=2, nodes=3, labels=10)
T = family.sequence_length
prompts = np.asarray(jax.vmap(encode_prompt)(canonical_problems(family)))  # canonical labels: start 0, v 1, goal 2
START, V, GOAL = 0, 1, 2

# %% [markdown]
# ## The setting
#
# Everything is zero. Row $r$ of $S^{[1]}$ is uniform over positions $1 \dots r$, and $S^{[2]}_T$ is uniform over
# all $T$. With
# $u$ the indicator of the positions that hold $v$, the probability of $v$ is
#
# $$ \mu = \frac1T \sum_{r=1}^T \frac1r \sum_{j \le r} u_j, \qquad L_{1a} = -\log \mu, \qquad
#    \frac{\partial \mu}{\partial w(k)} = \frac1T \sum_{r = k+1}^T \frac1r \Bigl( u_{r-k} - \frac1r \sum_{j \le r}
# u_j \Bigr). $$
#
# The last formula is Eq. 13 of the paper, and it is right.


# %%
def probability(u):
    """mu, as a fraction."""
    return sum(Fraction(sum(u[:r]), r) for r in range(1, T + 1)) / T


def slope(u, k):
    """d mu / d w(k), by Eq. 13."""
    return sum(Fraction(1, r) * (u[r - k - 1] - Fraction(sum(u[:r]), r)) for r in range(k + 1, T + 1)) / T


def mean(values):
    values = list(values)
    return sum(values) / len(values)


indicators = [[int(label == V) for label in prompt] for prompt in prompts]
print("P(v at position t):", *(mean(Fraction(u[t]) for u in indicators) for t in range(T)))
print("expected mass:", mean(Fraction(sum(u)) for u in indicators))
assert mean(Fraction(sum(u)) for u in indicators) == 2

# %% [markdown]
# The proof takes $v$ to stand once, with probability $\frac18$ at each context position. It stands twice: as the target
# of (start, $v$) and as the source of ($v$, goal). So the values of Eqs. 14 and 15 double, and their signs stay:
# $E[\partial \mu / \partial w(1)] < 0$, and $> 0$ for $k \ge 2$.

# %%
of_mean = [mean(slope(u, k) for u in indicators) for k in range(T)]
printed_mean = [Fraction(1, 10) * (Fraction(1, 648) - Fraction(1, 100))]
printed_mean += [Fraction(1, 10) * (Fraction(1, 648) + Fraction(2, 800))] * 8
for k in range(1, T):
    print(f"k = {k}: printed {float(printed_mean[k - 1]):+.6f}   exact {float(of_mean[k]):+.6f} = {of_mean[k]}")
assert all(of_mean[k] == 2 * printed_mean[k - 1] for k in range(1, 9))
assert of_mean[9] == Fraction(1, 2000)  # row T - 1 sees no offset 9

# %% [markdown]
# ## The step that turns the sign
#
# From there the proof goes on with $E[\partial L_1 / \partial w(k)] = -\frac1{\mu_0} E[\partial \mu / \partial
# w(k)]$. But $\mu$ is not one number
# $\mu_0$: it depends on where $v$ is listed. Where $v$ comes late, $\mu$ is small, and a late row gains by looking
# one position
# back. These graphs have the largest weight $1/\mu$.

# %%
by_order = sorted({(probability(u), slope(u, 1), tuple(t + 1 for t in range(T) if u[t])) for u in indicators})
print(" v at      mu    dmu/dw(1)   -dmu/dw(1) / mu")
for mu, d, places in by_order:
    print(f"{places!s:8} {float(mu):.3f}   {float(d):+.4f}     {float(-d / mu):+.4f}")
of_loss = [mean(-slope(u, k) / probability(u) for u in indicators) for k in range(T)]
print(f"\nmean of dmu/dw(1):   {float(of_mean[1]):+.6f}")
print(f"mean of dL1a/dw(1):  {float(of_loss[1]):+.6f}")
assert of_mean[1] < 0
assert of_loss[1] < 0  # the paper: > 0

# %% [markdown]
# So gradient descent on $L_{1a}$ *raises* $w(1)$, and it lowers $w(k)$ for $k \ge 4$. The whole NTP loss, with
# $L_{1b}$, does so
# more strongly. The hand-derived gradients of the library, summed along diagonals, say the same, and so does automatic
# differentiation of the population loss.

# %%
replayed = [[int(label == GOAL) for label in [*prompt[:-1], V]] for prompt in prompts]
of_replay = [mean(-slope(u, k) / probability(u) for u in replayed) for k in range(T)]
of_ntp = [(plan + replay) / 2 for plan, replay in zip(of_loss, of_replay, strict=True)]

by_hand = mean_by_symmetry(objective, zeros(2, 10, T), family).gradients
tied = coordinates(family, position_1=toeplitz(T))
for exact, gradient, mixture in (
    (of_loss, by_hand.plan, PLAN),
    (of_ntp, jax.tree.map(lambda a, b: (a + b) / 2, by_hand.plan, by_hand.replay), NEXT_TOKEN),
):
    along = [float(jnp.trace(gradient[0].position, offset=-k)) for k in range(T)]
    np.testing.assert_allclose([float(x) for x in exact], along, atol=1e-15)
    np.testing.assert_allclose(-jax.jit(gradient_flow(tied, mixture, family))(jnp.zeros(T)), along, atol=1e-15)

mu_0 = mean(probability(u) for u in indicators)
as_printed = np.array([np.nan, *(-float(d / mu_0) for d in printed_mean)])
panels = [
    BarPanel(
        title, "dL/dw(k) at w = 0", [Bars("printed", as_printed, 1), Bars("exact", np.array([float(x) for x in of]), 0)]
    )
    for title, of in (("$L_{1a}$", of_loss), ("NTP: $(L_{1a} + L_{1b})/2$", of_ntp))
]
bar_panels(panels, range(T), "offset k", title="Descent raises a weight where its bar points down")

# %% [markdown]
# ## Where the flow goes
#
# The theorem is about the first moment. With Layer 2 kept at zero the NTP flow goes on to the predecessor pointer:
# $S^{[1]}_{T,T-1} \to 1$. What the paper calls repelled is the limit.

# %%
times = log_times(1e8)
w = solve(gradient_flow(tied, NEXT_TOKEN, family), jnp.zeros(T), times, rtol=1e-7, atol=1e-8).states
attention = np.asarray(jax.nn.softmax(w, axis=1))  # row T sees every offset
offsets = {"predecessor, k = 1": 1, "itself, k = 0": 0, "k = 2": 2, "k = 3": 3}
lines = [
    Line(name, np.asarray(times)[1:], attention[1:, k], colour) for colour, (name, k) in enumerate(offsets.items())
]
line_panels([LinePanel("NTP with Layer 2 at zero", "$S^{[1]}_{T,T-k}$", lines)], "time t of the flow")

# %%
gaps = [rate(times, w[:, 1] - w[:, k]) for k in range(T) if k != 1]
print("slopes of w(1) - w(k) per log t:", *(f"{gap.slope:.3f}" for gap in gaps))
assert attention[-1, 1] > 0.999
assert min(gap.slope - gap.uncertainty for gap in gaps) > 0.5

# %% [markdown]
# ## Why, then, does NTP fail?
#
# Trained with AdamW from small random weights, the reduced model under NTP predicts $v$ half of the time
# (`circuits verify --only section-5.phenomenon`). On the exact population gradient, from zero and with all weights
# free, the optimiser decides. AdamW gives every entry a step of the same size, so the content weights of Layer 1, whose
# gradients are small because each label is one of ten, grow as fast as the position weights: the query looks up its own
# label, the start, and stops at $\log 2$. Plain gradient descent, with the same loss, learns the pointer first, stays
# at $\log 2$ for long, and then solves the task.

# %%
everything = coordinates(family, orbits(10), causal_entries(T), orbits(10), all_entries(T))
ntp = gradient_flow(everything, NEXT_TOKEN, family)
zero = jnp.zeros(len(everything.names))
runs = {
    "AdamW, 5e-4": optimise(ntp, zero, optax.adamw(5e-4, weight_decay=0.0), 20_000, 1_000),
    "gradient descent, 2": optimise(ntp, zero, optax.sgd(2.0), 20_000, 1_000),
}
to_goal = jax.jit(jax.vmap(lambda theta: jax.nn.softmax(everything.embed(theta)[0].position[-1])[-2]))
of_plan = jax.jit(jax.vmap(population_loss(everything, PLAN, family)))
found = {name: np.asarray(of_plan(path)) for name, path in runs.items()}
steps = np.arange(1, 21) * 1_000
lines = [Line(name, steps, losses[1:], colour) for colour, (name, losses) in enumerate(found.items())]
panel = LinePanel("NTP on the exact gradient: $L_{1a}$", "nats", lines)
line_panels([panel], "steps", log_x=False)

# %%
for name, path in runs.items():
    print(f"{name}: L1a = {found[name][-1]:.4f}; position weights alone give u_end {to_goal(path)[-1]:.3f}")
assert abs(found["AdamW, 5e-4"][-1] - np.log(2)) < 0.01
assert found["gradient descent, 2"][-1] < 0.01
