from .directory import load_pretrained as load_pretrained
from .place import sharded as sharded
from .pretrained import Pretrained as Pretrained
