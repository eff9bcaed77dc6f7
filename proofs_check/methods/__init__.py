"""Building blocks of checks: the paper's setting, ball arithmetic, exact enumeration, comparisons of gradients."""
