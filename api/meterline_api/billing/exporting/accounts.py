"""What accounts are called in the journal: ``METERLINE_BILLING_ACCOUNT_*``."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import AfterValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from meterline_schemas.settings import PREFIX

_HOLES: Final = re.compile(r"\{([^{}]*)\}")


def _is_account(name: str) -> str:
    wrong = set(_HOLES.findall(name)) - {"metric", "service"}
    if wrong or "{" in _HOLES.sub("", name) or "}" in _HOLES.sub("", name):
        raise ValueError("may have {metric} and {service} in it, and no other braces")
    return name


_Account = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_is_account)]


class AccountSettings(BaseSettings):
    """``{metric}`` in a name is the metric's key, ``{service}`` what is before the dot in it."""

    model_config = SettingsConfigDict(env_prefix=PREFIX + "BILLING_ACCOUNT_", extra="ignore", frozen=True)

    receivable: _Account = "accounts-receivable"
    base_fee: Annotated[_Account, Field(description="of base fees")] = "revenue:base-fee"
    usage: Annotated[_Account, Field(description="of usage, and of adjustments to it")] = "revenue:usage:{metric}"
    manual: Annotated[_Account, Field(description="of lines that somebody wrote")] = "revenue:other"
    metrics: Annotated[
        dict[str, _Account], Field(description='accounts of single metrics, as JSON: {"orders": "4010"}')
    ] = {}
