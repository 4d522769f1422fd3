"""The stream processor: every event judged once, counted exactly once, one transaction a checkpoint.

``plain``, ``judge``, ``dedupe``, ``windows``, ``memory`` and ``outputs`` are pure; ``partition`` is the checkpoint;
``app`` is the Faust worker around it.
"""
