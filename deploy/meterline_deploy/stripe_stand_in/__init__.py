"""A Stripe stand-in: an account's objects, meters, invoices and webhooks on this machine, for tests and the demo."""
