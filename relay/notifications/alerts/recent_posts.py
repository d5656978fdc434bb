"""The last posts to a server: whether too many of them were refused for the same reason."""

from collections import deque
from dataclasses import dataclass

SECONDS = 600.0
# Fewer say nothing; where more come, the last ones count.
LEAST, MOST = 10, 100
SHARE = 0.5


@dataclass(slots=True)
class _Post:
    """A post, with the reason why it was refused, "" for none. told: whether it was counted."""

    at: float
    reason: str
    told: bool = False


class RecentPosts:
    """Posts of some minutes, of people and of programs with a good key and token."""

    def __init__(self) -> None:
        self._posts: deque[_Post] = deque(maxlen=MOST)

    def add(self, reason: str, now: float) -> int:
        """Note a post; return how many refusals for its reason are to be told.

        Those before it are, too, when their share becomes too large with it.
        """
        self._posts.append(_Post(now, reason))
        while self._posts[0].at < now - SECONDS:
            self._posts.popleft()
        if not reason:
            return 0
        alike = [post for post in self._posts if post.reason == reason]
        number = len(self._posts)
        if number < LEAST or len(alike) < SHARE * number:
            return 0
        untold = [post for post in alike if not post.told]
        for post in untold:
            post.told = True
        return len(untold)
