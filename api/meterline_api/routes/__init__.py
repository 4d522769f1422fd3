"""One module per path."""
