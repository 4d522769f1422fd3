"""What stops a push or a set-up at Stripe, beside servers that do not answer.

meterline_schemas.errors.MeterlineError
├── DayValueError         a day's total is none that Stripe takes (base, not raised)
│   ├── NotWholeError     it has more decimals than the meter's scale
│   └── TooManyDigitsError  more than the 15 digits that Stripe takes
├── InexpressibleError    a charge that no price at Stripe can say
├── TermsDifferError      a subscription charges a meter, or a base fee, by other terms already
├── MeterDiffersError     a meter at Stripe has another shape than days need, and can never be given it
├── StripeBusyError       it is being set up already
├── StoppedError          Stripe does not let us in, or does not answer: what follows was not tried
├── StripeRefusedError    a request of the set-up that Stripe does not take
└── LedgerError           a record of billing.pushes that this version cannot read
"""

from __future__ import annotations

from meterline_schemas.errors import IntegrityError, MeterlineError

MOST_DIGITS = 15


class DayValueError(MeterlineError):
    """A day's total that Stripe does not take."""


class NotWholeError(DayValueError):
    def __init__(self, metric: str, scale: int) -> None:
        super().__init__(
            f"the day's total of {metric} x 10^{scale} is no whole number, and Stripe takes no other: it needs a "
            "meter with a greater `scale`, and prices for that"
        )


class TooManyDigitsError(DayValueError):
    def __init__(self, metric: str, value: int) -> None:
        super().__init__(
            f"the day's total of {metric} is {value} at Stripe, which has more than {MOST_DIGITS} digits: it needs a "
            "meter with a smaller `scale`, and prices for that"
        )


class InexpressibleError(MeterlineError):
    def __init__(self, plan: str, metric: str, why: str) -> None:
        super().__init__(
            f"plan {plan!r}: what {metric!r} costs cannot be said by a price at Stripe: {why}. Charge it by invoice "
            "items instead: set `billing` of the plan's tenants to invoice_items"
        )


class MeterDiffersError(MeterlineError):
    def __init__(self, meter: str, event_name: str, why: str) -> None:
        super().__init__(
            f"Stripe has an active meter {meter} of event_name {event_name!r}, but {why}, which cannot be changed: "
            "choose another event_name, or deactivate that meter if nothing uses it"
        )


class TermsDifferError(MeterlineError):
    def __init__(self, tenant_id: str, subscription: str, what: str, price: str) -> None:
        super().__init__(
            f"tenant {tenant_id!r}: subscription {subscription} charges {what} by {price}, which has other terms than "
            "its plan; two prices of one would charge twice. End that item at Stripe when its terms end, and repeat "
            "the set-up"
        )


class StripeBusyError(MeterlineError):
    def __init__(self) -> None:
        super().__init__("Stripe is being set up by another request; repeat this one when that has ended")


class StoppedError(MeterlineError):
    def __init__(self, detail: str) -> None:
        super().__init__(
            f"Stripe does not go on with us: {detail} Check METERLINE_STRIPE_KEY, what the key may do, and whether "
            "Stripe answers; what was begun is settled by the next run"
        )


class StripeRefusedError(MeterlineError):
    """Says what was asked of Stripe, and its words."""

    def __init__(self, what: str, detail: str) -> None:
        super().__init__(f"Stripe did not {what}: {detail}")


class LedgerError(IntegrityError):
    def __init__(self, offset: int, detail: str) -> None:
        super().__init__(
            f"billing.pushes, offset {offset}: the record cannot be read ({detail}). Nothing is pushed, since an "
            "identifier could be used for a second value; a newer version of Meterline may have written it"
        )
