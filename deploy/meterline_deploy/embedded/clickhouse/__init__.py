"""The ClickHouse engine (chdb) behind ClickHouse's own HTTP protocol, in a process of its own.

``python -m meterline_deploy.embedded.clickhouse --data DIR --port N --password P --analyst-password Q``

Stock clients, curl and BI tools see a ClickHouse server: ``default`` owns it; ``analyst``, and the analysts of single
tenants, only read and have limits. Not spoken: the native TCP port, ``compress=1`` blocks, progress headers while a
query runs.
"""
