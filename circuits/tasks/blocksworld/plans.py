"""Random plans of blocksworld for training: shortest ones, and longer ones."""

import networkx as nx
import numpy as np
from jaxtyping import Int

from circuits import checks
from circuits.tasks.blocksworld.world import Blocksworld
from circuits.tasks.walks.format import PROMPT_LENGTH, WalkFormat, encode_walk
from circuits.tasks.walks.pairs import Pairs
from circuits.tasks.walks.sampling import hops, random_walks

COPIES = (1, 4, 16)
"""Draws of each longer plan, in turn, before the shortest of the longer plans is taken."""


def training_plans(
    form: WalkFormat,
    world: Blocksworld,
    pairs: Pairs,
    plans_a_pair: int,
    optimal_share: float | int,
    seed: int,
) -> Int[np.ndarray, "n T"]:
    """The lines of training: each move alone, once, then ``plans_a_pair`` >= 1 plans for each training pair.

    ``optimal_share``, in [0, 1], is of the plans of each pair: the first max(1, round(optimal_share plans_a_pair))
    are shortest plans, each step uniform over the moves that lead nearer; the others are longer ones, see
    ``longer_plans``. Lines are in the order of the moves and then of the pairs, not shuffled; int32 ids.

    Raises ValueError naming the argument that is out of range; ``form`` or ``pairs``, see ``random_walks``.
    """
    checks.integer("plans_a_pair", plans_a_pair, 1)
    checks.require(0 <= optimal_share <= 1, "optimal_share", "must lie in [0, 1]", optimal_share)
    checks.integer("seed", seed, 0)
    optimal = max(1, round(optimal_share * plans_a_pair))
    moves = np.asarray(list(world.graph.edges), dtype=np.int32).reshape(-1, 2)
    asked = np.concatenate([moves, np.repeat(pairs.train, optimal, axis=0)])
    short = random_walks(form, world.graph, asked, seed, shortest=True)
    long = suboptimal_plans(form, world, np.repeat(pairs.train, plans_a_pair - optimal, axis=0), seed)
    count = len(pairs.train)
    plans = [part.reshape(count, -1, form.length) for part in (short[len(moves) :], long)]
    return np.concatenate([short[: len(moves)], np.concatenate(plans, axis=1).reshape(-1, form.length)])


def suboptimal_plans(
    form: WalkFormat, world: Blocksworld, pairs: Int[np.ndarray, "n 2"], seed: int
) -> Int[np.ndarray, "n T"]:
    """A random plan for each pair that visits no state twice, fits the format and is not shortest; int32 ids.

    The first of up to 21 draws of ``random_walks`` that is no shortest plan, or else the next longer plan; but a
    shortest plan where no other fits the format. So it is for a tower of all blocks and the state after the only
    move from it: no other way leads there.

    Raises ValueError naming ``form``, ``seed`` or ``pairs``, see ``random_walks``.
    """
    rows = random_walks(form, world.graph, pairs, seed, shortest=True)
    fewest, waiting = hops(world.graph, pairs), np.arange(len(pairs))
    # Different words for each turn, and none of those from which other plans of the same seed come.
    for fresh, copies in zip(np.random.SeedSequence(seed).generate_state(len(COPIES)), COPIES, strict=True):
        drawn = random_walks(form, world.graph, np.repeat(pairs[waiting], copies, axis=0), int(fresh))
        drawn = drawn.reshape(-1, copies, form.length)
        longer = (drawn[:, :, PROMPT_LENGTH:] < form.nodes).sum(axis=2) - 1 > fewest[waiting, None]
        found = longer.any(axis=1)
        rows[waiting[found]] = drawn[found, longer[found].argmax(axis=1)]
        waiting = waiting[~found]
    for place in waiting.tolist():
        source, target = pairs[place].tolist()
        plan = _next_longer(world, source, target, int(fewest[place]))
        if 0 < len(plan) <= form.longest:
            rows[place] = encode_walk(form, plan)
    return rows


def _next_longer(world: Blocksworld, source: int, target: int, fewest: int) -> list[int]:
    # networkx yields plans without a state twice, the shorter ones first.
    plans = nx.shortest_simple_paths(world.graph, source, target)
    return next((plan for plan in plans if len(plan) - 1 > fewest), [])
