"""A Redis Stream as the other side of a spool: XADD, in order, never trimming anything.

What is over in the stream is cut off by the writer, which knows what was stored. Here nothing is:
when Redis is full it refuses, and the entries wait in the spool.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import redis

from streamer.delivery.entry import Entry
from streamer.delivery.pump import Refusal
from streamer.delivery.redis_client import RedisAddress, redis_errors
from streamer.errors import AwayError, LostError

STREAM = "sightline:sightings"
GROUP = "gallery"
"""Who stores the entries."""
SETTLE_S = 5.0
"""With ``appendfsync everysec`` a power cut takes what Redis took in the last second or two. A
Redis that was started again has another ``run_id``; then all younger than this is sent again."""
REPLICAS_WAIT_MS = 1000


class RedisTarget:
    """Sends entries to a stream; with ``replicas`` it waits until so many replicas have them."""

    def __init__(
        self,
        client: "redis.Redis",
        address: RedisAddress,
        *,
        stream: str = STREAM,
        replicas: int = 0,
        settle_s: float = SETTLE_S,
    ) -> None:
        self.settle_s = settle_s
        self._client = client
        self._address = address
        self._stream = stream
        self._replicas = replicas
        self._run_id = ""

    def send(self, entries: Sequence[Entry]) -> Sequence[Refusal]:
        """Append entries to the stream.

        Raises:
            AwayError: Redis did not take them.
            LostError: it was started again since the last call.
        """
        if not self._run_id:
            # Now, as a Redis without memory lets nobody make a group any more.
            make_group(self._client, self._address, self._stream, GROUP)
        with redis_errors("write to", self._address):
            # All or none: coverage must not get there when a sighting before it was refused.
            pipe = self._client.pipeline(transaction=True)
            for entry in entries:
                fields: Any = entry.fields()
                pipe.xadd(self._stream, fields)
            pipe.info("server")
            answers = pipe.execute()
            copies = self._copies()
        self._same(answers[-1])
        if copies < self._replicas:
            raise AwayError(
                f"Redis at {self._address.shown}: {copies} replicas have the entries, "
                f"want {self._replicas}"
            )
        return ()

    def confirm(self) -> None:
        """Return when Redis has run without a break since the first entry that was sent.

        Raises:
            LostError: it was started again meanwhile.
            AwayError: it does not answer.
        """
        with redis_errors("ask", self._address):
            found: Any = self._client.info("server")
        self._same(found)

    def close(self) -> bool:
        """Close the connection; what was sent last may not lie on Redis' disk yet."""
        self._client.close()
        return False

    def _copies(self) -> int:
        """Wait until replicas have what was written, where some are asked for; return how many."""
        if not self._replicas:
            return 0
        answer: Any = self._client.wait(self._replicas, REPLICAS_WAIT_MS)
        return int(answer)

    def _same(self, server: Mapping[str, Any]) -> None:
        run_id, before = str(server["run_id"]), self._run_id
        self._run_id = run_id
        if before and before != run_id:
            self._run_id = ""
            raise LostError(f"Redis at {self._address.shown} was started again")


def make_group(client: Any, address: RedisAddress, stream: str, group: str) -> None:
    """Make a stream and a group unless they are there; it begins at the first entry.

    Raises:
        AwayError, DeliveryError
    """
    with redis_errors("read from", address):
        groups = client.xinfo_groups(stream) if client.exists(stream) else []
        if any(one["name"] == group.encode() for one in groups):
            return
        try:
            client.xgroup_create(stream, group, "0", mkstream=True)
        except redis.ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise
