from .config import OptimiserConfig as OptimiserConfig
from .config import TrainConfig as TrainConfig
from .devices import Devices as Devices
from .objective_config import ObjectiveConfig as ObjectiveConfig
from .presets import PRESETS as PRESETS
from .run_folder import read_metrics as read_metrics
