from .hugging_face import load_pretrained as load_pretrained
from .placement import sharded as sharded
from .pretrained import Pretrained as Pretrained
