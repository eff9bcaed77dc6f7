"""Every public name can be imported, says what it takes and returns, and has an example that runs."""

import doctest
import importlib
import inspect

import pytest

PACKAGES = (
    "circuits",
    "circuits.flow",
    "circuits.plotting",
    "circuits.pretrained",
    "circuits.probes",
    "circuits.tasks",
    "circuits.transformer",
    "circuits.transformer.heads",
    "proofs_check",
)
PUBLIC = {
    f"{module.__name__}.{name}": getattr(module, name)
    for module in map(importlib.import_module, PACKAGES)
    for name in module.__all__
}
FUNCTIONS = {name: value for name, value in PUBLIC.items() if inspect.isfunction(inspect.unwrap(value))}


WITHOUT_ARGS = {
    "circuits.flow.all_entries",
    "circuits.flow.causal_entries",
    "circuits.flow.fixed",
    "circuits.flow.free",
    "circuits.flow.gradient_flow",
    "circuits.flow.norm",
    "circuits.flow.orbits",
    "circuits.flow.toeplitz",
    "circuits.held_out_problems",
    "circuits.plotting.role_colour",
    "circuits.tasks.adjacency",
    "circuits.tasks.canonical_problems",
    "circuits.tasks.check_dag",
    "circuits.tasks.check_graph",
    "circuits.tasks.decode_ids",
    "circuits.tasks.decode_walk",
    "circuits.tasks.describe_plan",
    "circuits.tasks.distances",
    "circuits.tasks.file_name",
    "circuits.tasks.format_line",
    "circuits.tasks.format_lines",
    "circuits.tasks.format_walk",
    "circuits.tasks.graph_from_edges",
    "circuits.tasks.graph_hash",
    "circuits.tasks.held_out_walks",
    "circuits.tasks.hops",
    "circuits.tasks.make_blocksworld",
    "circuits.tasks.make_tokenizer",
    "circuits.tasks.num_problems",
    "circuits.tasks.parse_lines",
    "circuits.tasks.plan_format",
    "circuits.tasks.reachability",
    "circuits.tasks.read_problems",
    "circuits.tasks.read_walks",
    "circuits.tasks.shortest_plans",
    "circuits.tasks.walk_format",
    "circuits.tasks.write_graph",
    "circuits.tasks.write_walks",
    "circuits.transformer.acceptance_rates",
    "circuits.transformer.heads.head_losses",
    "circuits.transformer.heads.head_taps",
    "circuits.transformer.heads.logit_losses",
    "circuits.transformer.heads.shared_losses",
    "circuits.transformer.load_saved_model",
    "circuits.transformer.tap_names",
    "proofs_check.at_least",
    "proofs_check.balls_at_least",
}
WITHOUT_EXAMPLE = {
    "circuits.flow.all_entries",
    "circuits.flow.causal_entries",
    "circuits.flow.evaluate",
    "circuits.flow.fixed",
    "circuits.plotting.role_colour",
    "circuits.pretrained.load_gguf",
    "circuits.pretrained.load_pretrained",
    "circuits.tasks.write_graph",
    "circuits.tasks.write_walks",
    "circuits.transformer.acceptance_rates",
    "circuits.transformer.heads.head_losses",
    "circuits.transformer.heads.head_taps",
    "circuits.transformer.heads.logit_losses",
    "circuits.transformer.heads.shared_losses",
    "circuits.transformer.load_saved_model",
}
"""Names whose docstrings still lack a section. Nothing may be added."""
EXAMPLES_TESTED_ELSEWHERE = {"circuits.tasks", "proofs_check"}


def lacking(*sections: str) -> list[str]:
    """The public functions whose docstrings lack a section that they need."""
    faults = []
    for name, function in FUNCTIONS.items():
        text, signature = inspect.getdoc(function) or "", inspect.signature(function)
        needed = {"Args:": bool(signature.parameters), "Example:": True}
        faults += [f"{name}: {section}" for section in sections if needed[section] and section not in text]
    return sorted(faults)


def test_every_name_has_a_docstring():
    documented = {name: value for name, value in PUBLIC.items() if inspect.isclass(value) or name in FUNCTIONS}
    assert not [name for name, value in documented.items() if not inspect.getdoc(value)]


def test_every_function_explains_its_arguments():
    assert {fault.partition(":")[0] for fault in lacking("Args:")} <= WITHOUT_ARGS


def test_every_function_has_an_example():
    assert {fault.partition(":")[0] for fault in lacking("Example:")} <= WITHOUT_EXAMPLE


@pytest.mark.parametrize("package", sorted(set(PACKAGES) - EXAMPLES_TESTED_ELSEWHERE))
def test_the_examples_run(package):
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    finder = doctest.DocTestFinder(recurse=False)
    for name, value in PUBLIC.items():
        if name.rpartition(".")[0] == package and not inspect.ismodule(value):
            module = inspect.getmodule(inspect.unwrap(value)) if callable(value) else None
            for test in finder.find(value, name, module=False, globs=vars(module) | {} if module else {}):
                runner.run(test)
    assert runner.summarize().failed == 0
