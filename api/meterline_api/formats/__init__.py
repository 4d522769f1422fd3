"""Tables as JSON, newline-delimited JSON, CSV and Parquet, and which of them a caller wants."""
