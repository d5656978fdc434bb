"""/templates over HTTP: every call of Postmark's page with its own examples, and every code."""

from typing import Any

import pytest
from sqlalchemy import text

from relay.site import Site
from tests.conftest import Reply
from tests.support.keys import ACCOUNT_KEY, PAGE_KEY
from tests.web.postmark.conftest import BOTH_KEY, BULLETIN_KEY, NOTICES_KEY, Call

LAYOUT = {
    "Name": "Default Layout",
    "Alias": "my-layout",
    "TemplateType": "Layout",
    "HtmlBody": "<html><body>{{{ @content }}}</body></html>",
    "TextBody": "{{{@content}}}",
}
# The bodies of Postmark's page.
CREATE = {
    "Name": "Onboarding Email",
    "Subject": "Hello from {{company.name}}!",
    "TextBody": "Hello, {{name}}!",
    "HtmlBody": "<html><body>Hello, {{name}}!</body></html>",
    "TemplateType": "Standard",
    "Alias": "onboarding-v1",
    "LayoutTemplate": "my-layout",
}
EDIT = {
    "Name": "Onboarding Email",
    "Subject": "Hello from {{company.name}}!",
    "TextBody": "Hello, {{name}}!",
    "HtmlBody": "<html><body>Hello, {{name}}!</body></html>",
    "Alias": "welcome-v1",
    "LayoutTemplate": "my-layout",
}
VALIDATE = {
    "Subject": "{{#company}}{{name}}{{/company}} {{subjectHeadline}}",
    "HtmlBody": "{{#company}}{{address}}{{/company}}{{#each person}} {{name}} {{/each}}",
    "TextBody": "{{#company}}{{phone}}{{/company}}{{#each person}} {{name}} {{/each}}",
    "TestRenderModel": {"userName": "bobby joe"},
    "TemplateType": "Standard",
}

SIX_KEYS = ["TemplateId", "Name", "Active", "Alias", "TemplateType", "LayoutTemplate"]
UNKNOWN_ID = "The 'TemplateId' associated with this request is not valid or was not found."
UNKNOWN_ALIAS = "The Template's 'Alias' associated with this request is not valid or was not found."


def stored(site: Site) -> list[tuple[Any, ...]]:
    """Every version of every template, and who made it."""
    query = text(
        "SELECT server, id, version, name, active, edited_by FROM templates UNION ALL "
        "SELECT server, id, version, name, active, edited_by FROM template_versions "
        "ORDER BY server, id, version"
    )
    rows = site.store.read_now(lambda connection: connection.execute(query).all())
    return [tuple(row) for row in rows]


async def create(call: Call, body: dict[str, Any], token: str = NOTICES_KEY) -> int:
    """Create a template; give its number."""
    reply = await call("POST", "/templates", body, token=token)
    assert reply.status == 200, reply.body
    return reply.json["TemplateId"]


async def server_id(call: Call, token: str) -> int:
    return (await call("GET", "/server", token=token)).json["ID"]


async def push(call: Call, body: Any, account: str = ACCOUNT_KEY) -> Reply:
    return await call("PUT", "/templates/push", body, token=None, account=account)


def assert_refused(reply: Reply, code: int, status: int = 422) -> None:
    assert (reply.status, reply.json["ErrorCode"]) == (status, code), reply.body
    assert list(reply.json) == ["ErrorCode", "Message"]
    assert reply.headers["X-PM-ApiErrorCode"] == str(code)
    assert reply.json["Message"]


