"""``python -m tests.api.billing.jobs.serving``: the API with jobs that keep to the folder METERLINE_TEST_FOLDER."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from meterline_api import app
from meterline_api.__main__ import main
from meterline_schemas.billing.run import Job
from tests.api.billing.jobs.keyed import Keyed

keyed = Keyed(Path(os.environ["METERLINE_TEST_FOLDER"]))
setattr(app, "functions_of", lambda _app: {Job.PUSH: keyed, Job.CLOSE: keyed})  # noqa: B010
sys.exit(main())
