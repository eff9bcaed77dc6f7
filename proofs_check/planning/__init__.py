"""The claims on arXiv:2604.11912, "How Transformers Learn to Plan via Multi-Token Prediction"."""
