"""The reverse reasoning circuit in a trained standard transformer: heads that carry it, and what each layer knows."""

from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from circuits.plotting.attention import sweep_heatmap
from circuits.probes.attention.extract import planning_maps
from circuits.probes.attention.planning import scores_of
from circuits.probes.layout import chosen_position, layout
from circuits.probes.residual.linear import fit_probes, score_probes
from circuits.probes.streaming import stream
from circuits.training.data import TEST_SEED, draw
from circuits.transformer.weights_file import load_model

ROOT = Path(__file__).parents[1]
CHECKPOINT = ROOT / "checkpoints" / "star-2x5-mtp3-seed-1"
PROBLEMS, HOPS = 512, 3


def main() -> None:
    model, form, _ = load_model(CHECKPOINT)
    assert form is not None
    query = chosen_position(form)
    problems = draw(form, "test", TEST_SEED, 2 * PROBLEMS, one_in=64)
    first, others = problems[:PROBLEMS], problems[PROBLEMS:]
    found = stream(partial(scores_of, form, query), model, (first,)).mean
    trace = np.asarray(found.trace - found.astray)
    parts = {"goal": np.asarray(found.goal_in_query)} | {f"hop {hop + 1}": trace[..., hop] for hop in range(HOPS)}
    maps = planning_maps(model, form, first, query, title="")
    rows, labels = [], []
    for name, strength in parts.items():
        layer, head = (int(part) for part in np.unravel_index(int(strength.argmax()), strength.shape))
        rows.append(maps.patterns[layer, head, query])
        labels.append(f"{name}: layer {layer + 1}, head {head + 1}")
    figure = sweep_heatmap(
        np.stack(rows),
        labels,
        maps.tokens,
        title="3-MTP finds the goal, and walks back from it, one layer a step",
        row_name="",
        column_name="what the last position of the prompt reads",
        label="attention",
        roles=maps.roles,
        diverging=False,
    )
    figure.savefig(Path(__file__).with_suffix(".png"), dpi=130)

    layouts = [jax.vmap(partial(layout, form, query=query))(jnp.asarray(part)) for part in (first, others)]
    known = score_probes(model, fit_probes(model, layouts[1]), layouts[0]).accuracy[:, 0]
    names = [*(f"n{level}" for level in range(1, form.family.nodes - 1)), "goal"]
    layers = [str(number) for number in range(1, model.config.layers + 1)]
    figure = sweep_heatmap(
        known[:, 1:],
        ["embedding", *layers],
        names,
        title="What can be read off after each layer",
        column_name="node of the path",
        label="accuracy of a linear probe",
        diverging=False,
    )
    figure.savefig(Path(__file__).with_name("what_each_layer_knows.png"), dpi=130)


if __name__ == "__main__":
    main()
