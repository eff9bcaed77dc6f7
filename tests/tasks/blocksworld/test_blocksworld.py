import itertools
import re

import networkx as nx
import numpy as np
import pytest

from circuits.tasks import (
    Pairs,
    WalkFormat,
    check_plan,
    check_walk,
    decode_walk,
    degrees,
    describe_plan,
    held_out_walks,
    hops,
    make_blocksworld,
    observe,
    plan_format,
    shortest_plans,
    split_pairs,
    suboptimal_plans,
    training_plans,
)
from tests.tasks.walks import naive_walks

WORLD, SMALL = make_blocksworld(4), make_blocksworld(3)
NODE = {name: node for node, name in enumerate(WORLD.names)}
FORMAT, SMALL_FORMAT = plan_format(WORLD), plan_format(SMALL)


@pytest.mark.parametrize(("blocks", "states"), [(1, 1), (2, 3), (3, 13), (4, 73), (5, 501)])
def test_states_are_the_partitions_of_a_set_into_lists(blocks, states):
    world = make_blocksworld(blocks)
    assert len(world.states) == len(world.names) == len(set(world.names)) == states
    assert {frozenset(state) for state in world.states} == naive_walks.block_states(blocks)
    assert list(world.graph) == list(range(states))
    assert world.names[0] == "|".join("ABCDE"[:blocks])
    assert all(name.split("|") == sorted(name.split("|")) for name in world.names)


@pytest.mark.parametrize("blocks", [1, 2, 4])
def test_moves_are_those_of_the_twin(blocks):
    world = make_blocksworld(blocks)
    pairs = itertools.permutations(enumerate(map(frozenset, world.states)), 2)
    expected = {(u, v) for (u, one), (v, other) in pairs if naive_walks.is_move(one, other)}
    assert set(world.graph.edges) == set(world.moves) == expected


def test_moves_are_named_and_can_be_undone_and_every_state_can_be_reached():
    for (u, v), words in WORLD.moves.items():
        before, after = (naive_walks.supports(frozenset(WORLD.states[node])) for node in (u, v))
        (moved,) = (block for block in before if before[block] != after[block])
        onto = after[moved]
        expected = f"move {'ABCD'[moved]} to table" if onto is None else f"stack {'ABCD'[moved]} on {'ABCD'[onto]}"
        assert words == expected
        assert (v, u) in WORLD.moves
    assert nx.is_strongly_connected(WORLD.graph)


def test_a_plan_by_hand():
    # The tower of A, B, C, D is turned round: the upper three go to the table, and then three go up again.
    source, target = NODE["ABCD"], NODE["DCBA"]
    plans = shortest_plans(WORLD, source, target)
    names = ["ABCD", "ABC|D", "AB|DC", "A|DCB", "DCBA"]
    assert plans == [[NODE[name] for name in names]]
    assert describe_plan(WORLD, plans[0]) == ["move D to table", "stack C on D", "stack B on C", "stack A on B"]
    assert describe_plan(WORLD, [source]) == []


def test_shortest_plans_are_all_of_them():
    for source, target in itertools.product(range(13), repeat=2):
        every = naive_walks.simple_paths(set(SMALL.graph.edges), source, target)
        minimum = min(map(len, every))
        assert shortest_plans(SMALL, source, target) == sorted(plan for plan in every if len(plan) == minimum)


