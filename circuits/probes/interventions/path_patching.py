"""Path patching: what a head passes on to one reader alone, and not through heads between (Wang et al. 2022).

The sender's output of the source run goes into the base run while every other head keeps its base output, and with
``mlps`` = "frozen" every MLP too: so the stream changes by what the sender itself writes. What a receiver reads there
(the queries, keys or values of a later head) is then put into an ordinary base run. For the receiver "logits" the
first run is the answer.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from circuits import checks
from circuits.probes.interventions.pairs import Twins
from circuits.probes.interventions.patching import DIRECTIONS, Patched, compared, in_direction, summary
from circuits.probes.interventions.sites import captured, edits, grid, heads_at
from circuits.probes.interventions.variants import counted, flattened, in_blocks
from circuits.probes.streaming import Show, stream
from circuits.transformer.config import TransformerConfig
from circuits.transformer.model import Predictor
from circuits.transformer.taps import Edit, Taps

PARTS = ("logits", "q", "k", "v")
MLPS = ("frozen", "free")


class Receiver(NamedTuple):
    """The final logits, or the queries, keys or values of a head; keys and values of grouped heads are one head."""

    part: str = "logits"
    layer: int = 0
    head: int = 0


def path_patch(
    model: Predictor,
    twins: Twins,
    receivers: Sequence[Receiver] = (Receiver(),),
    *,
    mlps: str = "frozen",
    direction: str = "denoise",
    head: int = 0,
    chunk: int = 64,
    block: int = 16,
    show: Show | None = None,
) -> Patched:
    """The effect of every head on each receiver by the direct path: arrays [receivers, L, H].

    A head that is not below the receiver has no path to it, and the effect 0. Each sender costs one run and one more
    for each receiver but the logits.

    Raises ValueError for a receiver, direction or treatment of MLPs that there is not.
    """
    _check(model.config, receivers, mlps, direction, head)
    senders, shape = flattened(grid(model.config, "attn.z", ("layer", "head")), inner=3)
    masks, at_logits = _receiver_masks(model.config, receivers)

    def one(model: Predictor, twin: Twins) -> dict[str, Array]:
        base, source = in_direction(twin, direction)
        kept, sent = (captured(model, tokens, "attn.z") for tokens in (base, source))
        frozen = captured(model, base, "mlp_out")

        def from_sender(mask: Bool[Array, "L 1 H"]) -> Float[Array, "receivers V"]:
            edit = edits("attn.z", np.ones(mask.shape, bool), jnp.where(mask[..., None], sent, kept))
            if mlps == "frozen":
                edit |= edits("mlp_out", np.ones((len(frozen), 1, 1), bool), frozen)
            return _received(model, base, edit, masks, at_logits, head)

        found = in_blocks(from_sender, senders, block)  # [senders, receivers, V]
        return compared(model, twin, direction, head, found.swapaxes(0, 1).reshape(-1, found.shape[-1]))

    moments = stream(one, model, (twins,), chunk=chunk, show=counted(show, len(twins.corrupt)))
    return summary(moments, (len(receivers), *shape))


def _received(
    model: Predictor,
    base: Int[Array, " T"],
    edit: dict[str, Edit],
    masks: dict[str, Bool[np.ndarray, "others L 1 heads"]],
    at_logits: Bool[np.ndarray, " receivers"],
    head: int,
) -> Float[Array, "receivers V"]:
    """The answer of each receiver to a run with these edits."""
    logits, cache = model(base, Taps(capture=[f"blocks.*.attn.{part}" for part in masks], edit=edit))
    direct = logits[head, -1]
    found = jnp.broadcast_to(direct, (len(at_logits), len(direct)))
    if at_logits.all():
        return found
    read = {p: jnp.stack([cache[f"blocks.{i}.attn.{p}"] for i in range(model.config.layers)]) for p in masks}

    def answered(chosen: dict[str, Array]) -> Float[Array, " V"]:
        edit = {name: one for p, mask in chosen.items() for name, one in edits(f"attn.{p}", mask, read[p]).items()}
        return model(base, Taps(edit=edit))[0][head, -1]

    return found.at[np.flatnonzero(~at_logits)].set(in_blocks(answered, masks, len(at_logits)))


def _receiver_masks(
    config: TransformerConfig, receivers: Sequence[Receiver]
) -> tuple[dict[str, Bool[np.ndarray, "others L 1 heads"]], Bool[np.ndarray, " receivers"]]:
    """Masks over q, k and v for the receivers that are not the logits, and which receivers are."""
    others = [receiver for receiver in receivers if receiver.part != "logits"]
    masks = {
        part: np.zeros((len(others), config.layers, 1, heads_at(config, f"attn.{part}")), bool)
        for part in PARTS[1:]
        if any(receiver.part == part for receiver in others)
    }
    for number, (part, layer, head) in enumerate(others):
        masks[part][number, layer, 0, head] = True
    return masks, np.array([receiver.part == "logits" for receiver in receivers])


def _check(config: TransformerConfig, receivers: Sequence[Receiver], mlps: str, direction: str, head: int) -> None:
    checks.choice("mlps", mlps, MLPS)
    checks.choice("direction", direction, DIRECTIONS)
    checks.integer("head", head, min_value=0, max_value=config.prediction_heads - 1)
    checks.require(len(receivers) > 0, "receivers", "must hold at least one", tuple(receivers))
    for receiver in receivers:
        checks.choice("receiver.part", receiver.part, PARTS)
        if receiver.part != "logits":
            checks.integer("receiver.layer", receiver.layer, min_value=0, max_value=config.layers - 1)
            most = heads_at(config, f"attn.{receiver.part}") - 1
            checks.integer("receiver.head", receiver.head, min_value=0, max_value=most)
