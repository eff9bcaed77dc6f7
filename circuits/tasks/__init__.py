"""Tasks to train on and to verify: the star-graph path-finding task."""

from circuits.tasks.star_answers import AnswerCheck, check_answer, solve
from circuits.tasks.star_enumeration import count, edge_orders, everything, labelings, representatives
from circuits.tasks.star_graph import Problem, StarGraph, canonical, encode, relabel, replay_context, targets
from circuits.tasks.star_sampling import sample
from circuits.tasks.star_text import (
    file_name,
    format_line,
    format_lines,
    parse_file_name,
    parse_line,
    parse_lines,
    read_file,
)

__all__ = [
    "AnswerCheck",
    "Problem",
    "StarGraph",
    "canonical",
    "check_answer",
    "count",
    "edge_orders",
    "encode",
    "everything",
    "file_name",
    "format_line",
    "format_lines",
    "labelings",
    "parse_file_name",
    "parse_line",
    "parse_lines",
    "read_file",
    "relabel",
    "replay_context",
    "representatives",
    "sample",
    "solve",
    "targets",
]
