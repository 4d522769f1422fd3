"""Who calls, and what they may: keys and tokens become a principal, and every route names the right that it needs."""
