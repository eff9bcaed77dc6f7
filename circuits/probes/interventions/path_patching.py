"""Path patching: what an attention head passes to a receiver directly, not through heads in between (Wang et al. 2022).

In a first run on the base problem, the sender has its output of the source run while every other attention head, and
with ``mlps`` = "frozen" every MLP, keeps its output of the base run; so only the sender's own output changes the
stream. The receiver's input in this run (queries, keys or values of a later head) is then patched into an ordinary base
run. For the receiver "logits" the first run is the result.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from circuits import checks, display
from circuits.probes.interventions.axes import Axis, numbered
from circuits.probes.interventions.pairs import PlanningTwins
from circuits.probes.interventions.patching import (
    DIRECTIONS,
    PatchingEffects,
    base_and_source,
    compare_runs,
    summarise,
)
from circuits.probes.interventions.sites import Masks, capture_run, mask_grid, num_heads_at, replacement_edits
from circuits.probes.interventions.variants import flatten_variants, map_in_blocks
from circuits.probes.streaming import OnProgress, cached_partial, stream
from circuits.transformer.config import TransformerConfig
from circuits.transformer.model import Predictor
from circuits.transformer.taps import Edit, Taps
from circuits.typing import AnyArray

PARTS = ("logits", "q", "k", "v")
MLPS = ("frozen", "free")
ReceiverMasks = dict[str, Bool[AnyArray, "others L 1 heads"]]
"""For queries, keys or values: which layer and attention head each receiver other than the logits is."""


class Receiver(NamedTuple):
    """The end of a path: the final logits, or the queries, keys or values of an attention head.

    For keys and values ``head`` counts key-value heads.
    """

    part: str = "logits"
    layer: int = 0
    head: int = 0

    _repr_html_ = display.html

    def __str__(self) -> str:
        return self.part if self.part == "logits" else f"{self.part} of L{self.layer}H{self.head}"


def path_patch(
    model: Predictor,
    twins: PlanningTwins,
    receivers: Sequence[Receiver] = (Receiver(),),
    *,
    mlps: str = "frozen",
    direction: str = "denoise",
    head: int = 0,
    chunk: int = 64,
    block: int = 16,
    on_progress: OnProgress | None = None,
) -> PatchingEffects:
    """Return the direct effect of every attention head on the answer by way of each receiver.

    A head that is not below the receiver has no path to it and the effect 0. Each sender costs one run, and one more
    for each receiver other than the logits.

    Args:
        model: a transformer of planning problems.
        twins: a batch of planning twins.
        receivers: where the paths end; by default the logits.
        mlps: "frozen" keeps the MLPs of the base run, "free" lets them recompute.
        direction: "denoise" or "noise"; see ``patch``.
        head: the prediction head to read.
        chunk: examples computed at once.
        block: senders computed at once.
        on_progress: called with the number of examples done.

    Returns:
        Effects [receivers, L, H].

    Raises:
        ValueError: if a receiver is not in the model, or ``mlps``, direction or prediction head is unknown.

    Example:
        >>> import jax
        >>> from circuits.probes import path_patch, planning_twins, tiny_planning_model
        >>> model, problems, format = tiny_planning_model()
        >>> twins = planning_twins(problems, format, jax.random.key(0))
        >>> path_patch(model, twins).effect.shape
        (1, 1, 2)
    """
    _check(model.config, receivers, mlps, direction, head)
    senders, shape = flatten_variants(mask_grid(model.config, "attn.z", ("layer", "head")))
    masks, at_logits = _receiver_masks(model.config, receivers)
    function = cached_partial(_one_example, at_logits=at_logits, mlps=mlps, head=head, block=block)
    examples = (twins, *base_and_source(twins, direction))
    moments = stream(function, model, examples, shared=(senders, masks), chunk=chunk, on_progress=on_progress)
    effects = summarise(moments, (len(receivers), *shape))
    layers, heads = (numbered(name, count) for name, count in zip(("layer", "head"), shape, strict=True))
    return effects._replace(axes=(Axis("receiver", tuple(map(str, receivers))), layers, heads))


def _one_example(
    model: Predictor,
    senders: Masks,
    masks: ReceiverMasks,
    twin: PlanningTwins,
    base: Int[AnyArray, " T"],
    source: Int[AnyArray, " T"],
    at_logits: tuple[bool, ...],
    mlps: str,
    head: int,
    block: int,
) -> dict[str, Array]:
    base_logits, (base_z, base_mlps) = capture_run(model, base, ("attn.z", "mlp_out"), head)
    source_logits, (source_z,) = capture_run(model, source, ("attn.z",), head)

    def from_sender(mask: Bool[Array, "L 1 H"]) -> Float[Array, "receivers V"]:
        values = jnp.where(mask[..., None], source_z, base_z)
        edit = replacement_edits("attn.z", np.ones(mask.shape, bool), values)
        if mlps == "frozen":
            edit |= replacement_edits("mlp_out", np.ones((len(base_mlps), 1, 1), bool), base_mlps)
        return _received(model, jnp.asarray(base), edit, masks, np.array(at_logits), head)

    logits = map_in_blocks(from_sender, senders, block)  # [senders, receivers, V]
    return compare_runs(twin, base_logits, source_logits, logits.swapaxes(0, 1).reshape(-1, logits.shape[-1]))


def _received(
    model: Predictor,
    base: Int[Array, " T"],
    edit: dict[str, Edit],
    masks: ReceiverMasks,
    at_logits: Bool[np.ndarray, " receivers"],
    head: int,
) -> Float[Array, "receivers V"]:
    """Return the logits by way of each receiver, for a first run with these edits."""
    logits, cache = model(base, Taps(capture=[f"blocks.*.attn.{part}" for part in masks], edit=edit))
    direct = logits[head, -1]
    results = jnp.broadcast_to(direct, (len(at_logits), len(direct)))
    if at_logits.all():
        return results
    read = {p: jnp.stack([cache[f"blocks.{i}.attn.{p}"] for i in range(model.config.layers)]) for p in masks}

    def one_receiver(chosen: dict[str, Array]) -> Float[Array, " V"]:
        edit: dict[str, Edit] = {}
        for part, mask in chosen.items():
            edit |= replacement_edits(f"attn.{part}", mask, read[part])
        return model(base, Taps(edit=edit))[0][head, -1]

    return results.at[np.flatnonzero(~at_logits)].set(map_in_blocks(one_receiver, masks, len(at_logits)))


def _receiver_masks(config: TransformerConfig, receivers: Sequence[Receiver]) -> tuple[ReceiverMasks, tuple[bool, ...]]:
    """Return masks over q, k and v for the receivers other than the logits, and which receivers are the logits."""
    others = [receiver for receiver in receivers if receiver.part != "logits"]
    masks: ReceiverMasks = {
        part: np.zeros((len(others), config.layers, 1, num_heads_at(config, f"attn.{part}")), bool)
        for part in PARTS[1:]
        if any(receiver.part == part for receiver in others)
    }
    for number, (part, layer, head) in enumerate(others):
        masks[part][number, layer, 0, head] = True
    return masks, tuple(receiver.part == "logits" for receiver in receivers)


def _check(config: TransformerConfig, receivers: Sequence[Receiver], mlps: str, direction: str, head: int) -> None:
    checks.choice("mlps", mlps, MLPS)
    checks.choice("direction", direction, DIRECTIONS)
    checks.integer("head", head, min_value=0, max_value=config.prediction_heads - 1)
    checks.require(len(receivers) > 0, "receivers", "must hold at least one", tuple(receivers))
    for receiver in receivers:
        checks.choice("receiver.part", receiver.part, PARTS)
        if receiver.part != "logits":
            checks.integer("receiver.layer", receiver.layer, min_value=0, max_value=config.layers - 1)
            max_head = num_heads_at(config, f"attn.{receiver.part}") - 1
            checks.integer("receiver.head", receiver.head, min_value=0, max_value=max_head)
