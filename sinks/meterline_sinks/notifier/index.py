"""What the ledger says, in memory: who was told already, and what is still to be done. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from meterline_schemas.delivery import Delivery, Resend, decode

Key = tuple[str, str]  # a notification's id, and the target
Place = tuple[int, int]  # partition and offset of a record


class Open(NamedTuple):
    """A delivery that has not ended, and the partition that it belongs to."""

    partition: int
    delivery: Delivery


class Index:
    """Built from the records of the ledger's partitions, in their order, own ones and those of others.

    A delivery that has ended keeps its place only, for as long as the ledger has it; the rest of it is read from there
    when it is asked for again.
    """

    def __init__(self) -> None:
        self.open: dict[Key, Open] = {}
        self.resends: dict[bytes, tuple[int, Resend]] = {}  # by the record's key, with its partition
        self._places: dict[str, dict[str, Place | None]] = {}  # None: written, not yet read back
        self._targets: dict[str, tuple[str, ...]] = {}

    def apply(self, partition: int, offset: int, key: bytes | None, value: bytes | None) -> str | None:
        """Take over one record; where it cannot be read nothing changes, and why is returned."""
        if key is None:
            return None
        if value is None:
            self.resends.pop(key, None)
            return None
        try:
            entry = decode(value)
        except ValueError as error:
            return str(error)
        if isinstance(entry, Resend):
            self.resends[key] = (partition, entry)
        else:
            self.note(Open(partition, entry))
            self._places[entry.notification_id][entry.target] = (partition, offset)
        return None

    def note(self, opened: Open) -> None:
        """Know a delivery that is being written, before it is read back."""
        delivery = opened.delivery
        self._targets.setdefault(delivery.notification_id, delivery.targets)
        self._places.setdefault(delivery.notification_id, {}).setdefault(delivery.target, None)
        if delivery.state.final:
            self.open.pop(delivery.key, None)
        else:
            self.open[delivery.key] = opened

    def missing(self, wanted: Iterable[Delivery]) -> Iterator[Delivery]:
        """Those of one notification's deliveries that are not known.

        The first judgement stands: for a notification that is known, only targets that were to be told then count.
        """
        for delivery in wanted:
            targets = self._targets.get(delivery.notification_id)
            if targets is None or (delivery.target in targets and not self._known(delivery.key)):
                yield delivery

    def forget(self, starts: Mapping[int, int]) -> None:
        """Drop what the ledger no longer has. ``starts`` are the first offsets that its partitions still have."""
        for notification_id, places in list(self._places.items()):
            gone = [
                target
                for target, place in places.items()
                if place is not None
                and place[1] < starts.get(place[0], 0)
                and (notification_id, target) not in self.open
            ]
            for target in gone:
                del places[target]
            if not places:
                del self._places[notification_id]
                del self._targets[notification_id]

    def targets(self, notification_id: str) -> tuple[str, ...]:
        """All that were to be told; empty where the notification is not known."""
        return self._targets.get(notification_id, ())

    def place(self, notification_id: str, target: str) -> Place | None:
        """Where the newest record of a delivery lies; for a target that is not known, that of another."""
        places = self._places.get(notification_id, {})
        return places.get(target) or next((place for place in places.values() if place), None)

    def _known(self, key: Key) -> bool:
        return key[1] in self._places.get(key[0], {})
