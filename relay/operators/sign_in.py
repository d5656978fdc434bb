"""How often somebody may try to sign in, from one address and with one name."""

import hashlib

from relay.core.rate_limit import Caller, RateLimiter

PER_MINUTE = 10
# With one name, from wherever: enough for fingers that slip, too few to guess a code of six digits.
PER_HOUR = 20


class SignInLimits:
    """Counts tries, right ones too."""

    def __init__(self) -> None:
        self._addresses = RateLimiter(PER_MINUTE)
        self._names = RateLimiter(PER_HOUR, seconds=3600)

    def take(self, address: str, name: str = "") -> None:
        """Count a try; raise TooManyRequests where there were too many."""
        self._addresses.take(Caller(address, local=False))
        if name:
            # A name is whatever somebody typed: it is counted by what has a fixed form.
            typed = hashlib.sha256(name.encode(errors="replace")).hexdigest()
            self._names.take(Caller(typed, local=False))
