"""The reverse reasoning circuit in a trained transformer: attention heads that carry it, and what each layer knows."""

from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from common import FIGURES, command_line, save, stored

from circuits.models import held_out_problems, load_model
from circuits.plotting import effect_heatmap
from circuits.probes.attention.extract import attention_maps
from circuits.probes.attention.planning import problem_scores
from circuits.probes.layout import problem_layout, query_position
from circuits.probes.residual.linear import fit_linear_probes, score_linear_probes
from circuits.probes.streaming import stream

PROBLEMS, HOPS = 512, 3


def main(toy: bool = False, out: Path = FIGURES) -> None:
    arrays = stored("reverse_circuit", compute, toy)
    figure = effect_heatmap(
        arrays["attention"],
        arrays["heads"].tolist(),
        arrays["tokens"].tolist(),
        title="3-MTP finds the goal, and walks back from it, one layer a step",
        row_name="",
        column_name="attention of the last position of the prompt, by key",
        label="attention",
        roles=arrays["roles"].tolist(),
        diverging=False,
    )
    save(figure, out, "reverse_circuit", dpi=130)
    figure = effect_heatmap(
        arrays["accuracy"],
        ["embedding", *range(len(arrays["accuracy"]) - 1)],
        arrays["nodes"].tolist(),
        title="What can be read off after each layer",
        column_name="node of the path",
        label="accuracy of a linear probe",
        diverging=False,
    )
    save(figure, out, "what_each_layer_knows", dpi=130)


def compute(toy: bool) -> dict[str, np.ndarray]:
    """Return attention of the strongest head of each part, and the accuracy of linear probes after each layer."""
    loaded = load_model("star-2x5-mtp3-seed-1")
    assert loaded.task is not None
    model, form = loaded.model, loaded.task.format
    query, count = query_position(form), 16 if toy else PROBLEMS
    problems = held_out_problems(loaded, 2 * count)
    first, others = problems[:count], problems[count:]
    scores = stream(partial(problem_scores, format=form, query=query), model, (first,)).mean
    trace = np.asarray(scores.backward_trace - scores.distractor_attention)
    parts = {"goal": np.asarray(scores.goal_in_query)} | {f"hop {hop}": trace[..., hop] for hop in range(HOPS)}
    maps = attention_maps(model, first, form)
    heads = {name: np.unravel_index(int(strength.argmax()), strength.shape) for name, strength in parts.items()}
    layouts = [
        jax.vmap(partial(problem_layout, format=form, query=query))(jnp.asarray(part)) for part in (first, others)
    ]
    accuracy = score_linear_probes(model, fit_linear_probes(model, layouts[1]), layouts[0]).accuracy[:, 0]
    return {
        "attention": np.stack([maps.patterns[layer, head, query] for layer, head in heads.values()]),
        "heads": np.array([f"{name}: L{layer}H{head}" for name, (layer, head) in heads.items()]),
        "tokens": np.array(maps.tokens),
        "roles": np.array(maps.roles),
        "accuracy": accuracy[:, 1:],
        "nodes": np.array([*(f"n{level}" for level in range(1, form.family.nodes - 1)), "goal"]),
    }


if __name__ == "__main__":
    command_line(main, x64=False)