@pytest.mark.parametrize(
    ("names", "check"),
    [
        (["AB|C|D", "A|B|C|D"], (True, True, "")),
        (["AB|C|D", "A|CB|D", "A|B|C|D"], (True, False, "2 moves, where 1 suffice")),
        (["A|B|C|D"], (False, False, "starts at A|B|C|D, not at AB|C|D")),
        ([], (False, False, "starts at no state, not at AB|C|D")),
        (["AB|C|D"], (False, False, "ends at AB|C|D, not at A|B|C|D")),
        (["AB|C|D", "AB|CD"], (False, False, "ends at AB|CD, not at A|B|C|D")),
        (["AB|C|D", "ABC|D", "A|B|C|D"], (False, False, "no move from ABC|D to A|B|C|D at step 2")),
        (["AB|C|D", "AB|C|D", "A|B|C|D"], (False, False, "no move from AB|C|D to AB|C|D at step 1")),
        (["AB|C|D", "ABC|D", "AB|C|D", "A|B|C|D"], (False, False, "returns to AB|C|D at step 2")),
    ],
)
def test_plans_are_checked_with_a_reason(names, check):
    plan = [NODE[name] for name in names]
    ends = NODE["AB|C|D"], NODE["A|B|C|D"]
    assert (check_walk(WORLD.graph, *ends, [*plan, FORMAT.end_token], FORMAT) == "valid") == check[0]
    assert check_plan(WORLD, *ends, plan) == check
    assert check_plan(WORLD, *ends, np.asarray(plan, dtype=int)) == check


@pytest.mark.parametrize("node", [-1, 73])
def test_nodes_that_are_not_states(node):
    assert (
        check_plan(WORLD, 0, 1, [0, node]).reason == f"no move from A|B|C|D to {node}, which is not a state at step 1"
    )
    assert check_plan(WORLD, 0, 1, [node]).reason == f"starts at {node}, which is not a state, not at A|B|C|D"
    for call, name in (
        (lambda: check_plan(WORLD, node, 0, [0]), "source"),
        (lambda: check_plan(WORLD, 0, node, [0]), "target"),
        (lambda: shortest_plans(WORLD, node, 0), "source"),
        (lambda: shortest_plans(WORLD, 0, node), "target"),
    ):
        with pytest.raises(ValueError, match=f"^{name}: must be an integer between 0 and 72, got {node}$"):
            call()


def test_the_format_has_room_for_every_shortest_plan_and_a_few_more_moves():
    longest = max(len(path) for _, paths in nx.all_pairs_shortest_path(WORLD.graph) for path in paths.values())
    assert plan_format(WORLD, 0) == WalkFormat(73, longest)
    assert WalkFormat(73, longest + 2) == FORMAT


@pytest.mark.parametrize(("share", "optimal"), [(0, 1), (0.5, 3), (0.7, 4), (1, 6)])
def test_training_plans(share, optimal):
    pairs, count = split_pairs(SMALL.graph, 0.2, 1), SMALL.graph.number_of_edges()
    rows = training_plans(SMALL_FORMAT, SMALL, pairs, 6, share, 1)
    assert rows.dtype == np.int32
    plans = [decode_walk(SMALL_FORMAT, row) for row in rows]
    assert plans[:count] == [list(edge) for edge in sorted(SMALL.moves)]
    ends = np.repeat(pairs.train, 6, axis=0).tolist()
    checks = [check_plan(SMALL, u, v, plan) for (u, v), plan in zip(ends, plans[count:], strict=True)]
    assert all(check.valid for check in checks)
    best = np.asarray([check.optimal for check in checks]).reshape(-1, 6)
    assert best[:, :optimal].all()
    # A tower has one move, and no other plan to its result or back: 6 towers, there and back.
    expected = 12 if optimal < 6 else 0
    assert best[:, optimal:].any(axis=1).sum() == (best[:, optimal:].all(axis=1) & (optimal < 6)).sum() == expected
    np.testing.assert_array_equal(rows, training_plans(SMALL_FORMAT, SMALL, pairs, 6, share, 1))


def test_suboptimal_plans_of_a_pair_are_many():
    pair = np.asarray([[NODE["AB|CD"], NODE["A|B|C|D"]]])
    rows = suboptimal_plans(FORMAT, WORLD, np.repeat(pair, 50, axis=0), 0)
    plans = {tuple(decode_walk(FORMAT, row)) for row in rows}
    assert len(plans) > 10
    assert len({len(plan) for plan in plans}) > 2


