"""Quotas as the API sees them: counters in memory, what is left of a quota, and who may not use more."""
