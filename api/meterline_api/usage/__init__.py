"""Usage: what is asked for becomes one statement, and its rows an answer."""
