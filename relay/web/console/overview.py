"""How it stands, on one page."""

from collections.abc import Sequence
from datetime import timedelta

from relay.core import clock
from relay.core.times import utc
from relay.operators import overview
from relay.operators.overview import ServerLine, Standing
from relay.operators.roles import Role
from relay.store.engine.disk_space import MEGABYTE
from relay.store.queries.statistics import Hour
from relay.web.console import charts
from relay.web.console.charts import Column
from relay.web.console.handler import ConsoleHandler


class OverviewHandler(ConsoleHandler):
    """GET /: the state in one sentence, every server, every provider."""

    role = Role.VIEWER

    async def get(self) -> None:
        now = clock.now()
        standing = await self.site.store.read(overview.read, self.configuration.servers, now)
        outages = self.site.dispatcher.outages()
        state = overview.state_of(standing, outages, is_full=self.site.space.is_low, now=now)
        self.render(
            "overview.html",
            state=state,
            standing=standing,
            outages=outages,
            deliveries=self._deliveries(),
            hour=hour_of(standing, now),
            days=days_of(standing.servers),
            columns=charts.columns,
            audit=standing.audit,
            unread=await self.unread(),
            spark=spark,
            number=overview.number,
            now=now,
            free=self.site.space.free_bytes // MEGABYTE,
            is_disk_low=self.site.space.is_nearly_low,
        )

    def _deliveries(self) -> list[tuple[str, str]]:
        """Return by which plugins each group delivers."""
        configuration = self.configuration
        return [
            (group, ", ".join(configuration.chains[group].deliver_plugins))
            for group in configuration.groups
        ]


def spark(line: ServerLine) -> str:
    """Draw a server's fourteen days."""
    return charts.columns(days_of([line]), f"{line.name}: 14 days", small=True)


def days_of(lines: Sequence[ServerLine]) -> list[Column]:
    """Add up the days of servers, all of which have the same."""
    found = []
    for same_day in zip(*(line.days for line in lines), strict=True):
        parts = (sum(getattr(counts, part) for _, counts in same_day) for part in charts.PARTS)
        found.append(Column(same_day[0][0], *parts))
    return found


def hour_of(standing: Standing, now: float, server: str | None = None) -> list[Column]:
    """Add up the last hour of all servers, or of one, in steps of five minutes."""
    hours: list[Hour] = [
        hour for name, hour in standing.hour.items() if server is None or name == server
    ]
    found = []
    for start in range(0, 60, 5):
        steps = range(start, start + 5)
        counts = (
            sum(getattr(hour, part)[minute] for hour in hours for minute in steps)
            for part in charts.PARTS
        )
        begins = utc(now) - timedelta(minutes=59 - start)
        found.append(Column(begins.strftime("%H:%M"), *counts))
    return found


ROUTES = [(r"/", OverviewHandler)]
