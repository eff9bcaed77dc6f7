"""The sweeps of ``circuits probe interventions``: each returns arrays, a heatmap, and a line of text.

Layers, attention heads and edges of the path count from 0: L5H1 is head 1 of layer 5, "edge 0" leaves the start.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from matplotlib.figure import Figure

from circuits.cli.probe_scores import strongest
from circuits.plotting import effect_heatmap, head_score_heatmap
from circuits.probes import (
    PatchingEffects,
    PlanningTwins,
    ablate,
    aligned_names,
    fit_linear_probes,
    knock_out,
    layer_windows,
    logit_lens,
    patch,
    path_patch,
    score_linear_probes,
)
from circuits.probes.interventions.ablation import METHODS
from circuits.probes.layout import ROLES
from circuits.probes.streaming import OnProgress
from circuits.tasks.token_format import TokenFormat
from circuits.transformer.model import Predictor

MIN_PROBLEMS_PER_FEATURE = 4
"""With fewer problems, the text warns that linear probes are uncertain."""
KEYS = ("goal in query", "start in query", "path", "distractor")


class Result(NamedTuple):
    """The results of one sweep."""

    arrays: dict[str, np.ndarray]
    figure: Figure | None
    """None if there is nothing to draw."""
    text: str


class Study(NamedTuple):
    """The input of every sweep."""

    name: str
    model: Predictor
    format: TokenFormat
    twins: PlanningTwins
    others: PlanningTwins
    """Other problems, to fit linear probes on."""
    on_progress: OnProgress | None = None


def patched_stream(study: Study) -> Result:
    """Denoise the stream that enters each layer, at each entry of the aligned order."""
    effects = patch(study.model, study.twins, "resid_pre", aligned=True, on_progress=study.on_progress)
    names, roles = _aligned_names(study)
    title = f"{study.name}: stream before each layer, patched from the true goal's run"
    figure = effect_heatmap(effects.effect, _layers(study), names, title=title, roles=roles, label="effect")
    best = [f"L{layer}: {names[int(row.argmax())]} {row.max():.2f}" for layer, row in enumerate(effects.effect)]
    return _if_goal_matters(effects, figure, "; ".join(best))


def patched_heads(study: Study) -> Result:
    """Denoise the output of each attention head, at all positions."""
    effects = patch(study.model, study.twins, "attn.z", ("layer", "head"), on_progress=study.on_progress)
    figure = head_score_heatmap(effects.effect, f"{study.name}: heads patched from the true goal's run", label="effect")
    return _if_goal_matters(effects, figure, strongest(effects.effect))


def patched_heads_by_position(study: Study) -> Result:
    """Denoise the output of each head at each entry of the aligned order, and draw the strongest of each layer."""
    by = ("layer", "head", "position")
    effects = patch(study.model, study.twins, "attn.z", by, aligned=True, on_progress=study.on_progress)
    size = np.abs(effects.effect)
    largest = np.take_along_axis(effects.effect, size.argmax(axis=1)[:, None], axis=1)[:, 0]
    names, roles = _aligned_names(study)
    title = f"{study.name}: strongest head of each layer, patched at each position"
    figure = effect_heatmap(largest, _layers(study), names, title=title, roles=roles, label="effect")
    text = [
        f"L{layer}H{head} at {names[position]} {effects.effect[layer, head, position]:.2f}"
        for layer, head, position in _largest(size, 4)
    ]
    return _if_goal_matters(effects, figure, ", ".join(text))


def direct_paths(study: Study) -> Result:
    """Patch the direct path from each attention head to the logits."""
    effects = path_patch(study.model, study.twins, on_progress=study.on_progress)
    figure = head_score_heatmap(effects.effect[0], f"{study.name}: heads' direct effect on the logits", label="effect")
    return _if_goal_matters(effects, figure, strongest(effects.effect[0]))


def ablated_heads(method: str, study: Study) -> Result:
    """Replace each attention head by zero, by its mean, or by its value on another problem."""
    key, on_progress = jax.random.key(2), study.on_progress
    effects = ablate(study.model, study.twins, "attn.z", method, key=key, on_progress=on_progress)
    lost = -effects.accuracy_change
    figure = head_score_heatmap(
        lost, f"{study.name}: accuracy lost, {method} ablation of a head", label="accuracy lost"
    )
    arrays = {"accuracy": effects.accuracy, "accuracy_error": effects.accuracy_error, "loss": effects.loss}
    return Result(arrays, figure, f"accuracy {effects.base_accuracy:.3f}; lost without {strongest(lost)}")


def ablated_layers(study: Study) -> Result:
    """Replace attention and MLP of each layer by their means."""
    sites = {"attention": "attn_out", "MLP": "mlp_out"}
    effects = [ablate(study.model, study.twins, site, on_progress=study.on_progress) for site in sites.values()]
    lost = -np.stack([part.accuracy_change for part in effects])
    title = f"{study.name}: accuracy lost when a layer is mean-ablated"
    names: dict[str, Any] = {"title": title, "row_name": "", "column_name": "layer", "label": "accuracy lost"}
    figure = effect_heatmap(lost, list(sites), _layers(study), **names)
    part, layer = _largest(lost, 1)[0]
    return Result({"lost": lost}, figure, f"most lost without {list(sites)[part]} of layer {layer}: {lost.max():.3f}")


def knocked_out(study: Study) -> Result:
    """Knock out attention from the query position to each kind of key, layer by layer and (last row) in all layers."""
    layers = study.model.config.layers
    masks = np.concatenate([layer_windows(layers, 1), np.ones((1, layers, 1, 1), bool)])
    keys = (*KEYS, *(f"edge {k} {end}" for k in range(study.format.family.nodes - 1) for end in ("parent", "child")))
    effects = knock_out(study.model, study.twins, ("query",), keys, masks=masks, on_progress=study.on_progress)
    lost = -effects.accuracy_change[:, 0]
    title = f"{study.name}: accuracy lost without attention from the query position"
    rows = [*_layers(study), "all"]
    figure = effect_heatmap(lost, rows, keys, title=title, column_name="to", label="accuracy lost")
    text = ", ".join(f"layer {i} to {keys[j]} {lost[i, j]:.2f}" for i, j in _largest(lost[:-1], 3))
    total = ", ".join(f"{key} {lost[-1, j]:.2f}" for j, key in enumerate(KEYS))
    return Result({"lost": lost}, figure, f"{text}; in all layers: {total}")


def knocked_out_roles(study: Study) -> Result:
    """Knock out attention between positions of any two roles, in all layers."""
    roles = tuple(role for role in ROLES if (np.asarray(study.twins.layout.roles) == ROLES.index(role)).any())
    lost = -knock_out(study.model, study.twins, roles, roles, on_progress=study.on_progress).accuracy_change
    title = f"{study.name}:\naccuracy lost without attention"
    figure = effect_heatmap(lost, roles, roles, title=title, row_name="from", column_name="to", label="accuracy lost")
    text = ", ".join(f"{roles[i]} to {roles[j]} {lost[i, j]:.2f}" for i, j in _largest(lost, 4))
    return Result({"lost": lost, "roles": np.asarray(roles)}, figure, text)


def lens(study: Study) -> Result:
    """Apply prediction head 0 to the stream after each layer, at the query position."""
    results = logit_lens(study.model, study.twins.layout, on_progress=study.on_progress)
    path, probability = _path_names(study), results.probability[0]
    names = [*path, *(f"off {k}" for k in range(1, probability.shape[-1] - len(path) + 1))]
    title = f"{study.name}: predictions of prediction head 0 after each layer"
    figure = _nodes_figure(study, probability, names, title, "probability")
    text = " ".join(f"{value:.2f}" for value in probability[:, 1])
    arrays = {"probability": results.probability, "rank": results.rank}
    return Result(arrays, figure, f"n1 after the embedding and each layer: {text}")


def probes(study: Study) -> Result:
    """Fit linear probes for every node of the path to the stream after each layer, at the query position."""
    fitted = fit_linear_probes(study.model, study.others.layout)
    accuracy = score_linear_probes(study.model, fitted, study.twins.layout).accuracy[:, 0]
    shuffled = fit_linear_probes(study.model, study.others.layout, shuffle=jax.random.key(3))
    chance = score_linear_probes(study.model, shuffled, study.twins.layout).accuracy[:, 0]
    title = f"{study.name}: nodes that a linear probe reads at the query position"
    path = _path_names(study)
    figure = _nodes_figure(study, accuracy, path, title, "accuracy")
    first = [f"{name}: {_first_stream(study, accuracy[:, node])}" for node, name in enumerate(path)]
    text = f"first above 90% after: {', '.join(first)}; on shuffled labels at most {chance[:, 1:].max():.0%}"
    problems, width = len(study.others.clean_tokens), study.model.config.width
    if problems < MIN_PROBLEMS_PER_FEATURE * width:
        text += f"; {problems} problems are few to fit {width} features on"
    return Result({"accuracy": accuracy, "shuffled": chance}, figure, text)


def _if_goal_matters(effects: PatchingEffects, figure: Figure, text: str) -> Result:
    """Return the result without figure if the goal has no significant effect, by which effects are divided."""
    arrays = {name: np.asarray(value) for name, value in effects._asdict().items() if name != "axes"}
    if abs(effects.span) > 3 * effects.span_error and effects.counted > 0:
        return Result(arrays, figure, text)
    nothing = f"the goal makes no difference: {effects.span:.4f} ± {effects.span_error:.4f} logits between twins"
    return Result(arrays, None, nothing)


SWEEPS: dict[str, Callable[[Study], Result]] = {
    "patched stream": patched_stream,
    "patched heads": patched_heads,
    "patched heads by place": patched_heads_by_position,
    "direct paths": direct_paths,
    **{f"heads, {method} ablation": partial(ablated_heads, method) for method in METHODS},
    "ablated layers": ablated_layers,
    "knocked out": knocked_out,
    "knocked out roles": knocked_out_roles,
    "logit lens": lens,
    "linear probes": probes,
}
"""The sweeps by name. Names are part of the keys in interventions.npz and summary.json."""


def _nodes_figure(study: Study, values: np.ndarray, names: list[str], title: str, label: str) -> Figure:
    """Draw values with streams down and nodes across."""
    options: dict[str, Any] = {"title": title, "column_name": "node", "label": label, "diverging": False}
    return effect_heatmap(values, _streams(study), names, **options)


def _aligned_names(study: Study) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return aligned_names(jax.tree.map(lambda part: np.asarray(part)[0], study.twins.layout))


def _path_names(study: Study) -> list[str]:
    """Return the names of the nodes of the path, as in ``aligned_names``."""
    return ["s", *(f"n{depth}" for depth in range(1, study.format.family.nodes - 1)), "g"]


def _layers(study: Study) -> list[str]:
    return [str(layer) for layer in range(study.model.config.layers)]


def _streams(study: Study) -> list[str]:
    return ["embedding", *_layers(study)]


def _largest(values: np.ndarray, count: int) -> list[tuple[int, ...]]:
    """Return the indices of the largest values."""
    order = np.argsort(-values, axis=None)[:count]
    return [tuple(int(i) for i in index) for index in zip(*np.unravel_index(order, values.shape), strict=True)]


def _first_stream(study: Study, accuracy: np.ndarray) -> str:
    """Name the first stream from which a node can be read."""
    above = np.flatnonzero(accuracy > 0.9)
    return "never" if len(above) == 0 else _streams(study)[int(above[0])]
