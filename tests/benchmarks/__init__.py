"""Measurements of every part beside what it is to be measured against, in one run on one machine.

``python -m tests.benchmarks`` runs them and writes ``docs/benchmarks.md``; see ``--help``.
"""
