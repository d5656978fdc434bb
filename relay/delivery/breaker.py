"""Whether calls to a provider may start: a breaker of one delivery plugin and account. Pure."""

from collections import deque

# It opens when so many calls failed in a row, or FAILED of the LAST.
IN_A_ROW = 5
FAILED, LAST = 10, 20
# Seconds to the first probe, and the most between two.
FIRST_WAIT, LONGEST_WAIT = 10.0, 300.0
# A provider may ask for longer than that, up to here.
LONGEST_ASKED = 3600.0


class Breaker:
    """Counts how the calls of one account with a provider end, and says how many may start.

    Closed, it allows `senders` calls at a time; open, none but a probe: one call, when its wait is
    over and no other runs. A probe that fails doubles the wait; one that succeeds closes the
    breaker, with one call at a time and one more after each full cohort, as many successes on end
    as the limit is, until it is `senders` again.

    Tell it each call: `started`, then `succeeded` or `failed`. Success is the transport's: a
    provider that refused a message for good has answered, and that is `succeeded`. A call that
    ends while the breaker is open and was no probe changes nothing, but for its `retry_after`.
    Times are seconds of any clock; one that jumps back neither lengthens nor restarts a wait.
    `is_open`: whether nothing but a probe may start.
    """

    def __init__(self, senders: int) -> None:
        self._senders = senders
        self._limit = senders
        self._cohort = 0
        self._in_a_row = 0
        self._last: deque[bool] = deque(maxlen=LAST)  # True: failed
        self.is_open = False
        self._probing = False
        self._wait = 0.0  # doubles from probe to probe
        self._left = 0.0  # of the wait, at the time last seen
        self._seen = 0.0

    @property
    def next_probe(self) -> float | None:
        """When to ask again for a probe; None while closed, and while a probe runs."""
        return self._seen + self._left if self.is_open and not self._probing else None

    def allowed(self, now: float, running: int) -> int:
        """Return how many more calls may start now; running: those that have not ended yet.

        A probe that ended without a word does not count as running, and so is made again.
        """
        if not self.is_open:
            return max(self._limit - running, 0)
        self._see(now)
        return 1 if self._left <= 0 and running <= 0 else 0

    def started(self, now: float) -> None:
        """Take note of a call that starts: while open, it is the probe."""
        self._see(now)
        self._probing = self.is_open

    def succeeded(self, now: float) -> None:
        """Take note that the provider answered, whatever it said of the message."""
        self._see(now)
        if self._probing:
            self._close()
        elif not self.is_open:
            self._in_a_row = 0
            self._last.append(False)
            self._grow()

    def failed(
        self, now: float, *, at_once: bool = False, retry_after: float | None = None
    ) -> None:
        """Take note that the transport failed, or that the provider wants no call at present.

        at_once: no further calls are needed to know it, e.g. the credentials were refused.
        retry_after: seconds that the provider asked for; never shortens a wait.
        """
        self._see(now)
        if self._probing:
            self._open_for(min(self._wait * 2, LONGEST_WAIT))
        elif not self.is_open:
            self._cohort = 0
            self._in_a_row += 1
            self._last.append(True)
            if at_once or self._in_a_row >= IN_A_ROW or sum(self._last) >= FAILED:
                self._open_for(FIRST_WAIT)
        if self.is_open and retry_after is not None:
            self._left = max(self._left, min(retry_after, LONGEST_ASKED))

    def _see(self, now: float) -> None:
        self._left = max(self._left - max(now - self._seen, 0), 0)
        self._seen = now

    def _open_for(self, wait: float) -> None:
        self.is_open, self._probing = True, False
        self._wait = self._left = wait

    def _close(self) -> None:
        self.is_open = self._probing = False
        self._limit, self._cohort = 1, 0
        self._in_a_row = 0
        self._last.clear()

    def _grow(self) -> None:
        if self._limit == self._senders:
            return
        self._cohort += 1
        if self._cohort >= self._limit:
            self._limit, self._cohort = self._limit + 1, 0
