"""``python -m meterline_api``: take events and answer questions over HTTP until SIGTERM.

Exit code 0 after a clean stop, 1 when the port is taken, 2 for wrong settings.
"""

from __future__ import annotations

import gc
import logging
import signal
import socket
import sys
from typing import Final

import uvicorn

from meterline_api.app import create_app
from meterline_api.billing.exporting.accounts import AccountSettings
from meterline_api.billing.exporting.settings import ExportSettings
from meterline_api.billing.jobs.settings import JobSettings
from meterline_api.billing.rendering.settings import DocumentSettings
from meterline_api.billing.settings import InvoiceSettings
from meterline_api.billing.stripe.settings import StripeSettings
from meterline_api.settings import ApiSettings
from meterline_api.storage.settings import StorageSettings
from meterline_schemas.errors import ConfigurationError
from meterline_schemas.settings import ClickHouseSettings, JudgeSettings, KafkaSettings, load

log = logging.getLogger("meterline_api")

_NEW_OBJECTS: Final = 20_000  # before a collection looks at them: a batch of events makes hundreds, and no cycles


def settings_from_environment() -> tuple[
    ApiSettings,
    KafkaSettings,
    ClickHouseSettings,
    JudgeSettings,
    StorageSettings,
    JobSettings,
    InvoiceSettings,
    DocumentSettings,
    StripeSettings,
    AccountSettings,
    ExportSettings,
]:
    """All settings.

    Raises:
        ConfigurationError: with one line for each that is wrong, of all kinds.
    """
    problems: list[str] = []
    kinds = (ApiSettings, KafkaSettings, ClickHouseSettings, JudgeSettings, StorageSettings)
    of_billing = (JobSettings, InvoiceSettings, DocumentSettings, StripeSettings, AccountSettings, ExportSettings)
    for kind in (*kinds, *of_billing):
        try:
            load(kind)
        except ConfigurationError as error:
            problems += str(error).splitlines()[1:]
    if problems:
        raise ConfigurationError("settings are wrong: " + "; ".join(problem.strip() for problem in problems))
    return (
        load(ApiSettings),
        load(KafkaSettings),
        load(ClickHouseSettings),
        load(JudgeSettings),
        load(StorageSettings),
        load(JobSettings),
        load(InvoiceSettings),
        load(DocumentSettings),
        load(StripeSettings),
        load(AccountSettings),
        load(ExportSettings),
    )


def listen(host: str, port: int) -> socket.socket:
    """A socket that is bound.

    Raises:
        OSError: the port is taken, or the host is not ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    return listener


def main() -> int:
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", force=True
    )
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    # they warn of what is told once, and on one line, elsewhere
    for name in ("urllib3", "clickhouse_connect", "botocore", "boto3", "apscheduler"):
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        found = settings_from_environment()
        settings, app = found[0], create_app(*found)
        listener = listen(settings.host, settings.port)
    except ConfigurationError as error:
        log.critical("%s", error)
        return 2
    except (OSError, OverflowError) as error:
        log.critical("cannot listen on %s:%d: %s; set METERLINE_API_PORT", settings.host, settings.port, error)
        return 1
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=int(settings.ack_timeout) + 2,
            timeout_keep_alive=75,
        )
    )

    def stop(_number: int, _frame: object) -> None:
        """Until the server has handlers of its own, and when it hands a signal on because it has stopped."""
        server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    address = listener.getsockname()
    log.info("listening on http://%s:%d", address[0], address[1])
    gc.collect()
    gc.freeze()  # what was imported stays: no collection needs to look through it
    gc.set_threshold(_NEW_OBJECTS, 50, 100)
    with listener:
        server.run(sockets=[listener])
    log.info("stopped")
    return 0 if server.started else 1


if __name__ == "__main__":
    sys.exit(main())
