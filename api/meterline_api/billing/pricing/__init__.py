"""Pricing: from plans and quantities to the lines of an invoice, by values alone. All of it is pure."""
