"""The floor of Meterline: what flows between its processes, and nothing that runs.

Events, totals, rejects, metric definitions, topics and errors. Imports nothing else of Meterline.
"""
