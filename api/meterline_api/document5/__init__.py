"""Requirement document 5 (usage reporting API) in its own forms."""
