"""Lemma 4: the differential of L2, and that it does not reach Layer 2 (gradient decoupling)."""

import jax
import jax.numpy as jnp
from jax import Array
from jax.flatten_util import ravel_pytree

from circuits.disentangled import literal
from circuits.disentangled.closed_form import forward
from circuits.disentangled.shallow_head import shallow_differential
from circuits.disentangled.weights import Weights
from proofs_check import setting
from proofs_check.evidence import Control, Evidence, Findings, at_most
from proofs_check.gradient_check import against_autodiff
from proofs_check.setting import Formula


def differential() -> Findings:
    """dL2 = -(1/(f2 . e)) (z_T^T dW0^(1) Z^T + dW1^(1)[T]) J(S1[T]) Z e, along a random direction."""

    first, _ = setting.direction()
    nothing = jnp.zeros_like(first.content)

    def along(content: Array, position: Array) -> Formula:
        return lambda weights, tokens, target: shallow_differential(
            forward(weights, tokens), tokens, target, content, position
        )

    def printed(weights: Weights, tokens: Array, target: Array) -> Array:
        z = jax.nn.one_hot(tokens, setting.N, dtype=first.content.dtype)
        s = jax.nn.softmax(z[-1] @ weights[0].content @ z.T + weights[0].position[-1])
        d_logits = z[-1] @ first.content @ z.T + first.position[-1]
        return -d_logits @ (jnp.diag(s) - jnp.outer(s, s)) @ z[:, target] / (s @ z[:, target])

    stated = along(*first)
    return against_autodiff(
        "dL2 along a random direction",
        setting.goal_cases(),
        oracle=lambda *case: jax.jvp(
            lambda w: setting.shallow_literal_loss(w, *case[1:]), case[:1], (setting.direction(),)
        )[1],
        printed=printed,
        library={"of the library": stated},
        controls={
            "without the content term": along(nothing, first.position),
            "without the position term": along(first.content, nothing),
            "content weight transposed": along(first.content.T, first.position),
            "row T - 1 of dW1": along(first.content, jnp.roll(first.position, 1, axis=0)),
            "sign flipped": lambda *case: -stated(*case),
        },
    )


def decoupling() -> Findings:
    """No gradient of L2 reaches Layer 2: it is exactly zero, and f2 does not move when Layer 2 is replaced."""

    def reach(layer: int) -> tuple[Evidence, Evidence]:
        """How strongly the loss of the head on ``layer`` depends on the weights of Layer 2."""
        cases = setting.goal_cases()

        def output(weights: Weights, tokens: Array) -> Array:
            return literal.forward(weights, tokens).outputs[layer - 1]

        found = setting.evaluate(
            {
                "gradient": lambda *case: jax.grad(setting.literal_loss)(*case, layer=layer)[1],
                "moved": lambda w, tokens, _: output(w, tokens) - output((w[0], setting.direction()[1]), tokens),
            },
            cases,
        )
        size = float(jnp.max(jnp.abs(ravel_pytree(found["gradient"])[0])))
        moved = float(jnp.max(jnp.abs(found["moved"])))
        return (
            at_most("autodiff", "max |gradient in Layer 2|", size, 0.0, setting.count(cases)),
            at_most(
                "simulated",
                "max |change of the output| for new Layer-2 weights",
                moved,
                0.0,
                setting.count(cases),
            ),
        )

    by_gradient, by_output = reach(2)
    return Findings(
        reach(1),
        (
            Control("the deep head in its place: gradient", by_gradient),
            Control("the deep head: output", by_output),
        ),
    )
