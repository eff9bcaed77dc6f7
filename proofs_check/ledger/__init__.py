"""The engine that decides claims; it knows none of them. For claims of your own, start with ``proofs_check``."""
