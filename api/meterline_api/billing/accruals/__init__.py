"""What was earned up to a cut-off and stands on no invoice yet."""