@pytest.mark.gen_test
async def test_a_template_is_created_read_edited_and_deleted(call: Call, site: Site) -> None:
    await create(call, LAYOUT)
    created = await call("POST", "/templates/", CREATE)
    assert (created.status, list(created.json)) == (200, SIX_KEYS)
    id = created.json["TemplateId"]
    assert created.json == {
        "TemplateId": id,
        "Name": "Onboarding Email",
        "Active": True,
        "Alias": "onboarding-v1",
        "TemplateType": "Standard",
        "LayoutTemplate": "my-layout",
    }
    edited = await call("PUT", f"/templates/{id}", EDIT)
    assert (edited.status, list(edited.json)) == (200, SIX_KEYS)
    assert edited.json == created.json | {"Alias": "welcome-v1"}
    read = await call("GET", "/templates/welcome-v1", b"null")
    assert list(read.json.items()) == [
        ("Name", "Onboarding Email"),
        ("TemplateId", id),
        ("Subject", "Hello from {{company.name}}!"),
        ("HtmlBody", "<html><body>Hello, {{name}}!</body></html>"),
        ("TextBody", "Hello, {{name}}!"),
        ("AssociatedServerId", await server_id(call, NOTICES_KEY)),
        ("Active", True),
        ("Alias", "welcome-v1"),
        ("TemplateType", "Standard"),
        ("LayoutTemplate", "my-layout"),
    ]
    deleted = await call("DELETE", "/templates/welcome-v1", b"null")
    assert deleted.status == 200
    assert deleted.json == {"ErrorCode": 0, "Message": f"Template {id} removed."}
    gone = await call("GET", f"/templates/{id}")
    assert (gone.status, gone.json["Active"]) == (200, False)
    assert_refused(await call("GET", "/templates/welcome-v1"), 1101)
    assert {row[5] for row in stored(site)} == {"notices"}
    assert [row[2] for row in stored(site) if row[1] == id] == [1, 2, 3]


@pytest.mark.gen_test
async def test_a_template_without_parts_has_null_for_them(call: Call) -> None:
    body = {"name": "Plain", "subject": "Hi", "textBody": "Hello", "New": True, "Alias": None}
    id = await create(call, body)
    read = (await call("GET", f"/TEMPLATES/{id}/")).json
    assert (read["TextBody"], read["HtmlBody"], read["LayoutTemplate"]) == ("Hello", None, None)


@pytest.mark.gen_test
async def test_an_edit_changes_only_what_it_gives_and_never_the_type(
    call: Call, site: Site
) -> None:
    await create(call, LAYOUT)
    id = await create(call, CREATE)
    before = (await call("GET", f"/templates/{id}")).json
    body = {"Name": "Welcome", "Subject": None, "TemplateType": "Layout", "HtmlBody": None}
    assert (await call("PUT", "/templates/onboarding-v1", body)).status == 200
    after = (await call("GET", f"/templates/{id}")).json
    assert after == before | {"Name": "Welcome"}
    for type in ("Pigeon", 5):
        body = {"Name": "Welcome", "TemplateType": type}
        assert (await call("PUT", f"/templates/{id}", body)).status == 200
    cleared = await call("PUT", f"/templates/{id}/", {"LayoutTemplate": ""})
    assert (cleared.status, cleared.json["LayoutTemplate"]) == (200, None)
    assert (await call("GET", f"/templates/{id}")).json == after | {"LayoutTemplate": None}


@pytest.mark.gen_test
async def test_templates_are_listed_by_type_and_by_layout(call: Call) -> None:
    layout = await create(call, LAYOUT)
    framed = await create(call, CREATE)
    plain = await create(call, CREATE | {"Alias": "plain", "LayoutTemplate": ""})
    reply = await call("GET", "/templates?count=100&offset=0&LayoutTemplate=my-layout")
    assert (reply.status, list(reply.json)) == (200, ["TotalCount", "Templates"])
    assert reply.json["TotalCount"] == 1
    assert list(reply.json["Templates"][0].items()) == [
        ("Active", True),
        ("TemplateId", framed),
        ("Name", "Onboarding Email"),
        ("Alias", "onboarding-v1"),
        ("TemplateType", "Standard"),
        ("LayoutTemplate", "my-layout"),
    ]
    for query, expected in (
        ("Count=300&Offset=0", [layout, framed, plain]),
        ("count=100000&offset=0", [layout, framed, plain]),
        ("count=0&offset=0", []),
        ("COUNT=10&OFFSET=0&templatetype=layout", [layout]),
        ("Count=10&Offset=0&TemplateType=Standard", [framed, plain]),
        ("Count=10&Offset=0&TemplateType=All&LayoutTemplate=", [layout, framed, plain]),
        ("Count=10&Offset=0&LayoutTemplate=unknown", []),
        ("Count=10&Offset=3", []),
    ):
        listed = (await call("GET", f"/templates?{query}")).json["Templates"]
        assert sorted(one["TemplateId"] for one in listed) == sorted(expected), query
    await call("DELETE", f"/templates/{plain}")
    reply = await call("GET", "/templates?Count=10&Offset=0")
    assert reply.json["TotalCount"] == 2


