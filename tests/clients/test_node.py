"""The official Node client against the running relay."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.clients.conftest import ACCOUNT_TOKEN, DESK_TOKEN, SHOP_TOKEN, Relay, shown
from tests.support.node import installed

pytestmark = pytest.mark.slow  # it installs from the npm registry

LINE = 'new postmark.ServerClient(token, {requestHost: "127.0.0.1:8025", useHttps: false})'
VERSION = "postmark@5.1.0"


@pytest.fixture(scope="session")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The client, installed."""
    return installed(tmp_path_factory.mktemp("node"), VERSION)


@pytest.fixture(scope="module")
def done(running: Relay, modules: Path) -> dict[str, Any]:
    """What the script did, as it printed it."""
    line = shown(LINE).replace('"127.0.0.1:8025"', "host")
    script = (Path(__file__).parent / "postmark.mjs").read_text(encoding="utf-8")
    path = modules.parent / "postmark.mjs"
    path.write_text(script.replace("LINE", line), encoding="utf-8")
    tokens = [SHOP_TOKEN, DESK_TOKEN, ACCOUNT_TOKEN]
    command = ["node", str(path), str(modules), running.host, *tokens]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def test_the_node_client_does_all_that_an_application_does(
    running: Relay, done: dict[str, Any]
) -> None:
    assert (done["single"]["ErrorCode"], done["single"]["Message"]) == (0, "OK")
    assert running.message(done["single"]["MessageID"])["Metadata"] == {"order": "12"}
    assert [item["ErrorCode"] for item in done["batch"]] == [0, 300]
    assert running.message(done["template"]["MessageID"])["Subject"] == "Welcome Ann"
    assert [item["ErrorCode"] for item in done["templates"]] == [0, 1101]
    assert done["edited"]["Name"] == done["got"]["Name"] == "Welcomes"
    assert [one["Alias"] for one in done["listed"]["Templates"]] == ["welcome"]
    assert done["checked"]["Subject"]["RenderedContent"] == "a_Value"
    assert done["checked"]["TextBody"]["ContentIsValid"] is False
    assert done["server"]["Name"] == "shop"
    assert len(done["streams"]["MessageStreams"]) == 3
    assert done["found"]["TotalCount"] == 4
    assert done["details"]["TextBody"] == "Hello"
    assert "Hello" in done["dump"]["Body"]
    assert [change["Action"] for change in done["pushed"]["Templates"]] == ["Create"]
    assert [one["Alias"] for one in done["arrived"]["Templates"]] == ["welcome"]
    assert "removed" in done["deleted"]["Message"]


def test_the_node_client_names_what_went_wrong(done: dict[str, Any]) -> None:
    assert done["refused"] == {"name": "InvalidEmailRequestError", "code": 300, "statusCode": 422}
    assert done["gone"] == {"name": "ApiInputError", "code": 1101, "statusCode": 422}
    assert done["nowhere"] == {"name": "ApiInputError", "code": 601, "statusCode": 422}
    assert done["stranger"] == {"name": "InvalidAPIKeyError", "code": 10, "statusCode": 401}
