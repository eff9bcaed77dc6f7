from .config import TransformerConfig as TransformerConfig
from .generate import greedy as greedy
from .model import Predictor as Predictor
from .model import tap_names as tap_names
from .taps import Taps as Taps
from .weights_file import load_saved_model as load_saved_model
from .weights_file import save_model as save_model
