"""The life of an event: where it was read, what was judged of it, and what it is part of."""
