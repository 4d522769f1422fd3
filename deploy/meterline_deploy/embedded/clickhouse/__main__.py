"""Runs the engine and its HTTP front until SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from contextlib import nullcontext
from pathlib import Path

import uvicorn

from meterline_deploy.embedded.clickhouse.config import write_config
from meterline_deploy.embedded.clickhouse.engine import Engine
from meterline_deploy.embedded.clickhouse.errors import EngineError
from meterline_deploy.embedded.clickhouse.front import application
from meterline_deploy.embedded.clickhouse.server import Server
from meterline_deploy.embedded.clickhouse.users import Users
from meterline_deploy.folders import lock_folder, make_folder
from meterline_deploy.ports import HOST, is_free
from meterline_schemas.errors import ConfigurationError, MeterlineError, UnavailableError

STOP_SECONDS = 8  # for statements that run; then they end with the process


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m meterline_deploy.embedded.clickhouse", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder for everything that the engine keeps")
    parser.add_argument("--port", type=int, default=8123, help="port on 127.0.0.1 (default 8123)")
    parser.add_argument(
        "--password",
        default=os.environ.get("METERLINE_CLICKHOUSE_PASSWORD", ""),
        help="of the user default (METERLINE_CLICKHOUSE_PASSWORD keeps it off the command line)",
    )
    parser.add_argument(
        "--analyst-password",
        default=os.environ.get("METERLINE_CLICKHOUSE_ANALYST_PASSWORD", ""),
        help="of the user analyst (METERLINE_CLICKHOUSE_ANALYST_PASSWORD keeps it off the command line)",
    )
    options = parser.parse_args(argv)
    try:
        data = make_folder(options.data)
        lock = lock_folder(data, "ClickHouse")
        os.set_inheritable(lock.fileno(), False)
        if not is_free(options.port):
            raise ConfigurationError(f"port {options.port} is taken: give ClickHouse another one with --port")
        try:
            engine = Engine(make_folder(data / "engine"), write_config(data))
        except EngineError as error:
            raise UnavailableError(f"the engine does not start on {data}: {error}") from None
        front = application(Server(engine), Users(options.password, options.analyst_password, engine.account))
        asyncio.run(_serve(front, options.port))
    except MeterlineError as error:
        print(f"clickhouse: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    sys.stderr.flush()
    os._exit(0)  # a statement that still runs must not hold the process; the engine is safe against being killed


async def _serve(front: object, port: int) -> None:
    config = uvicorn.Config(
        front,  # type: ignore[arg-type]
        host=HOST,
        port=port,
        log_level="warning",
        access_log=False,
        lifespan="off",
        timeout_keep_alive=75,
        timeout_graceful_shutdown=STOP_SECONDS,
        server_header=False,
    )
    server = uvicorn.Server(config)
    server.capture_signals = nullcontext  # type: ignore[method-assign, assignment]
    loop = asyncio.get_running_loop()

    def stop() -> None:
        server.force_exit = server.should_exit
        server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    await server.serve()


if __name__ == "__main__":
    sys.exit(main())
