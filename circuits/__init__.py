"""Verify, watch and find the reverse reasoning circuit of multi-token prediction.

What a notebook starts with; everything else is imported from its own module. Theory runs in float64: enable it
first, with ``jax.config.update("jax_enable_x64", True)``.
"""

from circuits.disentangled.circuit import circuit, saturated
from circuits.disentangled.closed_form import Activations, forward
from circuits.disentangled.losses import Losses, losses
from circuits.disentangled.objective import Objective, batch_objective, objective
from circuits.disentangled.weights import Layer, Weights
from circuits.flow.population import mean_by_symmetry, mean_exhaustive
from circuits.tasks import Problem, StarGraph, encode, sample, targets

__all__ = [
    "Activations",
    "Layer",
    "Losses",
    "Objective",
    "Problem",
    "StarGraph",
    "Weights",
    "batch_objective",
    "circuit",
    "encode",
    "forward",
    "losses",
    "mean_by_symmetry",
    "mean_exhaustive",
    "objective",
    "sample",
    "saturated",
    "targets",
]
