"""Invoices: drafts of what is open, documents of what is closed."""
