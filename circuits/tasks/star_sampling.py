"""The name under which ``circuits.tasks.sampling`` was first imported, when it knew star graphs only."""

from circuits.tasks.sampling import CHUNK, sample

__all__ = ["CHUNK", "sample"]
