from .flax_attention import capture_attention as capture_attention
from .gguf import load_gguf as load_gguf
from .hugging_face import load_pretrained as load_pretrained
from .placement import sharded as sharded
from .pretrained import Pretrained as Pretrained
from .smollm2 import smollm2_file as smollm2_file
