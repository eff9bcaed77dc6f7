# isort: skip_file

# Path-finding problems of any family: sampling, splits, token ids, baselines.
from .problem import Family as Family
from .problem import Problem as Problem
from .problem import canonical_problem as canonical_problem
from .problem import relabel as relabel
from .sampling import sample as sample
from .splits import graph_hash as graph_hash
from .splits import is_test as is_test
from .splits import sample_split as sample_split
from .token_format import TokenFormat as TokenFormat
from .token_format import decode_problem as decode_problem
from .token_format import encode_problem as encode_problem
from .token_format import solve as solve
from .tokenizer import decode_ids as decode_ids
from .tokenizer import encode_text as encode_text
from .tokenizer import make_tokenizer as make_tokenizer
from .sequence_files import edge_codes as edge_codes
from .sequence_files import read_sequences as read_sequences
from .baselines import Baselines as Baselines
from .baselines import chance as chance
from .baselines import clever_hans as clever_hans
from .answers import AnswerCheck as AnswerCheck

# Configs of tasks, for training.
from .star.config import StarConfig as StarConfig
from .tree.config import TreeConfig as TreeConfig
from .walks.config import DagConfig as DagConfig
from .blocksworld.config import BlocksworldConfig as BlocksworldConfig

# Star graphs.
from .star.graph import StarGraph as StarGraph
from .star.graph import encode_prompt as encode_prompt
from .star.graph import replay_context as replay_context
from .star.graph import targets as targets
from .star.answers import check_star_answer as check_star_answer
from .star.answers import solve_star as solve_star
from .star.enumeration import canonical_problems as canonical_problems
from .star.enumeration import edge_orders as edge_orders
from .star.enumeration import enumerate_problems as enumerate_problems
from .star.enumeration import labelings as labelings
from .star.enumeration import num_problems as num_problems

# The public text format of star graphs and binary trees.
from .star.text import file_name as file_name
from .star.text import format_line as format_line
from .star.text import format_lines as format_lines
from .star.text import parse_file_name as parse_file_name
from .star.text import parse_line as parse_line
from .star.text import parse_lines as parse_lines
from .star.text import read_problems as read_problems

# Binary trees.
from .tree.graph import BinaryTree as BinaryTree
from .tree.answers import check_tree_answer as check_tree_answer
from .tree.answers import solve_tree as solve_tree

# Walks in a directed graph.
from .walks.graphs import adjacency as adjacency
from .walks.graphs import distances as distances
from .walks.graphs import graph_from_edges as graph_from_edges
from .walks.graphs import random_dag as random_dag
from .walks.graphs import reachability as reachability
from .walks.graph_files import read_graph as read_graph
from .walks.graph_files import write_graph as write_graph
from .walks.format import WalkFormat as WalkFormat
from .walks.format import decode_walk as decode_walk
from .walks.format import encode_walk as encode_walk
from .walks.format import format_walk as format_walk
from .walks.format import parse_walk as parse_walk
from .walks.format import read_walks as read_walks
from .walks.format import walk_format as walk_format
from .walks.format import write_walks as write_walks
from .walks.sampling import hops as hops
from .walks.sampling import random_walks as random_walks
from .walks.pairs import Observed as Observed
from .walks.pairs import Pairs as Pairs
from .walks.pairs import degrees as degrees
from .walks.pairs import held_out_walks as held_out_walks
from .walks.pairs import observe as observe
from .walks.pairs import split_pairs as split_pairs
from .walks.pairs import training_walks as training_walks
from .walks.answers import WalkOutcome as WalkOutcome
from .walks.answers import check_walk as check_walk
from .walks.answers import is_valid_walk as is_valid_walk

# Blocksworld.
from .blocksworld.world import Blocksworld as Blocksworld
from .blocksworld.world import PlanCheck as PlanCheck
from .blocksworld.world import make_blocksworld as make_blocksworld
from .blocksworld.world import check_plan as check_plan
from .blocksworld.world import describe_plan as describe_plan
from .blocksworld.world import plan_format as plan_format
from .blocksworld.world import shortest_plans as shortest_plans
from .blocksworld.plans import suboptimal_plans as suboptimal_plans
from .blocksworld.plans import training_plans as training_plans
