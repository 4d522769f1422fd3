"""Rejected lines over HTTP: listed, counted, and sent again to be judged anew."""
