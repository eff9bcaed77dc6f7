"""What is changed about a run, sweep by sweep: each gives arrays, a heatmap, and a line that says what was found."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from matplotlib.figure import Figure

from circuits.plotting.effects import effect_heatmap, head_score_heatmap
from circuits.probes import PatchingEffects, PlanningTwins, ablate, knock_out, layer_windows, patch, path_patch
from circuits.probes.interventions.ablation import METHODS
from circuits.probes.layout import ROLES, aligned_names
from circuits.probes.residual.linear import fit_linear_probes, score_linear_probes
from circuits.probes.residual.stream import logit_lens
from circuits.tasks.token_format import TokenFormat
from circuits.transformer.model import Predictor

FEW = 4
"""Problems to a feature, below which linear probes are said to be uncertain."""
KEYS = ("goal in query", "start in query", "path", "distractor")


class Result(NamedTuple):
    """One sweep: arrays for the file, a figure, and a line for the table."""

    arrays: dict[str, np.ndarray]
    figure: Figure | None
    """None where there is nothing to draw."""
    says: str


class Study(NamedTuple):
    """What every sweep is given."""

    name: str
    model: Predictor
    format: TokenFormat
    twins: PlanningTwins
    """Twins of the problems that are looked at."""
    others: PlanningTwins
    """Of those that linear probes are fitted on."""
    show: Callable[[int, int], None]


def patched_stream(study: Study) -> Result:
    """Denoising of the stream that enters each layer, at each place of the common order."""
    found = patch(study.model, study.twins, "resid_pre", aligned=True, show=study.show)
    names, roles = _places(study)
    title = f"{study.name}: stream before each layer, patched from the true goal's run"
    figure = effect_heatmap(found.effect, _layers(study), names, title=title, roles=roles, label="effect")
    best = [f"{i + 1}: {names[int(row.argmax())]} {row.max():.2f}" for i, row in enumerate(found.effect)]
    return _if_the_goal_matters(found, figure, "; ".join(best))


def patched_heads(study: Study) -> Result:
    """Denoising of the output of each head, at all places."""
    found = patch(study.model, study.twins, "attn.z", ("layer", "head"), show=study.show)
    figure = head_score_heatmap(found.effect, f"{study.name}: heads patched from the true goal's run", label="effect")
    return _if_the_goal_matters(found, figure, _heads(found.effect))


def patched_heads_by_place(study: Study) -> Result:
    """Denoising of the output of each head at each place; drawn is the strongest head of each layer and place."""
    found = patch(study.model, study.twins, "attn.z", ("layer", "head", "position"), aligned=True, show=study.show)
    strongest = np.take_along_axis(found.effect, np.abs(found.effect).argmax(axis=1)[:, None], axis=1)[:, 0]
    names, roles = _places(study)
    title = f"{study.name}: strongest head of each layer, patched at each place"
    figure = effect_heatmap(strongest, _layers(study), names, title=title, roles=roles, label="effect")
    order = np.argsort(-np.abs(found.effect), axis=None)[:4]
    says = [
        f"{layer + 1}.{head + 1} at {names[place]} {found.effect[layer, head, place]:.2f}"
        for layer, head, place in zip(*np.unravel_index(order, found.effect.shape), strict=True)
    ]
    return _if_the_goal_matters(found, figure, ", ".join(says))


def direct_paths(study: Study) -> Result:
    """What each head sends straight to the logits."""
    found = path_patch(study.model, study.twins, show=study.show)
    figure = head_score_heatmap(found.effect[0], f"{study.name}: heads' direct effect on the logits", label="effect")
    return _if_the_goal_matters(found, figure, _heads(found.effect[0]))


def ablated_heads(method: str, study: Study) -> Result:
    """Each head replaced: by nothing, by its mean, or by what it was on another problem."""
    found = ablate(study.model, study.twins, "attn.z", method, key=jax.random.key(2), show=study.show)
    lost = -found.accuracy_change
    figure = head_score_heatmap(lost, f"{study.name}: accuracy lost, {method} ablation of a head", label="accuracy lost")
    arrays = {"accuracy": found.accuracy, "accuracy_error": found.accuracy_error, "loss": found.loss}
    return Result(arrays, figure, f"accuracy {found.base_accuracy:.3f}; lost without {_heads(lost)}")


def ablated_layers(study: Study) -> Result:
    """Attention and MLP of each layer replaced by their means."""
    found = [ablate(study.model, study.twins, site, "mean", show=study.show) for site in ("attn_out", "mlp_out")]
    lost = -np.stack([part.accuracy_change for part in found])
    title = f"{study.name}: accuracy lost when a layer is mean-ablated"
    figure = effect_heatmap(
        lost,
        ("attention", "MLP"),
        _layers(study),
        title=title,
        row_name="",
        column_name="layer",
        label="accuracy lost",
    )
    worst = np.unravel_index(int(lost.argmax()), lost.shape)
    says = f"most lost without {('attention', 'MLP')[int(worst[0])]} of layer {int(worst[1]) + 1}: {lost.max():.3f}"
    return Result({"lost": lost}, figure, says)


def knocked_out(study: Study) -> Result:
    """The chosen position forbidden to look at keys of a kind, one layer at a time; the last row is all layers."""
    layers = study.model.config.layers
    masks = np.concatenate([layer_windows(layers, 1), np.ones((1, layers, 1, 1), bool)])
    keys = (*KEYS, *(f"edge {k} {end}" for k in range(1, study.format.family.nodes) for end in ("tail", "head")))
    found = knock_out(study.model, study.twins, ("query",), keys, masks=masks, show=study.show)
    lost = -found.accuracy_change[:, 0]
    title = f"{study.name}: accuracy lost without attention from the query"
    rows = [*_layers(study), "all"]
    figure = effect_heatmap(lost, rows, keys, title=title, column_name="to", label="accuracy lost")
    order = np.argsort(-lost[:-1], axis=None)[:3]
    places = list(zip(*np.unravel_index(order, lost[:-1].shape), strict=True))
    says = ", ".join(f"layer {i + 1} to {keys[j]} {lost[i, j]:.2f}" for i, j in places)
    total = ", ".join(f"{key} {lost[-1, j]:.2f}" for j, key in enumerate(KEYS))
    return Result({"lost": lost}, figure, f"{says}; in all layers: {total}")


def knocked_out_roles(study: Study) -> Result:
    """Positions of one role forbidden to look at those of another, in all layers."""
    roles = tuple(role for role in ROLES if (np.asarray(study.twins.layout.roles) == ROLES.index(role)).any())
    found = knock_out(study.model, study.twins, roles, roles, show=study.show)
    lost = -found.accuracy_change
    title = f"{study.name}:\naccuracy lost without attention"
    figure = effect_heatmap(lost, roles, roles, title=title, row_name="from", column_name="to", label="accuracy lost")
    order = np.unravel_index(np.argsort(-lost, axis=None)[:4], lost.shape)
    says = ", ".join(f"{roles[i]} to {roles[j]} {lost[i, j]:.2f}" for i, j in zip(*order, strict=True))
    return Result({"lost": lost, "roles": np.asarray(roles)}, figure, says)


def lens(study: Study) -> Result:
    """The first prediction head applied to the stream after each layer, at the chosen position."""
    found = logit_lens(study.model, study.format, study.twins.layout, show=study.show)
    names = [*_path(study), *(f"off {k}" for k in range(1, found.probability.shape[-1] - len(_path(study)) + 1))]
    title = f"{study.name}: what the first head would say after each layer"
    shown = found.probability[0]
    figure = _nodes_figure(study, shown, names, title, "probability")
    says = " ".join(f"{value:.2f}" for value in shown[:, 1])
    return Result({"probability": found.probability, "rank": found.rank}, figure, f"n1 after each layer: {says}")


def probes(study: Study) -> Result:
    """Linear probes for every node of the path on the stream after each layer, at the chosen position."""
    fitted = fit_linear_probes(study.model, study.others.layout)
    found = score_linear_probes(study.model, fitted, study.twins.layout)
    accuracy = found.accuracy[:, 0]
    shuffled = fit_linear_probes(study.model, study.others.layout, shuffle=jax.random.key(3))
    chance = score_linear_probes(study.model, shuffled, study.twins.layout).accuracy[:, 0]
    title = f"{study.name}: nodes that can be read off linearly at the query"
    figure = _nodes_figure(study, accuracy, _path(study), title, "accuracy")
    first = [f"{name}: {_first(accuracy[:, node])}" for node, name in enumerate(_path(study))]
    says = f"first above 90% after layer: {', '.join(first)}; on shuffled labels at most {chance[:, 1:].max():.0%}"
    problems, width = len(study.others.corrupt), study.model.config.width
    if problems < FEW * width:
        says += f"; {problems} problems are few to fit {width} features on"
    return Result({"accuracy": accuracy, "shuffled": chance}, figure, says)


def _if_the_goal_matters(found: PatchingEffects, figure: Figure, says: str) -> Result:
    """Patching is measured against what the goal does; where that is within its error there is nothing to divide by."""
    named = ("effect", "error", "shift", "flips", "span", "span_error", "counted")
    arrays = {name: np.asarray(getattr(found, name)) for name in named}
    if abs(found.span) > 3 * found.span_error and found.counted > 0:
        return Result(arrays, figure, says)
    nothing = f"the goal makes no difference: {found.span:.4f} ± {found.span_error:.4f} logits between twins"
    return Result(arrays, None, nothing)


SWEEPS: dict[str, Callable[[Study], Result]] = {
    "patched stream": patched_stream,
    "patched heads": patched_heads,
    "patched heads by place": patched_heads_by_place,
    "direct paths": direct_paths,
    **{f"heads, {method} ablation": partial(ablated_heads, method) for method in METHODS},
    "ablated layers": ablated_layers,
    "knocked out": knocked_out,
    "knocked out roles": knocked_out_roles,
    "logit lens": lens,
    "linear probes": probes,
}


def _nodes_figure(study: Study, values: np.ndarray, names: list[str], title: str, label: str) -> Figure:
    """Streams down, nodes across."""
    options: dict[str, Any] = {"title": title, "column_name": "node", "label": label, "diverging": False}
    return effect_heatmap(values, _streams(study), names, **options)


def _places(study: Study) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return aligned_names(jax.tree.map(lambda part: np.asarray(part)[0], study.twins.layout))


def _path(study: Study) -> list[str]:
    """The nodes of the path, named as in ``place_names``."""
    last = study.format.family.nodes - 1
    return ["s", *(f"n{level}" for level in range(1, last)), "g"]


def _layers(study: Study) -> list[str]:
    return [str(layer) for layer in range(1, study.model.config.layers + 1)]


def _streams(study: Study) -> list[str]:
    return ["embedding", *_layers(study)]


def _heads(values: np.ndarray, most: int = 4) -> str:
    """The heads with the largest values, counted from 1."""
    order: Iterator[tuple[Any, ...]] = zip(
        *np.unravel_index(np.argsort(-values, axis=None)[:most], values.shape), strict=True
    )
    return ", ".join(f"{layer + 1}.{head + 1} {values[layer, head]:.2f}" for layer, head in order)


def _first(accuracy: np.ndarray) -> str:
    """The first stream in which a node can be read off."""
    above = np.flatnonzero(accuracy > 0.9)
    return "never" if len(above) == 0 else str(int(above[0]))
