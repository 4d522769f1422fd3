"""Errors as Stripe answers them: a status, a type, a code, a sentence and the parameter.

``StripeError`` is the one tree; each function builds one of its kinds. ``retry`` is the header Stripe-Should-Retry,
which the official SDK obeys before it looks at the status; what ``keep`` was done before the error stands.
"""

from __future__ import annotations

from typing import Any


class StripeError(Exception):
    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        retry: bool | None = None,
        keep: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind
        self.code = code
        self.param = param
        self.retry = retry
        self.keep = keep

    def body(self, request_id: str) -> dict[str, Any]:
        fields = {"code": self.code, "param": self.param}
        return {
            "error": {
                **{name: value for name, value in fields.items() if value is not None},
                "message": self.message,
                "request_log_url": f"https://dashboard.stripe.com/test/logs/{request_id}",
                "type": self.kind,
            }
        }


def invalid(message: str, param: str | None = None, code: str | None = None) -> StripeError:
    return StripeError(400, message, code=code, param=param, retry=False)


def missing(what: str, identity: str, param: str = "id") -> StripeError:
    """404 where the address names it, 400 where a parameter does."""
    status = 404 if param == "id" else 400
    return StripeError(status, f"No such {what}: '{identity}'", code="resource_missing", param=param, retry=False)


def unknown_address(method: str, path: str) -> StripeError:
    return StripeError(
        404,
        f"Unrecognized request URL ({method}: {path}). The Stripe stand-in does not have it; docs/stripe-stand-in.md "
        "lists what it has.",
        retry=False,
    )


def no_key() -> StripeError:
    return StripeError(
        401,
        "You did not provide an API key. You need to provide your API key in the Authorization header, using Bearer "
        "auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY').",
    )


def wrong_key(key: str) -> StripeError:
    return StripeError(401, f"Invalid API Key provided: {key[:8]}***. The Stripe stand-in takes sk_test_ keys only.")


def other_account(account: str) -> StripeError:
    return StripeError(
        403,
        f"The provided key does not have access to account '{account}' (or that account does not exist). The Stripe "
        "stand-in is one account.",
        code="account_invalid",
    )


def key_reused(key: str) -> StripeError:
    return StripeError(
        400,
        "Keys for idempotent requests can only be used with the same parameters they were first used with. Try using "
        f"a key other than '{key}' if you meant to execute a different request.",
        kind="idempotency_error",
        retry=False,
    )


def key_in_use(key: str) -> StripeError:
    return StripeError(
        409,
        f"There is currently another in-progress request using this Idempotency-Key: {key}.",
        kind="idempotency_error",
        code="idempotency_key_in_use",
    )


def rate_limited() -> StripeError:
    return StripeError(429, "Request rate limit exceeded.", code="rate_limit", retry=False)


def locked() -> StripeError:
    return StripeError(
        429,
        "This object cannot be accessed right now because another API request or Stripe process is currently accessing "
        "it. If you see this error intermittently, retry the request. If you see this error frequently and are making "
        "multiple concurrent requests to a single object, make your requests serially or at a lower rate.",
        code="lock_timeout",
        retry=True,
    )


def failed(*, saved: bool = False) -> StripeError:
    """``saved``: the answer is kept under the idempotency key, so the SDK is told that a retry is useless."""
    return StripeError(500, "An unknown error occurred.", kind="api_error", retry=False if saved else None)


def already_sent(identifier: str) -> StripeError:
    return invalid(f"An event already exists with identifier {identifier}.")
