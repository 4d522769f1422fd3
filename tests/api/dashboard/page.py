"""The dashboard as the standard library's parser reads it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from html.parser import HTMLParser
from typing import Final

VOID: Final = {"meta", "rect", "line", "link", "br", "img"}
NUMBER: Final = re.compile(r"(-?)[$€]?([\d,]+(?:\.\d+)?)")


@dataclass
class Element:
    tag: str
    attributes: dict[str, str | None] = field(default_factory=dict)
    children: list[Element | str] = field(default_factory=list)

    def all(self, tag: str, name: str = "") -> list[Element]:
        """Elements below it of a tag, and of a class where one is named."""
        return [each for each in self._below() if each.tag == tag and name in ("", *each.classes)]

    def one(self, tag: str, name: str = "") -> Element:
        (found,) = self.all(tag, name)
        return found

    @property
    def classes(self) -> list[str]:
        return (self.attributes.get("class") or "").split()

    @property
    def text(self) -> str:
        return " ".join("".join(self._texts()).split())

    def _below(self) -> Iterator[Element]:
        for child in self.children:
            if isinstance(child, Element):
                yield child
                yield from child._below()

    def _texts(self) -> Iterator[str]:
        for child in self.children:
            yield from child._texts() if isinstance(child, Element) else (child,)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open = [Element("")]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = Element(tag, dict(attrs))
        self.open[-1].children.append(found)
        if tag not in VOID:
            self.open.append(found)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def read(page: bytes) -> Element:
    """Fails where a tag is not closed, or closed in the wrong place."""
    reader = _Reader()
    reader.feed(page.decode())
    reader.close()
    (root,) = reader.open
    return root


def number(text: str) -> Decimal:
    """The number that a text begins with: ``$1,234.50 USD``, ``-2% vs last month``."""
    found = NUMBER.match(text.removeprefix("+"))
    assert found, text
    return Decimal(found[1] + found[2].replace(",", ""))


def percent(text: str) -> Decimal | None:
    """``▲ +15% vs last month``, with arrow and sign that fit each other; None: nothing to compare with."""
    if text.startswith("nothing to compare with"):
        return None
    arrow, _, rest = text.rpartition(" vs last ")[0].rpartition(" ")
    value = number(rest)
    assert rest.endswith("%")
    assert rest.startswith("+") == (value > 0)
    assert arrow == ("▲" if value > 0 else "▼" if value < 0 else "")
    return value


def refers_outwards(root: Element) -> list[str]:
    """What a browser would run or fetch."""
    found = [
        each.tag for tag in ("script", "link", "img", "iframe", "form", "object", "base") for each in root.all(tag)
    ]
    for each in root._below():
        found += [name for name in each.attributes if name.startswith("on") or name in ("src", "style")]
    return found
