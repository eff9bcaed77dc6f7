"""Runs by name: what the paper says of its own, and that all can be made."""

# pyright: reportAttributeAccessIssue=false

import jax
import pytest

from circuits.tasks.star.graph import StarGraph
from circuits.tasks.task import build_task
from circuits.tasks.walks.config import DagConfig
from circuits.training.presets import PRESETS
from circuits.training.shapes import check_fits
from circuits.training.step import initial_state

MILLIONS = {"e3-ntp": 25, "e3-mtp3": 25, "figure-2-ntp": 16, "figure-2-mtp2": 16}


@pytest.mark.parametrize("name", PRESETS)
def test_shapes_of_state_and_tokens(name):
    text, config = PRESETS[name]
    assert text
    assert text.split()[-1] not in ("the", "a")
    task = build_task(config.task)
    check_fits(config, task)
    state = jax.eval_shape(lambda: initial_state(config, task, 0))
    size = sum(leaf.size for leaf in jax.tree.leaves(state.params))
    if name in MILLIONS:
        assert round(size / 1e6) == MILLIONS[name]
    else:
        assert size < 1e6
    if (draw := task.draw) is not None:
        rows = jax.eval_shape(lambda: draw(jax.random.key(0), 4))
        assert rows.shape == (4, task.format.length)


@pytest.mark.parametrize("name", PRESETS)
def test_names_tell_the_objective(name):
    objective = PRESETS[name][1].objective
    told = name.rsplit("-", 1)[1]
    kind = "injection" if objective.injection else objective.head_kind
    plain = objective.name + str(objective.heads) * (objective.name == "mtp")
    assert told == (plain if kind == "linear" else kind)


def test_the_runs_of_the_paper():
    """Appendix E.3, and Figure 2."""
    config = PRESETS["e3-ntp"][1]
    assert build_task(config.task).format.family == StarGraph(5, 5, 100)
    assert config.task.examples == 1_000_000
    assert (config.batch, config.optimiser.learning_rate, config.optimiser.weight_decay) == (1024, 1e-4, 0.0)
    assert (config.model.layers, config.model.heads, config.model.width) == (8, 8, 512)
    assert config.steps == 40 * (1_000_000 // 1024)
    config = PRESETS["figure-2-mtp2"][1]
    assert build_task(config.task).format.family == StarGraph(2, 5, 100)
    assert config.task.examples == 500_000
    assert config.steps == 100 * (500_000 // config.batch)


@pytest.mark.parametrize("name", PRESETS)
def test_runs_that_are_compared_differ_in_the_objective_alone(name):
    family = name.rsplit("-", 1)[0]
    others = [config for other, (_, config) in PRESETS.items() if other.rsplit("-", 1)[0] == family]
    assert len(others) >= 2
    mine = PRESETS[name][1]
    for other in others:
        same = (mine.task, mine.model, mine.optimiser, mine.steps, mine.batch)
        assert same == (other.task, other.model, other.optimiser, other.steps, other.batch)


def test_the_walks_of_the_paper():
    """arXiv:2509.23186: 100 nodes, edge probability 0.1, a tenth of the pairs, 20 walks each; one layer of one head."""
    config = PRESETS["dag-transfer"][1]
    assert (config.task.graph, config.task.labels) == ("dag", 100)
    assert isinstance(config.task, DagConfig)
    walks = config.task.walks
    assert (walks.edge_probability, walks.train_share, walks.paths_a_pair) == (0.1, 0.1, 20)
    assert (config.model.layers, config.model.heads, config.model.width) == (1, 1, 120)
    assert build_task(PRESETS["blocks-ntp"][1].task).format.vocab_size == 73 + 2
    for name, (_, other) in PRESETS.items():
        if name.startswith("dag"):
            assert other.task == config.task
            assert other.model.kind == ("one-layer" if "one-layer" in name else "standard")
