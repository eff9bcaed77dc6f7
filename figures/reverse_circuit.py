"""The reverse reasoning circuit in a trained transformer: attention heads that carry it, and what each layer knows."""

from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from common import FIGURES, command_line, save

from circuits.plotting import effect_heatmap
from circuits.probes.attention.extract import attention_maps
from circuits.probes.attention.planning import problem_scores
from circuits.probes.layout import problem_layout, query_position
from circuits.probes.residual.linear import fit_linear_probes, score_linear_probes
from circuits.probes.streaming import stream
from circuits.tasks.planning import TEST_SEED, draw
from circuits.transformer.weights_file import load_saved_model

CHECKPOINT = FIGURES.parent / "checkpoints" / "star-2x5-mtp3-seed-1"
PROBLEMS, HOPS = 512, 3


def main(toy: bool = False, out: Path = FIGURES) -> None:
    model, form, _ = load_saved_model(CHECKPOINT)
    assert form is not None
    query, count = query_position(form), 16 if toy else PROBLEMS
    problems = draw(form, "test", TEST_SEED, 2 * count, one_in=64)
    first, others = problems[:count], problems[count:]
    scores = stream(partial(problem_scores, format=form, query=query), model, (first,)).mean
    trace = np.asarray(scores.backward_trace - scores.distractor_attention)
    parts = {"goal": np.asarray(scores.goal_in_query)} | {f"hop {hop}": trace[..., hop] for hop in range(HOPS)}
    maps = attention_maps(model, first, form)
    rows, labels = [], []
    for name, strength in parts.items():
        layer, head = (int(part) for part in np.unravel_index(int(strength.argmax()), strength.shape))
        rows.append(maps.patterns[layer, head, query])
        labels.append(f"{name}: L{layer}H{head}")
    figure = effect_heatmap(
        np.stack(rows),
        labels,
        maps.tokens,
        title="3-MTP finds the goal, and walks back from it, one layer a step",
        row_name="",
        column_name="attention of the last position of the prompt, by key",
        label="attention",
        roles=maps.roles,
        diverging=False,
    )
    save(figure, out, "reverse_circuit", dpi=130)

    layouts = [
        jax.vmap(partial(problem_layout, format=form, query=query))(jnp.asarray(part)) for part in (first, others)
    ]
    known = score_linear_probes(model, fit_linear_probes(model, layouts[1]), layouts[0]).accuracy[:, 0]
    figure = effect_heatmap(
        known[:, 1:],
        ["embedding", *range(model.config.layers)],
        [*(f"n{level}" for level in range(1, form.family.nodes - 1)), "goal"],
        title="What can be read off after each layer",
        column_name="node of the path",
        label="accuracy of a linear probe",
        diverging=False,
    )
    save(figure, out, "what_each_layer_knows", dpi=130)


if __name__ == "__main__":
    command_line(main, x64=False)
