"""What plans cost, for people."""
