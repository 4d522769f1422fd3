"""Requirement document 2 (usage-based billing module) in its own forms."""
