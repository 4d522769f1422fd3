"""The company that a request of the document is about."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Request

from meterline_api.access.guard import caller, refuse_unseen
from meterline_api.documents.shared import wrong
from meterline_schemas.event import MAX_ID

Company = Annotated[
    str | None,
    Query(min_length=1, max_length=MAX_ID, description="The tenant; a key that stands for one need not name it."),
]


def company_of(request: Request, named: str | None) -> str:
    """The tenant that is named, else the only one of the caller.

    Raises:
        Problem: 422, it is not named by a caller who stands for several; 403.
    """
    company = named or caller(request).only_tenant
    if company is None:
        raise wrong("companyId", "is missing: this key or token does not stand for one company")
    refuse_unseen(request, company)
    return company
