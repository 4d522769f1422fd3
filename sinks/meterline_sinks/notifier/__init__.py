"""The notifier: carries ``meterline.notifications`` to webhooks and mailboxes, each at least once.

``python -m meterline_sinks.notifier`` runs it.
"""
