"""Claims of secondary sources."""
