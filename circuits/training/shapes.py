"""Quantities that depend on both a config and its task: the model's sizes, and the positions in the loss."""

from dataclasses import fields

from jaxtyping import Array, Int

from circuits import checks
from circuits.tasks.task import Task
from circuits.training.config import TrainConfig
from circuits.transformer.config import TransformerConfig
from circuits.transformer.objectives import teacherless_inputs
from circuits.transformer.one_layer import one_layer_config


def transformer_config(config: TrainConfig, task: Task) -> TransformerConfig:
    """Return the config of the model: its architecture, the task's vocabulary and length, the objective's heads."""
    chosen = {field.name: getattr(config.model, field.name) for field in fields(config.model)}
    objective = config.objective
    chosen |= {name: getattr(objective, name) for name in ("head_kind", "head_layers", "head_chain", "injection")}
    vocab, positions = task.format.vocab_size, task.format.length - 1
    return TransformerConfig(**chosen, vocab=vocab, positions=positions, prediction_heads=objective.heads)


def first_position(config: TrainConfig, task: Task) -> int:
    """Return the first position whose prediction is part of the loss.

    At the last position of the prompt, the one-layer model copies the source without any parameter, so its loss begins
    one position later.
    """
    if config.objective.count == "all":
        return 0
    return task.format.prompt_length - (config.model.kind != "one-layer")


def tokens_per_step(config: TrainConfig, task: Task) -> int:
    """Return the number of tokens that the models of all seeds read in a step."""
    return config.seeds * config.batch * (task.format.length - 1)


def hide_answer(task: Task, row: Int[Array, " T"]) -> Int[Array, " T"]:
    """Return a problem with its answer replaced by dummy tokens, the input of teacherless training."""
    assert task.dummy_token is not None  # as ``check_fits`` requires
    return teacherless_inputs(row, task.format.prompt_length, task.dummy_token)


def check_fits(config: TrainConfig, task: Task) -> None:
    """Raise ValueError naming a field of the config that is not possible for the task."""
    format, objective, one_layer = task.format, config.objective, config.model.kind == "one-layer"
    max_heads = min(format.answer_length, format.length - 1 - first_position(config, task))
    rule = f"must be at most {max_heads}, the tokens of an answer{' after the source' * one_layer}"
    checks.require(objective.heads <= max_heads, "objective.heads", rule, objective.heads)
    rule = f"must not be teacherless for {task.words}, whose vocabulary has no dummy token"
    hidden = objective.name != "teacherless" or task.dummy_token is not None
    checks.require(hidden, "objective.name", rule, objective.name)
    rule = f"must be 1 for {task.words}: parts of a batch with much padding would have too much weight"
    checks.require(config.accumulate == 1 or task.pad_token is None, "accumulate", rule, config.accumulate)
    count = len(objective.token_weights)
    rule = f"must be empty or {format.vocab_size} weights, one for each token"
    checks.require(count in (0, format.vocab_size), "objective.token_weights", rule, count)
    fits = not one_layer or task.graph is not None
    checks.require(fits, "model.kind", "must be standard unless the task is one of walks", config.model.kind)
    shape = transformer_config(config, task)
    if one_layer:
        one_layer_config(shape)
