"""One module a part. Each has ``run(bench, sizes) -> Result`` and checks its own figures for correctness."""
