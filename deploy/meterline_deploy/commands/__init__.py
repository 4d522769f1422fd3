"""The commands of ``meterline``, a module each; every one has ``register(app)``.

What a command needs is imported when it runs, so that ``meterline --help`` answers at once.
"""
