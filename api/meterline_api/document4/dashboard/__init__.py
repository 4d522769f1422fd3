"""Requirement document 4's usage and billing dashboard, as a page that is made on the server."""
