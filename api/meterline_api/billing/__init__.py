"""Billing: what usage costs, invoices of it, and what payment providers are told."""
