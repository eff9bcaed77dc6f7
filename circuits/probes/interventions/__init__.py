"""Causal probes: change a run and see what the answer does."""

from circuits.probes.interventions.ablation import ablate, means
from circuits.probes.interventions.effects import Effects
from circuits.probes.interventions.knockout import knock_out, site_names, site_positions, windows
from circuits.probes.interventions.pairs import Twins, twin, twins
from circuits.probes.interventions.patching import Patched, patch, patch_masks
from circuits.probes.interventions.path_patching import Receiver, path_patch
from circuits.probes.interventions.sites import HEAD_SITES, SITES, STREAM_SITES, grid

__all__ = [
    "HEAD_SITES",
    "SITES",
    "STREAM_SITES",
    "Effects",
    "Patched",
    "Receiver",
    "Twins",
    "ablate",
    "grid",
    "knock_out",
    "means",
    "patch",
    "patch_masks",
    "path_patch",
    "site_names",
    "site_positions",
    "twin",
    "twins",
    "windows",
]
