"""The decoder-only transformer: build or load one, call it with taps, decode with it."""

from circuits.taps import Taps
from circuits.transformer.config import TransformerConfig
from circuits.transformer.generate import greedy
from circuits.transformer.model import Predictor, tap_names
from circuits.transformer.weights_file import load_model, save_model

__all__ = ["Predictor", "Taps", "TransformerConfig", "greedy", "load_model", "save_model", "tap_names"]
