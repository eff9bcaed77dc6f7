"""What checks are made of: the paper's setting, ball arithmetic, exact enumeration, comparisons of gradients."""
