"""Files of events for ``meterline emit``: which column says what, rows as events, and sending them."""
