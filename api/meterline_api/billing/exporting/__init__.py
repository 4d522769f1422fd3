"""Exports for finance: documents, their lines and the journal as files that can be pulled again byte by byte.

1. ``kinds`` has every kind, its columns and how its rows are read; ``as_of`` is where in a ledger a pull ends.
2. ``pull`` makes the file of a kind, in any format, in constant memory.
3. ``job`` writes files of several kinds into a folder or a bucket, the manifest last.
"""
