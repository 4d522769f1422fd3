"""The Kafka and the ClickHouse that tests run on, behind two providers.

METERLINE_TEST_SERVICES=embedded (the default) starts what ``meterline up`` starts; =containers starts containers.
Tests ask the fixtures of ``tests/conftest.py`` and do not know which of the two they have.
"""
