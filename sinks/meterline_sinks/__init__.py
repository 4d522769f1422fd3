"""Sinks of Meterline: what the stream has judged, carried from Kafka to ClickHouse.

``python -m meterline_sinks.migrate`` makes the tables and views, ``python -m meterline_sinks`` fills them.
"""
