"""Random plans of Blocksworld for training: optimal and suboptimal ones."""

import networkx as nx
import numpy as np
from jaxtyping import Int

from circuits import checks
from circuits.tasks.blocksworld.world import Blocksworld
from circuits.tasks.walks.format import PROMPT_LENGTH, WalkFormat, encode_walk
from circuits.tasks.walks.pairs import Pairs
from circuits.tasks.walks.sampling import hops, random_walks

ATTEMPTS = (1, 4, 16)
"""Numbers of random walks drawn in turn to get a suboptimal plan, before a search for the shortest one."""


def training_plans(
    format: WalkFormat,
    world: Blocksworld,
    pairs: Pairs,
    plans_per_pair: int,
    optimal_share: float | int,
    seed: int,
) -> Int[np.ndarray, "n T"]:
    """Return the training lines: each move once as a plan of its own, then random plans for each training pair.

    Optimal plans come first, each step uniform over the moves that come nearer to the target; the others are drawn by
    ``suboptimal_plans``. Lines are sorted by move, then by pair, not shuffled.

    Args:
        format: the ids, for example ``plan_format(world)``.
        world: the blocks.
        pairs: the split of ``split_pairs``; only its training pairs are used.
        plans_per_pair: the number of plans for each training pair, at least 1.
        optimal_share: the share of optimal plans of each pair, in [0, 1]; their number is rounded, and at least 1.
        seed: at least 0.

    Returns:
        The ids, int32.

    Raises:
        ValueError: if an argument is out of range, or ``format`` or ``pairs`` does not fit (see ``random_walks``).

    Example:
        >>> from circuits.tasks import make_blocksworld, plan_format, split_pairs
        >>> world = make_blocksworld(2)
        >>> training_plans(plan_format(world), world, split_pairs(world.graph, 0, 0), 3, 1.0, seed=0).shape
        (16, 8)
    """
    checks.integer("plans_per_pair", plans_per_pair, 1)
    checks.require(0 <= optimal_share <= 1, "optimal_share", "must be in [0, 1]", optimal_share)
    checks.integer("seed", seed, 0)
    num_optimal = max(1, round(optimal_share * plans_per_pair))
    moves = np.asarray(list(world.graph.edges), dtype=np.int32).reshape(-1, 2)
    ends = np.concatenate([moves, np.repeat(pairs.train, num_optimal, axis=0)])
    optimal = random_walks(format, world.graph, ends, seed, shortest=True)
    others = suboptimal_plans(format, world, np.repeat(pairs.train, plans_per_pair - num_optimal, axis=0), seed)
    by_pair = [part.reshape(len(pairs.train), -1, format.length) for part in (optimal[len(moves) :], others)]
    return np.concatenate([optimal[: len(moves)], np.concatenate(by_pair, axis=1).reshape(-1, format.length)])


def suboptimal_plans(
    format: WalkFormat, world: Blocksworld, pairs: Int[np.ndarray, "n 2"], seed: int
) -> Int[np.ndarray, "n T"]:
    """Return a random plan for each pair that is not optimal: the first suboptimal one of up to 21 random walks.

    If all of them are optimal, the plan is the shortest suboptimal one. If no suboptimal one fits the format, the plan
    is optimal. (There is none, for example, from a tower of all blocks to the state after its only move.)

    Args:
        format: the ids, for example ``plan_format(world)``.
        world: the blocks.
        pairs: source and target of each plan.
        seed: at least 0.

    Returns:
        The ids, int32; no plan repeats a state.

    Raises:
        ValueError: if ``format``, ``seed`` or ``pairs`` is invalid, see ``random_walks``.

    Example:
        >>> from circuits.tasks import make_blocksworld, hops, plan_format
        >>> world, pairs = make_blocksworld(3), np.array([[5, 0]])
        >>> plans = suboptimal_plans(plan_format(world), world, pairs, seed=0)
        >>> bool((plans[:, 2:] < 13).sum() - 1 > hops(world.graph, pairs))
        True
    """
    rows = random_walks(format, world.graph, pairs, seed, shortest=True)
    minimum, pending = hops(world.graph, pairs), np.arange(len(pairs))
    # New seeds for each attempt, so its random numbers are not those of the optimal plans.
    for attempt_seed, draws in zip(np.random.SeedSequence(seed).generate_state(len(ATTEMPTS)), ATTEMPTS, strict=True):
        drawn = random_walks(format, world.graph, np.repeat(pairs[pending], draws, axis=0), int(attempt_seed))
        drawn = drawn.reshape(-1, draws, format.length)
        longer = (drawn[:, :, PROMPT_LENGTH:] < format.nodes).sum(axis=2) - 1 > minimum[pending, None]
        success = longer.any(axis=1)
        rows[pending[success]] = drawn[success, longer[success].argmax(axis=1)]
        pending = pending[~success]
    for row in pending.tolist():
        source, target = pairs[row].tolist()
        # networkx yields simple paths by increasing length.
        plans = nx.shortest_simple_paths(world.graph, source, target)
        plan = next((plan for plan in plans if len(plan) - 1 > minimum[row]), [])
        if 0 < len(plan) <= format.longest:
            rows[row] = encode_walk(format, plan)
    return rows
