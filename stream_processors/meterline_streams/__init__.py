"""The stream processor: every event judged once, counted exactly once, one transaction a checkpoint.

``judge``, ``dedupe``, ``windows``, ``memory`` and ``outputs`` are pure; ``partition`` is the checkpoint;
``app`` is the Faust worker around it.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy's algebra is not used: no threads, which would only spin