def test_suboptimal_plans_where_the_world_or_the_format_leaves_little_room():
    pairs = split_pairs(SMALL.graph, 0, 0).test
    tight = plan_format(SMALL, 0)
    lengths = (suboptimal_plans(tight, SMALL, pairs, 0)[:, 2:] < 13).sum(axis=1) - 1
    for (source, target), moves in zip(pairs.tolist(), lengths.tolist(), strict=True):
        every = naive_walks.simple_paths(set(SMALL.graph.edges), source, target)
        fitting = {len(plan) - 1 for plan in every if len(plan) <= tight.longest}
        assert moves in fitting - {min(fitting)} or fitting == {moves}
    # Two blocks can be moved in one way only.
    rows = suboptimal_plans(WalkFormat(3, 3), make_blocksworld(2), np.asarray([[1, 2], [0, 1]]), 0)
    assert [decode_walk(WalkFormat(3, 3), row) for row in rows] == [[1, 0, 2], [0, 1]]


def test_the_measures_of_a_dag_apply_here_too():
    pairs = split_pairs(WORLD.graph, 0.05, 0)
    rows = training_plans(FORMAT, WORLD, pairs, 2, 1.0, 0)
    seen = observe(FORMAT, rows)
    edges, reached = naive_walks.seen(73, rows.tolist())
    assert {(int(u), int(v)) for u, v in np.argwhere(seen.adjacency)} == edges == set(WORLD.moves)
    chosen = np.random.default_rng(0).choice(len(pairs.test), size=100, replace=False)
    expected = [naive_walks.degree(seen.adjacency, reached, *pair) for pair in pairs.test[chosen].tolist()]
    np.testing.assert_array_equal(degrees(WORLD.graph, seen, pairs.test)[chosen], expected)
    assert len(set(expected)) > 1
    lengths = dict(nx.all_pairs_shortest_path_length(WORLD.graph))
    np.testing.assert_array_equal(hops(WORLD.graph, pairs.test), [lengths[s][t] for s, t in pairs.test.tolist()])
    for row in held_out_walks(FORMAT, WORLD.graph, pairs, 0)[::50]:
        assert check_walk(WORLD.graph, row[0], row[1], row[2:], FORMAT) == "valid"
        assert check_plan(WORLD, int(row[0]), int(row[1]), decode_walk(FORMAT, row)).valid


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"plans_per_pair": 0}, "plans_per_pair: must be an integer at least 1, got 0"),
        ({"optimal_share": 1.5}, "optimal_share: must be in [0, 1], got 1.5"),
        ({"seed": -1}, "seed: must be an integer at least 0, got -1"),
        ({"format": WalkFormat(72, 9)}, "format: must have N = 73 nodes, as the graph, got 72"),
        ({"format": WalkFormat(73, 2)}, "format: longest must be at least"),
        ({"pairs": Pairs(np.asarray([[3, 3]]), np.asarray([[0, 1]]))}, "pairs: must be two different nodes"),
    ],
)
def test_training_plans_out_of_range(change, message):
    pairs = Pairs(np.asarray([[0, 72]]), np.asarray([[0, 71]]))
    usual = {"format": FORMAT, "world": WORLD, "pairs": pairs, "plans_per_pair": 2, "optimal_share": 0.5, "seed": 0}
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        training_plans(**(usual | change))


def test_sizes_out_of_range_and_steps_that_are_not_moves():
    for blocks in (0, 7):
        with pytest.raises(ValueError, match=f"^blocks: must be an integer between 1 and 6, got {blocks}$"):
            make_blocksworld(blocks)
    with pytest.raises(ValueError, match=r"^extra_moves: must be an integer at least 0, got -1$"):
        plan_format(WORLD, -1)
    with pytest.raises(ValueError, match=r"^plan: each step must be a move, got \(0, 72\)$"):
        describe_plan(WORLD, [0, 72])
