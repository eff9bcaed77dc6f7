"""Theorem 3's gradient at w = 0, as printed and as it is: the first push that next-token training gives layer 0."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from common import FIGURES, STAR, command_line, save, stored

from circuits.disentangled.closed_form import forward
from circuits.disentangled.weights import zeros
from circuits.flow.coordinates import coordinates, toeplitz
from circuits.flow.fields import NEXT_TOKEN, PLAN, population_loss
from circuits.plotting import BarPanel, Bars, bar_panels
from circuits.tasks.star.enumeration import canonical_problems
from circuits.tasks.star.graph import encode_prompt, targets


def main(toy: bool = False, out: Path = FIGURES) -> None:
    arrays = stored("ntp_gradient", compute, toy)
    mu0 = float(arrays["mean probability"])
    printed = Bars("printed", np.array([np.nan, 548 / 648_000, *[-2096 / 5_184_000] * 8]) / mu0, 1)
    losses = {
        ("The planning loss L1a", "∂E[L1a]/∂w(k) at w = 0 (nats)"): arrays["plan"],
        ("The whole next-token loss, ½ (L1a + L1b)", "∂E[½ (L1a + L1b)]/∂w(k) at w = 0 (nats)"): arrays["next token"],
    }
    figure = bar_panels(
        [BarPanel(*words, [printed, Bars("exact", exact, 0)], signs=True) for words, exact in losses.items()],
        range(10),
        "offset k (1: the predecessor)",
        title="Next-token training first raises w(1), the predecessor: the derivative's printed sign is wrong",
        note="Where a bar is negative, descent raises w(k). Shaded: the signs differ. Layer 1 is 0. Exact: the mean "
        f"over all graphs. Printed: Theorem 3, 548/(648,000 μ₀) at k = 1 and\n−2,096/(5,184,000 μ₀) at k ≥ 2, none "
        f"at k = 0; μ₀ = {mu0:.4f} is the true mean of μ = f1(Z)[v]. It is printed for L1 and said of the whole loss.",
        size=(6.6, 4.4),
    )
    save(figure, out, "ntp_gradient", dpi=150)


def compute(toy: bool) -> dict[str, np.ndarray]:
    """Return both gradients at w = 0, and the mean probability of v."""
    moving = coordinates(STAR, position_1=toeplitz(10))
    losses = {"plan": PLAN, "next token": NEXT_TOKEN}
    gradients = {name: jax.grad(population_loss(moving, part, STAR))(jnp.zeros(10)) for name, part in losses.items()}
    return {name: np.asarray(gradient) for name, gradient in gradients.items()} | {
        "mean probability": np.asarray(mean_probability())
    }


def mean_probability() -> float:
    """Return E[f1(Z)[v]] with all weights 0, exactly: one labeling of each edge order has the mean of all."""
    problems = canonical_problems(STAR)
    prompts, (answers, _) = jax.vmap(encode_prompt)(problems), targets(problems)
    outputs = jax.vmap(lambda tokens: forward(zeros(2, 10, 10), tokens).outputs[1])(prompts)
    return float(jnp.mean(jnp.take_along_axis(outputs, answers[:, None], axis=1)))


if __name__ == "__main__":
    command_line(main)