@pytest.mark.gen_test
async def test_every_template_stands_on_one_page_of_the_list(call: Call) -> None:
    ids = [await create(call, CREATE | {"Alias": f"t{n}", "LayoutTemplate": ""}) for n in range(5)]
    listed = []
    for offset in (0, 2, 4):
        reply = await call("GET", f"/templates?Count=2&Offset={offset}")
        assert reply.json["TotalCount"] == 5
        assert len(reply.json["Templates"]) <= 2
        listed += [one["TemplateId"] for one in reply.json["Templates"]]
    assert listed == ids[::-1]


@pytest.mark.gen_test
@pytest.mark.parametrize("page", [1, 2, 3, 100])
async def test_who_deletes_in_the_order_of_the_list_deletes_layouts_last(
    call: Call, page: int
) -> None:
    frames = [await create(call, LAYOUT | {"Alias": f"frame{n}"}) for n in range(2)]
    for n in range(4):
        await create(call, CREATE | {"Alias": f"t{n}", "LayoutTemplate": f"frame{n % 2}"})
    deleted = []
    while listed := (await call("GET", f"/templates?Count={page}&Offset=0")).json["Templates"]:
        for one in listed:
            reply = await call("DELETE", f"/templates/{one['TemplateId']}")
            assert (reply.status, reply.json["ErrorCode"]) == (200, 0), one
            deleted.append(one["TemplateId"])
    assert deleted[-2:] == frames[::-1]


@pytest.mark.parametrize(
    "query",
    [
        *("", "Count=1", "Offset=0", "Count=x&Offset=0", "Count=1&Offset=-1", "Count=&Offset=0"),
        *("Count=1&Offset=0&TemplateType=Pigeon", "Count=%ff&Offset=0", "Count=1e3&Offset=0"),
        f"Count=1&Offset={'9' * 30}",
    ],
)
@pytest.mark.gen_test
async def test_a_list_needs_numbers_and_a_known_type(call: Call, query: str) -> None:
    assert_refused(await call("GET", f"/templates?{query}"), 1100)


@pytest.mark.gen_test
async def test_a_template_is_tried_out(call: Call, site: Site) -> None:
    reply = await call("POST", "/templates/validate", VALIDATE)
    assert reply.status == 200

    def valid(rendered: str) -> dict[str, Any]:
        return {"ContentIsValid": True, "ValidationErrors": [], "RenderedContent": rendered}

    assert reply.json == {
        "AllContentIsValid": True,
        "HtmlBody": valid("address_Value name_Value "),
        "TextBody": valid("phone_Value name_Value "),
        "Subject": valid("name_Value subjectHeadline_Value"),
        "SuggestedTemplateModel": {
            "userName": "bobby joe",
            "company": {"address": "address_Value", "phone": "phone_Value", "name": "name_Value"},
            "person": [{"name": "name_Value"}],
            "subjectHeadline": "subjectHeadline_Value",
        },
    }
    assert list(reply.json) == [
        *("AllContentIsValid", "HtmlBody", "TextBody", "Subject", "SuggestedTemplateModel")
    ]
    assert stored(site) == []


@pytest.mark.gen_test
async def test_a_template_is_tried_out_in_its_layout(call: Call) -> None:
    await create(call, LAYOUT)
    reply = await call("POST", "/templates/validate/", VALIDATE | {"LayoutTemplate": "my-layout"})
    rendered = reply.json["HtmlBody"]["RenderedContent"]
    assert rendered == "<html><body>address_Value name_Value </body></html>"
    layout = {"TemplateType": "Layout", "HtmlBody": "<p>{{{@content}}}</p>"}
    reply = await call("POST", "/templates/validate", layout)
    assert (reply.status, reply.json["AllContentIsValid"]) == (200, True)
    assert (reply.json["TextBody"], reply.json["Subject"]) == (None, None)


@pytest.mark.gen_test
async def test_what_is_wrong_with_a_template_is_told_with_its_place(call: Call) -> None:
    body = {"TextBody": "one\n {{#if x}}", "Subject": "{{ok}}"}
    reply = await call("POST", "/templates/validate", body)
    assert (reply.status, reply.json["AllContentIsValid"]) == (200, False)
    part = reply.json["TextBody"]
    assert (part["ContentIsValid"], part["RenderedContent"]) == (False, None)
    assert [list(fault) for fault in part["ValidationErrors"]] == [
        ["Message", "Line", "CharacterPosition"]
    ] * len(part["ValidationErrors"])
    first = part["ValidationErrors"][0]
    assert (first["Line"], first["CharacterPosition"]) == (2, 2)
    assert reply.json["HtmlBody"] is None
    assert reply.json["Subject"]["ContentIsValid"] is True
    nowhere = {"TemplateType": "Layout", "HtmlBody": "<p></p>"}
    reply = await call("POST", "/templates/validate", nowhere)
    [fault] = reply.json["HtmlBody"]["ValidationErrors"]
    assert (fault["Line"], fault["CharacterPosition"]) == (None, None)
    assert "The layout content placeholder must be present" in fault["Message"]


