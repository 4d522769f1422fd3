"""The audit log over HTTP: what is written into it, and what it answers."""
