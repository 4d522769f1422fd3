"""Requirement document 1 (usage metering export) in its own forms."""
