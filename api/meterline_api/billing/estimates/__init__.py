"""What a tenant's open period will come to, and what another plan would have come to. Nothing of it is kept."""
