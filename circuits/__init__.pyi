import proofs_check

from . import disentangled as disentangled
from . import flow as flow
from . import models as models
from . import one_layer as one_layer
from . import plotting as plotting
from . import pretrained as pretrained
from . import probes as probes
from . import tasks as tasks
from . import training as training
from . import transformer as transformer
from .disentangled.circuit import circuit as circuit
from .disentangled.circuit import saturated as saturated
from .disentangled.closed_form import Activations as Activations
from .disentangled.closed_form import forward as forward
from .disentangled.losses import Losses as Losses
from .disentangled.losses import losses as losses
from .disentangled.objective import Objective as Objective
from .disentangled.objective import batch_objective as batch_objective
from .disentangled.objective import objective as objective
from .disentangled.weights import Layer as Layer
from .disentangled.weights import Weights as Weights
from .flow.population import mean_by_symmetry as mean_by_symmetry
from .flow.population import mean_exhaustive as mean_exhaustive
from .models import LoadedModel as LoadedModel
from .models import accuracy as accuracy
from .models import checkpoint_path as checkpoint_path
from .models import held_out_problems as held_out_problems
from .models import load_model as load_model
from .models import shipped_checkpoints as shipped_checkpoints
from .probes.attention.extract import attention_maps as attention_maps
from .probes.attention.planning import find_circuit as find_circuit
from .tasks.problem import Problem as Problem
from .tasks.sampling import sample as sample
from .tasks.star.graph import StarGraph as StarGraph
from .tasks.star.graph import encode_prompt as encode_prompt
from .tasks.star.graph import targets as targets
from .transformer.model import Predictor as Predictor
from .transformer.taps import Taps as Taps

verify = proofs_check.verify
