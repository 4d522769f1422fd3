"""OpenMeter's API on ours: its events in, its meters defined and queried, its problems."""
