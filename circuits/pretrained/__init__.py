"""Models of other people as our transformer: folders in the Hugging Face layout."""

from circuits.pretrained.directory import load_pretrained
from circuits.pretrained.place import sharded
from circuits.pretrained.pretrained import Pretrained

__all__ = ["Pretrained", "load_pretrained", "sharded"]
