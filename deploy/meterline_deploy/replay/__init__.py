"""Rejected events judged again: after their metric was defined, or the window of event times widened."""
