"""Documents at Stripe as invoice items, for tenants that are billed by them. See docs/stripe-items.md."""
