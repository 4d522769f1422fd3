"""The edge to Stripe: the only module that imports its client. One call each, never repeated here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, time
from typing import Any, Final

import stripe

from meterline_api.billing.stripe.answers import Answer, Verdict, verdict
from meterline_api.billing.stripe.errors import StripeRefusedError
from meterline_api.billing.stripe.plan import timestamp
from meterline_api.billing.stripe.settings import StripeSettings
from meterline_schemas.billing.push import Push
from meterline_schemas.catalog.stripe_meter import StripeMeter
from meterline_schemas.errors import ConfigurationError, UnavailableError

API_VERSION: Final = str(stripe.api_version)
_PAGE: Final = 100
_SECOND: Final = "v2."  # the second version of the API

stripe.enable_telemetry = False


class Stripe:
    """Safe from several threads.

    Raises:
        ConfigurationError: there is no key.
    """

    def __init__(self, settings: StripeSettings) -> None:
        if not settings.configured:
            raise ConfigurationError("METERLINE_STRIPE_KEY is not set: nothing is pushed to Stripe without it")
        self._client = stripe.StripeClient(
            settings.key.get_secret_value(),
            base_addresses={"api": settings.url, "meter_events": settings.url},
            max_network_retries=0,  # whether it is repeated is decided where its outcome is written
            http_client=stripe.RequestsClient(timeout=settings.timeout),
        )

    def push(self, push: Push, meter: StripeMeter) -> Answer:
        """One meter event. Its identifier is the idempotency key too, so that a repeat is answered as the first.

        Stripe keeps a 500 under its key for a day, and answers it again: then the event goes out once more under
        another key. It is the same event by its identifier, which Stripe takes once whatever the key.
        """
        params: Any = {
            "event_name": meter.event_name,
            "identifier": push.identifier,
            "timestamp": int(timestamp(push).timestamp()),
            "payload": {meter.customer_key: push.customer, meter.value_key: str(push.value)},
        }
        try:
            try:
                event = self._client.v1.billing.meter_events.create(params, {"idempotency_key": push.identifier})
            except stripe.StripeError as error:
                if (error.http_status or 0) < 500 or (error.headers or {}).get("idempotent-replayed") != "true":
                    raise
                event = self._client.v1.billing.meter_events.create(params)  # under a key of its own
        except stripe.StripeError as error:
            return _answer(error, push.identifier)
        return Answer(Verdict.DELIVERED, request_id=_request_id(event))

    def summaries(self, customer: str, meter: str, start: date, end: date) -> dict[date, int] | Answer:
        """What Stripe has of each UTC day in ``[start, end)``; days of which it has nothing are left out."""
        params: Any = {
            "customer": customer,
            "start_time": _midnight(start),
            "end_time": _midnight(end),
            "value_grouping_window": "day",
            "limit": _PAGE,
        }
        try:
            page = self._client.v1.billing.meters.event_summaries.list(meter, params)
            return {
                datetime.fromtimestamp(each.start_time, UTC).date(): int(each.aggregated_value)
                for each in page.auto_paging_iter()
            }
        except stripe.StripeError as error:
            return _answer(error, "")

    def all(self, kind: str, params: Mapping[str, Any] | None = None) -> Iterator[Mapping[str, Any]]:
        """Every object of a kind: ``billing.meters``, ``products``, ``prices``, ``customers``, ``subscriptions``.

        Raises:
            UnavailableError: Stripe does not answer.
            StripeRefusedError: or with an error.
        """
        try:
            page = self._service(kind).list({"limit": _PAGE, **(params or {})})
            for each in page.auto_paging_iter():
                yield each.to_dict()
        except stripe.StripeError as error:
            raise _failure(f"list {kind}", error) from None

    def create(self, kind: str, params: Mapping[str, Any], key: str) -> Mapping[str, Any]:
        """A new object, or with a ``key`` that was used within a day the one that was made then. Raises as ``all``."""
        try:
            found: Mapping[str, Any] = self._service(kind).create(dict(params), {"idempotency_key": key}).to_dict()
        except stripe.StripeError as error:
            raise _failure(f"make one of {kind}", error) from None
        return found

    def act(self, kind: str, action: str, params: Mapping[str, Any], key: str, of: str = "") -> Answer:
        """Do something that is to be done once: ``create``, or another ``action`` on the object ``of``.

        Nothing is known of what Stripe answers with an error that it keeps under the key: ``Verdict.SPENT``.
        """
        try:
            do = getattr(self._service(kind), action)
            found = do(*([of] if of else []), dict(params), {"idempotency_key": key})
        except stripe.StripeError as error:
            replayed = (error.headers or {}).get("idempotent-replayed") == "true"
            if ((error.http_status or 0) >= 500 and replayed) or isinstance(error, stripe.IdempotencyError):
                return Answer(Verdict.SPENT, _said(error), error.request_id or "")
            return _refusal(error)
        return Answer(Verdict.DELIVERED, request_id=_request_id(found), id=str(found.id))

    def search(
        self, kind: str, params: Mapping[str, Any], wanted: Callable[[Mapping[str, Any]], bool]
    ) -> list[Mapping[str, Any]] | Answer:
        """Those of a kind that are wanted, of all that ``params`` list."""
        try:
            page = self._service(kind).list({"limit": _PAGE, **params})
            every: Iterator[Mapping[str, Any]] = (each.to_dict() for each in page.auto_paging_iter())
            return [each for each in every if wanted(each)]
        except stripe.StripeError as error:
            return _refusal(error)

    def one(self, kind: str, id: str) -> Mapping[str, Any]:
        """An object by its id. Raises as ``all``."""
        try:
            found: Mapping[str, Any] = self._service(kind).retrieve(id).to_dict()
        except stripe.StripeError as error:
            raise _failure(f"show {id}", error) from None
        return found

    def account(self) -> tuple[str, str]:
        """The id of the account that the key is of, and the version of the API that is spoken. Raises as ``all``."""
        try:
            found = self._client.v1.accounts.retrieve_current()
        except stripe.StripeError as error:
            raise _failure("say whose key it is", error) from None
        response = found.last_response
        headers: Mapping[str, str] = {} if response is None else response.headers
        return str(found.id), str(headers.get("stripe-version", ""))

    def _service(self, kind: str) -> Any:
        """``kind`` as the SDK names it; without a version it is of the first."""
        found: Any = self._client.v2 if kind.startswith(_SECOND) else self._client.v1
        for name in kind.removeprefix(_SECOND).split("."):
            found = getattr(found, name)
        return found


def _answer(error: stripe.StripeError, identifier: str) -> Answer:
    said = _said(error)
    found = verdict(error.http_status, said, identifier)
    return Answer(found, "" if found is Verdict.DELIVERED else said, error.request_id or "")


def _refusal(error: stripe.StripeError) -> Answer:
    """Of a call that no answer with an error says to be done."""
    return Answer(verdict(error.http_status, "", ""), _said(error), error.request_id or "")


def _failure(what: str, error: stripe.StripeError) -> Exception:
    if verdict(error.http_status, "", "") is Verdict.AGAIN:
        return UnavailableError(f"Stripe did not {what}: {_said(error)} Repeat it: what was made is found again")
    return StripeRefusedError(what, _said(error))


def _said(error: stripe.StripeError) -> str:
    """Its words, on one line."""
    return " ".join(str(error.user_message or type(error).__name__).split())[:500]


def _request_id(found: Any) -> str:
    response = found.last_response
    return str(response.request_id or "") if response is not None else ""


def _midnight(day: date) -> int:
    return int(datetime.combine(day, time(), tzinfo=UTC).timestamp())
