"""The claims on arXiv:2405.09220 and arXiv:2509.23186: transfer matrices and powers of a graph."""
