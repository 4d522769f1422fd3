"""Invoices as people and programs read them: JSON, CSV, a page of HTML, and PDF. The same invoice, the same bytes."""
