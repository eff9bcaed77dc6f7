"""What other, secondary sources claim."""
