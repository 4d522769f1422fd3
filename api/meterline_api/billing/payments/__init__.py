"""How the payment of invoices stands, as Stripe's events tell it."""
