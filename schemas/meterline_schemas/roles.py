"""Roles of those who call the API."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """``producer`` writes events and asks what is left, ``viewer`` reads usage, ``finance`` has all reports too."""

    PRODUCER = "producer"
    VIEWER = "viewer"
    FINANCE = "finance"
    ADMIN = "admin"
