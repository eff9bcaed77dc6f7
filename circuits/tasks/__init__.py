"""Tasks to train on and to verify: path finding in stars, binary trees and any directed graph; blocksworld."""

from circuits.tasks.answers import AnswerCheck
from circuits.tasks.binary_tree import BinaryTree
from circuits.tasks.blocksworld import (
    Blocksworld,
    PlanCheck,
    blocksworld,
    check_plan,
    moves_of,
    plan_format,
    shortest_plans,
)
from circuits.tasks.graphs import (
    adjacency,
    check_dag,
    check_graph,
    distances,
    graph_of,
    random_dag,
    reachability,
    read_graph,
    write_graph,
)
from circuits.tasks.levels import Levels, chance, clever_hans
from circuits.tasks.plan_sampling import blocksworld_walks, longer_plans
from circuits.tasks.problem import Family, Problem, canonical, relabel
from circuits.tasks.sampling import sample
from circuits.tasks.sequence_files import read_sequences
from circuits.tasks.splits import graph_hash, is_test, sample_split
from circuits.tasks.star_answers import check_answer, solve
from circuits.tasks.star_enumeration import count, edge_orders, everything, labelings, representatives
from circuits.tasks.star_graph import StarGraph, encode, replay_context, targets
from circuits.tasks.star_text import (
    file_name,
    format_line,
    format_lines,
    parse_file_name,
    parse_line,
    parse_lines,
    read_file,
)
from circuits.tasks.token_format import TokenFormat, problem_of, tokens
from circuits.tasks.tokenizer import decode_ids, encode_text, tokenizer
from circuits.tasks.tree_answers import check_tree_answer, solve_tree
from circuits.tasks.walk_answers import WalkOutcome, check_walk, valid_walk
from circuits.tasks.walk_format import (
    WalkFormat,
    parse_walk,
    read_walks,
    walk_format,
    walk_of,
    walk_text,
    walk_tokens,
    write_walks,
)
from circuits.tasks.walk_sampling import random_walks
from circuits.tasks.walks import Observed, Pairs, degrees, hops, observed, split_pairs, test_walks, training_walks

__all__ = [
    "AnswerCheck",
    "BinaryTree",
    "Blocksworld",
    "Family",
    "Levels",
    "Observed",
    "Pairs",
    "PlanCheck",
    "Problem",
    "StarGraph",
    "TokenFormat",
    "WalkFormat",
    "WalkOutcome",
    "adjacency",
    "blocksworld",
    "blocksworld_walks",
    "canonical",
    "chance",
    "check_answer",
    "check_dag",
    "check_graph",
    "check_plan",
    "check_tree_answer",
    "check_walk",
    "clever_hans",
    "count",
    "decode_ids",
    "degrees",
    "distances",
    "edge_orders",
    "encode",
    "encode_text",
    "everything",
    "file_name",
    "format_line",
    "format_lines",
    "graph_hash",
    "graph_of",
    "hops",
    "is_test",
    "labelings",
    "longer_plans",
    "moves_of",
    "observed",
    "parse_file_name",
    "parse_line",
    "parse_lines",
    "parse_walk",
    "plan_format",
    "problem_of",
    "random_dag",
    "random_walks",
    "reachability",
    "read_file",
    "read_graph",
    "read_sequences",
    "read_walks",
    "relabel",
    "replay_context",
    "representatives",
    "sample",
    "sample_split",
    "shortest_plans",
    "solve",
    "solve_tree",
    "split_pairs",
    "targets",
    "test_walks",
    "tokenizer",
    "tokens",
    "training_walks",
    "valid_walk",
    "walk_format",
    "walk_of",
    "walk_text",
    "walk_tokens",
    "write_graph",
    "write_walks",
]
