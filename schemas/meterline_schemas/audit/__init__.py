"""The audit log: who did what, when and from where; a chain in which a removed or edited entry shows."""
