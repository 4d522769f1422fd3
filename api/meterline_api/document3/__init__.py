"""Requirement document 3 (a metering library) by the names of its commands and queries, in its own forms."""
