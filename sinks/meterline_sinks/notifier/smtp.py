"""One attempt at a mailbox. The edge to SMTP."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from email.message import EmailMessage
from typing import Final

import aiosmtplib

from meterline_schemas.delivery import MAX_ANSWER, Delivery
from meterline_sinks.notifier import audience, mail
from meterline_sinks.notifier.outcome import Outcome
from meterline_sinks.notifier.settings import SmtpSettings
from meterline_sinks.notifier.smtp_url import read_smtp_url

_QUIT_SECONDS: Final = 1.0
_CONNECTIONS: Final = 8  # servers refuse more than a few from one client


class Mailboxes:
    """Sends notifications through the server of the settings. ``timeout`` seconds are for all of an attempt."""

    def __init__(self, settings: SmtpSettings, timeout: float) -> None:
        url = settings.smtp_url.get_secret_value()
        self._url = read_smtp_url(url) if url else None
        self._from = settings.smtp_from
        self._timeout = timeout
        self._bound = asyncio.Semaphore(_CONNECTIONS)

    async def attempt(self, delivery: Delivery, address: str) -> Outcome:
        """Send the notification. Whatever goes wrong is an outcome."""
        if self._url is None:
            return Outcome(error="no SMTP server is configured; set METERLINE_SMTP_URL", final=True)
        heard = audience.read(bytes(delivery.notification))
        try:
            message = mail.message(heard.id, heard.type, heard.timestamp, heard.data, self._from, address)
        except ValueError as error:
            return Outcome(error=f"no e-mail can be made of it: {error}", final=True)
        client = aiosmtplib.SMTP(
            hostname=self._url.host,
            port=self._url.port,
            use_tls=self._url.tls,
            start_tls=self._url.start_tls,
            username=self._url.user,
            password=self._url.password,
            timeout=self._timeout,
        )
        try:
            async with self._bound:
                return await self._send(client, message)
        except TimeoutError:
            return Outcome(error=f"the SMTP server has not answered within {self._timeout:g} s")
        except aiosmtplib.SMTPRecipientsRefused as error:
            first = error.recipients[0]
            return Outcome(first.code, f"the address is refused: {first.message}", final=first.code >= 500)
        except aiosmtplib.SMTPAuthenticationError as error:
            return Outcome(error.code, "the SMTP server refuses user or password; look at METERLINE_SMTP_URL")
        except aiosmtplib.SMTPResponseException as error:
            return Outcome(error.code, f"the SMTP server refuses it: {error.message}")
        except (aiosmtplib.SMTPException, OSError) as error:
            return Outcome(error=f"the SMTP server cannot be reached: {error or type(error).__name__}")
        finally:
            client.close()

    async def _send(self, client: aiosmtplib.SMTP, message: EmailMessage) -> Outcome:
        async with asyncio.timeout(self._timeout):
            await client.connect()
            _refused, answer = await client.send_message(message)
        with suppress(TimeoutError, aiosmtplib.SMTPException):  # it is taken, however the parting goes
            async with asyncio.timeout(_QUIT_SECONDS):
                await client.quit()
        return Outcome(250, answer=answer[:MAX_ANSWER])
