"""Jobs of billing: which instants are due, who does them, and what came of each run."""
