"""Stripe: what it is set up with, what it is told of each day, and whether it has that. See docs/stripe.md."""