@pytest.mark.gen_test
async def test_styles_are_inlined_in_a_trial_unless_that_is_refused(call: Call) -> None:
    body = {"HtmlBody": "<style>p { color: red }</style><p>{{x}}</p>"}
    styled = await call("POST", "/templates/validate", body)
    plain = await call("POST", "/templates/validate", body | {"InlineCssForHtmlTestRender": False})
    assert "<p style=" in styled.json["HtmlBody"]["RenderedContent"]
    assert plain.json["HtmlBody"]["RenderedContent"].endswith("<p>x_Value</p>")


@pytest.mark.gen_test
async def test_a_push_tells_what_it_would_do_and_does_it_when_told(call: Call, site: Site) -> None:
    await create(call, LAYOUT)
    await create(call, CREATE)
    source, destination = await server_id(call, NOTICES_KEY), await server_id(call, BULLETIN_KEY)
    body = {"SourceServerID": source, "DestinationServerID": destination, "PerformChanges": False}
    before = stored(site)
    dry = await push(call, body)
    assert (dry.status, list(dry.json)) == (200, ["TotalCount", "Templates"])
    assert dry.json["Templates"] == [
        {
            "Action": "Create",
            "Alias": alias,
            "Name": name,
            "TemplateType": type,
        }
        for alias, name, type in (
            ("my-layout", "Default Layout", "Layout"),
            ("onboarding-v1", "Onboarding Email", "Standard"),
        )
    ]
    assert stored(site) == before
    texts = {"SourceServerId": str(source), "DestinationServerId": str(destination)}
    done = await push(call, texts | {"PerformChanges": True})
    assert done.json["TotalCount"] == 2
    assert list(done.json["Templates"][0]) == [
        *("Action", "TemplateId", "Alias", "Name", "TemplateType")
    ]
    pushed = await call("GET", "/templates/onboarding-v1", token=BULLETIN_KEY)
    assert pushed.json["TemplateId"] == done.json["Templates"][1]["TemplateId"]
    assert pushed.json["AssociatedServerId"] == destination
    assert (await push(call, texts | {"PerformChanges": True})).json["TotalCount"] == 0
    await call("PUT", "/templates/onboarding-v1", {"Name": "New"})
    changed = await push(call, texts | {"performchanges": "true"})
    [change] = changed.json["Templates"]
    assert (change["Action"], change["Name"]) == ("Edit", "New")
    assert {row[5] for row in stored(site) if row[0] == "bulletin"} == {"account"}


@pytest.mark.gen_test
async def test_a_push_that_is_not_told_to_changes_nothing(call: Call, site: Site) -> None:
    await create(call, LAYOUT)
    source, destination = await server_id(call, NOTICES_KEY), await server_id(call, BULLETIN_KEY)
    before = stored(site)
    body = {"SourceServerID": source, "DestinationServerID": destination}
    assert (await push(call, body)).json["TotalCount"] == 1
    assert (await push(call, body | {"PerformChanges": None})).json["TotalCount"] == 1
    assert stored(site) == before


@pytest.mark.gen_test
async def test_a_push_between_servers_that_are_not_there_says_which(call: Call, site: Site) -> None:
    await create(call, LAYOUT)
    known = await server_id(call, NOTICES_KEY)
    before = stored(site)
    for source, destination, words in (
        (0, 1, "The source and destination servers were not found."),
        (known, 0, "The destination server was not found."),
        ("1", str(known), "The source server was not found."),
        (None, known, "The source server was not found."),
        (-known, 10**30, "The source and destination servers were not found."),
    ):
        body = {"SourceServerID": source, "DestinationServerID": destination}
        reply = await push(call, body | {"PerformChanges": True})
        assert_refused(reply, 601)
        assert reply.json["Message"] == words
    assert stored(site) == before


