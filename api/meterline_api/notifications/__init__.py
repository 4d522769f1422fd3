"""Notifications as the API sees them: what was told, to whom, how that went, and asking for it once more."""
