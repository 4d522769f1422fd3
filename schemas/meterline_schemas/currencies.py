"""The currencies of ISO 4217, and how many decimals each has (its minor unit). Pure.

A table of our own, of 2026-01-01: an entry must not go with the release of a library, since what was once priced in a
currency is read for years. What nobody pays with (gold, XDR, XTS and the like) has no minor unit and is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from meterline_schemas.errors import MeterlineError

_CURRENT: Final = """
    AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF
    CHW CLF CLP CNY COP COU CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD
    HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD
    MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN
    PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD
    TWD TZS UAH UGX USD USN UYI UYU UYW UZS VED VES VND VUV WST XAD XAF XCD XCG XOF XPF YER ZAR ZMW ZWG
"""
_WITHDRAWN: Final = "ANG BGN HRK SLL ZWL"
"""Since 2023: taken as long as something may still be priced in them."""
_OTHER_THAN_TWO: Final = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}

MINOR_DIGITS: Final[Mapping[str, int]] = MappingProxyType(
    dict.fromkeys(f"{_CURRENT} {_WITHDRAWN}".split(), 2)
    | {code: digits for digits, codes in _OTHER_THAN_TWO.items() for code in codes.split()}
)
"""Decimals by code, in capitals."""


class UnknownCurrencyError(MeterlineError, ValueError):
    """ISO 4217 has no such money."""

    def __init__(self, currency: str) -> None:
        super().__init__(f"{currency!r} is no currency of ISO 4217; write one in capitals, such as EUR, USD or JPY")


def minor_digits(currency: str) -> int:
    """How many decimals a currency has.

    Raises:
        UnknownCurrencyError: there is none of that code.
    """
    try:
        return MINOR_DIGITS[currency]
    except KeyError:
        raise UnknownCurrencyError(currency) from None