@pytest.mark.gen_test
async def test_a_push_that_cannot_be_is_refused_whole(call: Call, site: Site) -> None:
    source, destination = await server_id(call, NOTICES_KEY), await server_id(call, BULLETIN_KEY)
    body = {
        "SourceServerID": source,
        "DestinationServerID": destination,
        "PerformChanges": True,
    }
    assert_refused(await push(call, body), 1124)
    await create(call, LAYOUT)
    await create(call, CREATE | {"Alias": "my-layout", "LayoutTemplate": ""}, BULLETIN_KEY)
    before = stored(site)
    assert_refused(await push(call, body), 1125)
    for wrong in ({"SourceServerID": []}, {"PerformChanges": "perhaps"}, {"SourceServerID": 1.5}):
        assert_refused(await push(call, body | wrong), 403)
    assert_refused(await push(call, []), 403)
    assert_refused(await push(call, b"{"), 402)
    assert stored(site) == before


@pytest.mark.gen_test
async def test_two_servers_do_not_see_each_others_templates(call: Call, site: Site) -> None:
    await create(call, LAYOUT)
    id = await create(call, CREATE)
    before = stored(site)
    for reference in (str(id), "onboarding-v1"):
        for method, body in (("GET", None), ("PUT", {"Name": "Mine"}), ("DELETE", None)):
            reply = await call(method, f"/templates/{reference}", body, token=BULLETIN_KEY)
            assert_refused(reply, 1101)
    reply = await call("GET", "/templates?Count=9&Offset=0", token=BULLETIN_KEY)
    assert reply.json == {"TotalCount": 0, "Templates": []}
    assert_refused(await call("POST", "/templates", CREATE, token=BULLETIN_KEY), 1101)
    assert stored(site) == before
    await create(call, CREATE | {"LayoutTemplate": ""}, BULLETIN_KEY)


@pytest.mark.gen_test
async def test_an_unknown_template_is_not_found_in_postmarks_words(call: Call) -> None:
    for reference, words in (
        ("1234567", UNKNOWN_ID),
        ("0", UNKNOWN_ID),
        ("9" * 18, UNKNOWN_ID),
        ("9" * 40, UNKNOWN_ID),
        ("nobody", UNKNOWN_ALIAS),
        ("%D9%A1%D9%A2", UNKNOWN_ALIAS),  # digits of another script
        ("%00", UNKNOWN_ALIAS),
        ("a%2Fb", UNKNOWN_ALIAS),
        ("x" * 5000, UNKNOWN_ALIAS),
    ):
        for method, body in (("GET", None), ("PUT", {"Name": "x"}), ("DELETE", None)):
            reply = await call(method, f"/templates/{reference}", body)
            assert_refused(reply, 1101)
            assert reply.json["Message"] == words


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        (1120, {"Name": None}),
        (1120, {"Name": ""}),
        (1120, {"Subject": None}),
        (1120, {"HtmlBody": None, "TextBody": ""}),
        (1121, {"Name": "x" * 5000}),
        (1121, {"Alias": "x" * 5000}),
        (1122, {"TemplateType": "Pigeon"}),
        (1122, {"Alias": "1st"}),
        (1122, {"Alias": ""}),
        (1122, {"Alias": "a b"}),
        (1122, {"Alias": "my-layout"}),
        (1122, {"HtmlBody": "{{#open}}"}),
        (1101, {"LayoutTemplate": "nobody"}),
        (1123, {"TemplateType": "Layout", "HtmlBody": "{{{@content}}}", "TextBody": None}),
        (1131, {"TemplateType": "Layout", "Subject": None, "LayoutTemplate": None}),
        (403, {"Name": 5}),
        (403, {"HtmlBody": ["x"]}),
        (403, {"TemplateType": {}}),
    ],
)
@pytest.mark.gen_test
async def test_what_no_template_can_be_is_refused_with_its_code(
    call: Call, site: Site, code: int, changes: dict[str, Any]
) -> None:
    await create(call, LAYOUT)
    before = stored(site)
    assert_refused(await call("POST", "/templates", CREATE | changes), code)
    assert stored(site) == before


@pytest.mark.gen_test
async def test_an_edit_that_cannot_be_is_refused_with_its_code(call: Call, site: Site) -> None:
    layout = await create(call, LAYOUT)
    id = await create(call, CREATE)
    before = stored(site)
    for reference, body, code in (
        (id, {"Alias": "my-layout"}, 1122),
        (id, {"TextBody": "{{/each}}"}, 1122),
        (id, {"Subject": ""}, 1120),
        (id, {"LayoutTemplate": "nobody"}, 1101),
        (id, {"Name": True}, 403),
        (layout, {"HtmlBody": "no place"}, 1131),
        (layout, {"Subject": "Hi"}, 1123),
        (layout, {"LayoutTemplate": "my-layout"}, 1123),
        (id, {}, 1109),
        (id, {"Status": "x", "TestRenderModel": {}}, 1109),
    ):
        assert_refused(await call("PUT", f"/templates/{reference}", body), code)
    assert_refused(await call("DELETE", "/templates/my-layout"), 1130)
    assert stored(site) == before


