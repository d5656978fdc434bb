"""Whether a daemon lives, and what keeps it from taking mail."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from relay import __version__
from relay.site import Site
from relay.store.engine.disk_space import Space
from relay.store.engine.migrate import newest_schema
from tests.conftest import Post


@pytest.mark.gen_test
async def test_a_daemon_that_takes_mail_is_ready_and_says_what_it_is(post: Post) -> None:
    ready = await post("/readyz", method="GET", key=None)
    assert ready.status == 200
    assert ready.json == {
        "ready": True,
        "reasons": [],
        "version": __version__,
        "engine": "sqlite",
        "schema": newest_schema(),
    }
    assert (await post("/livez", method="GET", key=None)).status == 200
    assert (await post("/livez", method="HEAD", key=None)).status == 200


@pytest.mark.gen_test
async def test_strangers_are_not_told_what_runs_here(post: Post) -> None:
    ready = await post("/readyz", method="GET", headers={"X-Forwarded-For": "192.0.2.1"})
    assert (ready.status, ready.json) == (200, {"ready": True, "reasons": []})


@pytest.mark.gen_test
async def test_every_reason_is_named_and_a_daemon_that_takes_nothing_lives(
    post: Post, site: Site, tmp_path: Path
) -> None:
    whole = os.statvfs(tmp_path)
    site.space = Space(
        tmp_path, look=lambda folder: os.statvfs_result([*whole[:4], 0, *whole[5:10]])
    )
    limits = replace(site.settings.limits, max_waiting=1)
    settings = replace(site.settings, limits=limits)
    site.configuration = replace(site.configuration, settings=settings)
    site.dispatcher.revived(1)
    ready = await post("/readyz", method="GET", key=None)
    assert (ready.status, ready.json["ready"]) == (503, False)
    assert ready.json["reasons"] == ["disk_full", "outbox_full"]
    assert int(ready.headers["Retry-After"]) >= 60
    assert (await post("/healthz", method="GET", key=None)).status == 503
    site.stopping = True
    ready = await post("/readyz", method="GET", key=None)
    assert ready.json["reasons"] == ["stopping", "disk_full", "outbox_full"]
    assert (await post("/livez", method="GET", key=None)).status == 200
