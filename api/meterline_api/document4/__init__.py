"""Requirement document 4 (metered billing service) in its own forms."""
