"""Sends what is queued, in a thread of its own, for as long as the server runs."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from epochal.alerts.send import Message
from epochal.alerts.sending import send_messages
from epochal.store.metadata import Metadata
from epochal.store.metadata.alert_channels import Due

LOOK_EVERY_S = 1.0
_AT_ONCE = 20  # messages of one round: they share one process for each channel

_log = logging.getLogger(__name__)


class Courier:
    """What is to be sent lies in the metadata, so a restart forgets nothing.

    A message whose sender was cut short is sent again: it may come twice, and is not lost.

    Args:
        metadata: with the queue.
        allowed: networks that may be reached beside the public ones.
        clock: Unix seconds.
    """

    def __init__(
        self, metadata: Metadata, allowed: Sequence[str], *, clock: Callable[[], float] = time.time
    ) -> None:
        self._metadata = metadata
        self._allowed = allowed
        self._clock = clock
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="epochal-alerts", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Begin no further round; what is being sent is counted as a try and sent again."""
        self._stopping.set()
        self._thread.join(timeout=1.0)

    def send_due(self) -> int:
        """Send what is due now, one channel after the other; return how many messages were tried."""
        due = self._metadata.alert_channels.take_due(self._clock(), _AT_ONCE)
        for channel_key in dict.fromkeys(one.channel_key for one in due):
            of_channel = [one for one in due if one.channel_key == channel_key]
            done = send_messages(of_channel[0].url, [message_of(one) for one in of_channel], self._allowed)
            outcomes = zip(of_channel, done.sent, strict=True)
            self._metadata.alert_channels.tried((one, None if sent else done.error) for one, sent in outcomes)
        return len(due)

    def _run(self) -> None:
        while not self._stopping.wait(LOOK_EVERY_S):
            try:
                self.send_due()
            except Exception:  # noqa: BLE001  a full disk, say, must not end the thread; the next round tries again
                # Without the error's text: it may hold what was being written.
                _log.error("alerts could not be sent; it is tried again")


def message_of(due: Due) -> Message:
    """Return what people read of an alert."""
    run = f"Run {due.run_name} ({due.run_id}) of {due.entity}/{due.project}"
    return Message(f"{due.level}: {due.title}", f"{due.text}\n\n{run}" if due.text else run, due.level)
