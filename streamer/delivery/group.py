"""One consumer of a group on a Redis Stream: the calls that the writer is made of."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import redis

from streamer.delivery.redis_client import RedisAddress, redis_errors
from streamer.delivery.redis_target import GROUP, STREAM, make_group

DEAD = ":dead"
"""Added to the name of a stream: where entries go that can never be stored."""
PAGE = 128


class Received(NamedTuple):
    """An entry as it came; no fields: it was deleted from the stream meanwhile."""

    id: bytes
    fields: Mapping[bytes, bytes]


@dataclass(frozen=True, slots=True)
class StreamLag:
    """What lies in a stream."""

    length: int
    """Entries in the stream, those included that are stored already and not yet cut off."""
    waiting: int
    """Entries that are not known to be stored."""
    oldest_s: float
    """Age of the oldest of them."""
    dead: int
    """Entries that were set aside."""


class StreamGroup:
    """A consumer's view of a stream; every call may raise AwayError or DeliveryError."""

    def __init__(
        self,
        client: "redis.Redis",
        address: RedisAddress,
        consumer: str,
        *,
        stream: str = STREAM,
        group: str = GROUP,
    ) -> None:
        # The library's types hold for its asynchronous twin too; the answers are plain here.
        self._client: Any = client
        self._address = address
        self.consumer = consumer
        self.stream = stream
        self.group = group

    def join(self) -> None:
        """Make stream and group unless they are there; a new group begins at the first entry."""
        make_group(self._client, self._address, self.stream, self.group)

    def fresh(self, block_ms: int, count: int = PAGE) -> list[Received]:
        """Wait for entries that nobody has been given; they are ours until acknowledged."""
        return self._read(">", count, block_ms)

    def own(self, after: bytes, count: int = PAGE) -> list[Received]:
        """Return entries after an id that were given to us and never acknowledged."""
        return self._read(after.decode(), count, None)

    def claim(self, idle_ms: int, count: int = PAGE) -> list[Received]:
        """Take over entries that another consumer has not acknowledged for so long."""
        with redis_errors("read from", self._address):
            _, taken, gone = self._client.xautoclaim(
                self.stream, self.group, self.consumer, idle_ms, "0-0", count=count
            )
        return [Received(*one) for one in taken] + [Received(one, {}) for one in gone]

    def pending(self, count: int = PAGE) -> list[bytes]:
        """Return the ids that the group was given and has not acknowledged, oldest first."""
        with redis_errors("read from", self._address):
            rows = self._client.xpending_range(self.stream, self.group, "-", "+", count)
        return [row["message_id"] for row in rows]

    def acknowledge(self, ids: Sequence[bytes]) -> None:
        """Say that entries are stored."""
        if ids:
            with redis_errors("write to", self._address):
                self._client.xack(self.stream, self.group, *ids)

    def bury(self, received: Received, reason: str) -> None:
        """Set an entry aside for good, with the reason, and acknowledge it, both or none."""
        fields: dict[bytes, bytes] = {b"reason": reason[:500].encode(), b"from": received.id}
        with redis_errors("write to", self._address):
            pipe = self._client.pipeline(transaction=True)
            pipe.xadd(self.stream + DEAD, {**received.fields, **fields})
            pipe.xack(self.stream, self.group, received.id)
            pipe.execute()

    def revive(self) -> int:
        """Put every entry that was set aside back into the stream; returns how many."""
        revived = 0
        with redis_errors("write to", self._address):
            while rows := self._client.xrange(self.stream + DEAD, count=PAGE):
                pipe = self._client.pipeline(transaction=True)
                for name, fields in rows:
                    own = {k: v for k, v in fields.items() if k not in (b"reason", b"from")}
                    pipe.xadd(self.stream, own or {b"empty": b""})
                    pipe.xdel(self.stream + DEAD, name)
                pipe.execute()
                revived += len(rows)
        return revived

    def stored(self) -> Iterator[list[Received]]:
        """Give, in pages, the entries still there that the group has passed, oldest first."""
        first = "-"
        with redis_errors("read from", self._address):
            last = number(self._own_group()["last-delivered-id"])
            while rows := self._client.xrange(self.stream, first, "+", count=PAGE):
                page = [Received(*row) for row in rows if number(row[0]) <= last]
                if not page:
                    return
                yield page
                first = f"({page[-1].id.decode()}"

    def trim(self, keep_s: float) -> int:
        """Cut off what every group has stored for ``keep_s``; returns how many entries.

        Never an entry that some group was not given or has not acknowledged.
        """
        with redis_errors("trim in", self._address):
            groups = self._client.xinfo_groups(self.stream)
            oldest = [self._needed(group) for group in groups]
            kept = (max(0, self._now_ms() - round(keep_s * 1000)), 0)
            least = min([*oldest, kept]) if groups else (0, 0)
            name = f"{least[0]}-{least[1]}"
            return int(self._client.xtrim(self.stream, minid=name, approximate=False))

    def lag(self) -> StreamLag:
        """Return what lies in the stream."""
        with redis_errors("ask", self._address):
            length = int(self._client.xlen(self.stream))
            dead = int(self._client.xlen(self.stream + DEAD))
            if not length:
                return StreamLag(0, 0, 0.0, dead)
            needed = number(b"0-0")
            waiting = length
            for group in self._client.xinfo_groups(self.stream):
                if group["name"] == self.group.encode():
                    needed = self._needed(group)
                    unread = length if group["lag"] is None else int(group["lag"])
                    waiting = min(length, int(group["pending"]) + unread)
            return StreamLag(length, waiting, self._age_s(needed) if waiting else 0.0, dead)

    def _age_s(self, needed: tuple[int, int]) -> float:
        """Return how old the first entry at or after an id is, by the clock of Redis."""
        rows = self._client.xrange(self.stream, f"{needed[0]}-{needed[1]}", "+", count=1)
        return max(0, self._now_ms() - number(rows[0][0])[0]) / 1000 if rows else 0.0

    def _now_ms(self) -> int:
        seconds, micros = self._client.time()
        return int(seconds) * 1000 + int(micros) // 1000

    def _own_group(self) -> Mapping[str, Any]:
        groups = self._client.xinfo_groups(self.stream)
        mine = [group for group in groups if group["name"] == self.group.encode()]
        return mine[0] if mine else {"last-delivered-id": b"0-0"}

    def _needed(self, group: Mapping[str, Any]) -> tuple[int, int]:
        """Return an id below which a group needs nothing any more."""
        name = group["name"]
        rows = self._client.xpending_range(self.stream, name, "-", "+", 1)
        return number(rows[0]["message_id"] if rows else group["last-delivered-id"])

    def _read(self, after: str, count: int, block_ms: int | None) -> list[Received]:
        with redis_errors("read from", self._address):
            answer = self._client.xreadgroup(
                self.group, self.consumer, {self.stream: after}, count=count, block=block_ms
            )
        return [Received(name, fields or {}) for _, rows in answer or () for name, fields in rows]


def number(name: bytes) -> tuple[int, int]:
    """Return the two numbers of an id, which order it."""
    first, _, second = name.decode().partition("-")
    return int(first), int(second or 0)
