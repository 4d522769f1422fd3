"""Settings of Stripe: ``METERLINE_STRIPE_*``. Without a key nothing is pushed."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from meterline_schemas.settings import PREFIX


class StripeSettings(BaseSettings):
    """How Stripe is reached, and how fast. Times are in seconds."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX + "STRIPE_", extra="ignore", frozen=True, hide_input_in_errors=True
    )

    key: Annotated[SecretStr, Field(description="secret or restricted key (sk_…, rk_…)")] = SecretStr("")
    url: Annotated[str, Field(pattern=r"^https?://[^/\s]+$", description="of Stripe's API, or of a stand-in")] = (
        "https://api.stripe.com"
    )
    timeout: Annotated[float, Field(gt=0, le=80, description="a call is given up after, and tried again")] = 20
    rate: Annotated[
        float, Field(gt=0, le=1000, description="calls a second: a sandbox takes 25, live 1000 meter events")
    ] = 25
    in_flight: Annotated[int, Field(ge=1, le=256, description="calls at once, one per customer and meter")] = 8
    attempts: Annotated[int, Field(ge=1, le=20, description="of a call, before it is left to the next run")] = 6
    longest_wait: Annotated[float, Field(ge=0, le=60, description="between two attempts")] = 20
    batch: Annotated[int, Field(ge=1, le=5000, description="pushes that are written and called together")] = 500
    ledger: Annotated[
        Path | None, Field(description="a file that keeps what was read of billing.pushes; none: a temporary one")
    ] = None
    propagation: Annotated[
        timedelta, Field(ge=timedelta(0), description="after which Stripe's summaries have what it took")
    ] = timedelta(minutes=30)
    stale_after: Annotated[
        timedelta, Field(gt=timedelta(0), le=timedelta(hours=12), description="no call on what was read earlier")
    ] = timedelta(hours=1)
    items_invoice: Annotated[
        Literal["pending", "draft", "finalize"],
        Field(description="pending: items wait for the customer's next invoice; else each document has one of its own"),
    ] = "pending"
    items_auto_advance: Annotated[
        bool, Field(description="of an invoice of its own: Stripe finalizes a draft after an hour, and collects")
    ] = False
    items_base_fee: Annotated[bool, Field(description="false: something else at Stripe charges base fees")] = True
    items_ledger: Annotated[
        Path | None, Field(description="a file that keeps what was read of billing.items; none: in memory")
    ] = None
    webhook_secrets: Annotated[
        SecretStr, Field(description="signing secrets (whsec_…) of the webhooks, old and new, with commas between")
    ] = SecretStr("")
    webhook_tolerance: Annotated[int, Field(ge=1, le=3600, description="seconds that a signature is good for")] = 300
    crash: Annotated[str, Field(description="dies at a step, for tests")] = ""

    @property
    def configured(self) -> bool:
        return bool(self.key.get_secret_value())

    @property
    def signing_secrets(self) -> tuple[str, ...]:
        """One for each endpoint at Stripe, and while one is rotated its old one too."""
        given = self.webhook_secrets.get_secret_value().replace(",", " ").split()
        return tuple(dict.fromkeys(given))
