"""What each day costs, by tenant and metric."""
