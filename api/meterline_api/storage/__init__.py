"""Storage as usage: how much each tenant stores is measured on a schedule and counted as readings of a gauge."""
