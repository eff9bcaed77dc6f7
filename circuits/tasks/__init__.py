"""Tasks to train on and to verify: path finding in star graphs and binary trees."""

from circuits.tasks.answers import AnswerCheck
from circuits.tasks.binary_tree import BinaryTree
from circuits.tasks.levels import Levels, chance, clever_hans
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

__all__ = [
    "AnswerCheck",
    "BinaryTree",
    "Family",
    "Levels",
    "Problem",
    "StarGraph",
    "TokenFormat",
    "canonical",
    "chance",
    "check_answer",
    "check_tree_answer",
    "clever_hans",
    "count",
    "decode_ids",
    "edge_orders",
    "encode",
    "encode_text",
    "everything",
    "file_name",
    "format_line",
    "format_lines",
    "graph_hash",
    "is_test",
    "labelings",
    "parse_file_name",
    "parse_line",
    "parse_lines",
    "problem_of",
    "read_file",
    "read_sequences",
    "relabel",
    "replay_context",
    "representatives",
    "sample",
    "sample_split",
    "solve",
    "solve_tree",
    "targets",
    "tokenizer",
    "tokens",
]
