"""The proof: every line that was judged has one verdict, and ClickHouse says what the verdicts say.

Reads the topics and ClickHouse for itself and shares no counting code with the pipeline: only the names of topics
and tables, and the documented form of what is on them.

``times`` what is asked for · ``lines`` the count of lines and verdicts · ``shapes`` rows as text, the same on both
sides · ``buckets`` comparing many rows by few numbers · ``kafka`` and ``warehouse`` the edges · ``scope`` how far to
look · ``collect`` one pass over a topic · ``check_*`` one check each · ``run`` all of them · ``report`` what came out.
"""