@pytest.mark.gen_test
async def test_a_call_that_says_nothing_of_a_template_is_1109(call: Call, site: Site) -> None:
    for method, path in (
        ("POST", "/templates"),
        ("PUT", "/templates/1"),
        ("POST", "/templates/validate"),
    ):
        for body in (b"", b" \n", b"null", b"{}"):
            reply = await call(method, path, body)
            assert_refused(reply, 1109)
            assert reply.json["Message"] == "No template data received."
        assert_refused(await call(method, path, b"{"), 402)
        assert_refused(await call(method, path, [1]), 403)
    assert_refused(await call("GET", "/templates/validate"), 1109)
    assert stored(site) == []


@pytest.mark.gen_test
async def test_a_trial_that_cannot_be_is_refused_with_its_code(call: Call) -> None:
    for changes, code in (
        ({"TestRenderModel": "x"}, 403),
        ({"InlineCssForHtmlTestRender": "perhaps"}, 403),
        ({"TemplateType": "Pigeon"}, 1122),
        ({"LayoutTemplate": "nobody"}, 1101),
        ({"Subject": None, "HtmlBody": None, "TextBody": None}, 1120),
        ({"TemplateType": "Layout", "LayoutTemplate": None}, 1123),
    ):
        assert_refused(await call("POST", "/templates/validate", VALIDATE | changes), code)


@pytest.mark.gen_test(timeout=50)
async def test_a_server_has_a_hundred_templates_and_deleted_ones_do_not_count(
    call: Call, site: Site
) -> None:
    body = CREATE | {"LayoutTemplate": None}
    ids = [await create(call, body | {"Alias": f"t{number}"}) for number in range(100)]
    before = stored(site)
    assert_refused(await call("POST", "/templates", body | {"Alias": "more"}), 1105)
    assert stored(site) == before
    assert (await call("GET", "/templates?Count=300&Offset=0")).json["TotalCount"] == 100
    await call("DELETE", f"/templates/{ids[0]}")
    await create(call, body | {"Alias": "t0"})


@pytest.mark.gen_test
async def test_a_token_of_the_wrong_kind_or_for_several_servers_opens_no_templates(
    call: Call, site: Site
) -> None:
    for token in (None, "x" * 40, BOTH_KEY, PAGE_KEY, ACCOUNT_KEY):
        for method, path, body in (
            ("GET", "/templates?Count=1&Offset=0", None),
            ("POST", "/templates", LAYOUT),
            ("GET", "/templates/validate", None),
            ("DELETE", "/templates/1", None),
        ):
            assert_refused(await call(method, path, body, token=token), 10, 401)
    for account in (NOTICES_KEY, "x" * 40):
        reply = await push(call, {"SourceServerID": 2, "DestinationServerID": 3}, account)
        assert_refused(reply, 10, 401)
        assert "valid Account token" in reply.json["Message"]
    assert stored(site) == []


@pytest.mark.gen_test
async def test_what_a_path_does_not_take_is_405_without_a_body(call: Call, site: Site) -> None:
    for method, path in (
        ("PUT", "/templates"),
        ("DELETE", "/templates"),
        ("POST", "/templates/1"),
        ("PUT", "/templates/validate"),
        ("DELETE", "/templates/validate"),
        ("GET", "/templates/push"),
        ("POST", "/templates/push"),
    ):
        reply = await call(method, path, LAYOUT, token=None)
        assert (reply.status, reply.body) == (405, b"")
    assert stored(site) == []


@pytest.mark.gen_test
async def test_a_body_that_is_not_called_json_is_415(call: Call, site: Site) -> None:
    for media in ("text/plain", "application/x-www-form-urlencoded"):
        for method, path in (("POST", "/templates"), ("PUT", "/templates/1")):
            reply = await call(method, path, LAYOUT, headers={"Content-Type": media})
            assert reply.status == 415
    assert stored(site) == []
    typed = {"Content-Type": "application/json; charset=utf-8"}
    assert (await call("POST", "/templates", LAYOUT, headers=typed)).status == 200
