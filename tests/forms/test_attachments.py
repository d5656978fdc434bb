"""Files that come with forms: where they are taken, what they must be, how they travel."""

import base64
import io
import json
import zipfile
from typing import Any

import pytest
from tornado.httpclient import AsyncHTTPClient
from tornado.httpserver import HTTPServer

from relay.core.errors import ConfigurationError, InvalidSubmission
from relay.core.file_types import FILE_TYPES
from relay.core.immutable import freeze
from relay.core.message import Attachment
from relay.core.server import AttachmentRules
from relay.core.submission import File, Submission
from relay.forms.attachments import read
from relay.site import Site
from tests.conftest import FORM, SETTINGS, Outbox, Post
from tests.support.keys import APPLICATION_KEY

TAKING = SETTINGS.replace("[servers.default]\n", "[servers.default]\nattachments = true\n")
LIMITED = SETTINGS.replace(
    "[servers.default]\n",
    "[servers.default]\n"
    'attachments = { max_files = 2, max_file_bytes = 400, max_bytes = 600, types = ["txt"] }\n',
)
SENT = {"status": "success", "response": "Message sent"}


MAIN = "application/vnd.openxmlformats-officedocument.{}.main+xml"
WORD = MAIN.format("wordprocessingml.document")
EXCEL = MAIN.format("spreadsheetml.sheet")
SLIDES = MAIN.format("presentationml.presentation")


def office(
    part: str,
    media: str,
    *others: str,
    packing: int = zipfile.ZIP_DEFLATED,
    last: bool = False,
    quote: str = '"',
    padding: int = 0,
    target: io.BytesIO | None = None,
) -> bytes:
    """An Office document whose main part has this name and type; `last`: its types stand last."""
    target = io.BytesIO() if target is None else target
    override = f"<Override PartName={quote}/{part}{quote} ContentType={quote}{media}{quote}/>"
    types = f"<Types>{' ' * padding}{override}</Types>"
    files = [("[Content_Types].xml", types), (part, "<x/>" * 50), *((name, "x") for name in others)]
    with zipfile.ZipFile(target, "w", packing) as archive:
        for name, content in reversed(files) if last else files:
            archive.writestr(zipfile.ZipInfo(name), content, packing)  # always of one time
    return target.getvalue()


class Stream(io.BytesIO):
    """What a document is written to as it comes, so that sizes stand behind each of its files."""

    def seek(self, *args: int) -> int:
        raise OSError

    def tell(self) -> int:
        raise OSError


def packed(*names: str, first: tuple[str, str] | None = None) -> bytes:
    """A zip with files of these names, as office programs write them."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        if first is not None:
            archive.writestr(zipfile.ZipInfo(first[0]), first[1])
        for name in names:
            archive.writestr(name, "<x/>" * 50)
    return target.getvalue()


OPEN = "application/vnd.oasis.opendocument."
CONTENTS: dict[str, bytes] = {
    "pdf": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj",
    "png": b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR",
    "jpg": b"\xff\xd8\xff\xe0\x00\x10JFIF\x00",
    "jpeg": b"\xff\xd8\xff\xe1\x00\x10Exif\x00",
    "gif": b"GIF89a\x01\x00\x01\x00",
    "webp": b"RIFF\x24\x00\x00\x00WEBPVP8 ",
    "heic": b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00",
    "docx": packed("[Content_Types].xml", "word/document.xml"),
    "xlsx": packed("[Content_Types].xml", "xl/workbook.xml"),
    "pptx": office("ppt/presentation.xml", SLIDES),
    "odt": packed("content.xml", first=("mimetype", f"{OPEN}text")),
    "ods": packed("content.xml", first=("mimetype", f"{OPEN}spreadsheet")),
    "txt": "Grüße\r\n\tfrom here".encode(),
    "csv": b"a;b\r\n1;2\r\n",
}


def multipart(
    fields: dict[str, str], files: list[tuple[str, str, bytes]], media: str = "x/y"
) -> dict[str, Any]:
    parts = [
        f'--frontier\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    for name, file_name, content in files:
        head = f'form-data; name="{name}"; filename="{file_name}"\r\nContent-Type: {media}'
        start = f"--frontier\r\nContent-Disposition: {head}\r\n\r\n".encode()
        parts.append(start + content + b"\r\n")
    body = b"".join(parts) + b"--frontier--\r\n"
    return {"body": body, "media": "multipart/form-data; boundary=frontier"}


def named(name: Any, content: bytes | str, **more: Any) -> dict[str, Any]:
    encoded = base64.b64encode(content).decode() if isinstance(content, bytes) else content
    return {"Name": name, "Content": encoded, "ContentType": "text/plain", **more}


def taken(
    *files: File, types: tuple[str, ...] = tuple(FILE_TYPES), **limits: int
) -> tuple[Attachment, ...]:
    rules = {"max_files": 5, "max_file_bytes": 5_000, "max_bytes": 7_000, **limits}
    submission = Submission("default", freeze(FORM), files=files)
    return read(submission, AttachmentRules(types=frozenset(types), **rules))


def problems(*files: File, **rules: Any) -> dict[str, list[str]]:
    with pytest.raises(InvalidSubmission) as raised:
        taken(*files, **rules)
    assert raised.value.reason == "attachments"
    return dict(raised.value.fields)


@pytest.mark.parametrize("extension", FILE_TYPES)
def test_a_file_is_taken_where_its_content_is_what_its_name_says(extension: str) -> None:
    content = CONTENTS[extension]
    [attachment] = taken(File("photo", f"My file.{extension.upper()}", "evil/type", content))
    assert attachment.name == f"My file.{extension.upper()}"
    assert attachment.content_type == FILE_TYPES[extension].media
    assert base64.b64decode(attachment.content) == content


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("extension", FILE_TYPES)
def test_a_file_whose_content_is_another_kind_is_refused(extension: str, content: str) -> None:
    alike = [{"png", "jpg", "jpeg", "gif", "webp", "heic"}, {"txt", "csv"}, {extension}]
    if any({extension, content} <= kinds for kinds in alike):
        return
    [words] = problems(File("photo", f"a.{extension}", "", CONTENTS[content]))["photo"]
    assert words == f"file 1 is not what its name says: its content is no {extension}"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.pdf", b"MZ\x90\x00"),
        ("a.pdf", b"x" * 1_020 + b"%PDF-1.7"),
        ("a.jpg", b"RIFF\x24\x00\x00\x00WAVEfmt "),
        ("a.txt", b"MZ\x90\x00"),
        ("a.txt", b"text\x00text"),
        ("a.txt", b"\x1b[31mred"),
        ("a.txt", b"\xff\xfea"),
        ("a.csv", b"a;b\x07"),
        ("a.docx", packed("[Content_Types].xml", "word/document.xml", "word/vbaProject.bin")),
        ("a.docx", packed("[Content_Types].xml", "word/document.xml", "word/VBAproject.BIN")),
        ("a.docx", packed("word/document.xml")),
        ("a.docx", packed("evil.exe")),
        ("a.odt", packed("content.xml", first=("mimetype", f"{OPEN}text-template"))),
        ("a.odt", packed("mimetype")),
        ("a.docx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),
        ("a.heic", b"\x00\x00\x00\x18ftypisom"),
        ("a.webp", b"RIFF\x24\x00\x00\x00WAVEfmt "),
    ],
)
def test_what_only_pretends_is_refused(name: str, content: bytes) -> None:
    assert "its content is no" in problems(File("photo", name, "", content))["photo"][0]


@pytest.mark.parametrize(
    ("name", "content", "taken_as"),
    [
        ("photo.jpg", "webp", "photo.webp"),
        ("photo.JPG", "png", "photo.png"),
        ("photo.jpeg", "heic", "photo.heic"),
        ("photo.png", "jpg", "photo.jpg"),
        ("photo.gif", "jpeg", "photo.jpg"),
        ("photo.heic", "jpg", "photo.jpg"),
        ("photo.webp", "gif", "photo.gif"),
        ("photo.jfif", "jpg", "photo.jpg"),
        ("photo.JPE", "jpg", "photo.jpg"),
        ("photo.pjpeg", "jpeg", "photo.jpg"),
        ("photo.jfif", "png", "photo.png"),
        ("photo.heif", "heic", "photo.heic"),
        ("photo.jpeg", "jpg", "photo.jpeg"),
        ("photo.JPG", "jpg", "photo.JPG"),
        ("my.photo.1.jpg", "webp", "my.photo.1.webp"),
        ("x" * 196 + ".jpg", "webp", "x" * 195 + ".webp"),
    ],
)
def test_an_image_is_taken_under_the_kind_that_it_is(
    name: str, content: str, taken_as: str
) -> None:
    [attachment] = taken(File("photo", name, "", CONTENTS[content]))
    assert attachment.name == taken_as
    assert attachment.content_type == FILE_TYPES[taken_as.rpartition(".")[2].lower()].media
    assert base64.b64decode(attachment.content) == CONTENTS[content]


@pytest.mark.parametrize(
    ("name", "content", "types", "taken_as"),
    [
        ("photo.jpg", "webp", ("jpg", "png"), None),
        ("photo.webp", "jpg", ("jpg", "png"), "photo.jpg"),
        ("photo.jpeg", "jpg", ("jpg",), "photo.jpg"),
        ("photo.jfif", "jpg", ("jpeg",), "photo.jpeg"),
        ("photo.jfif", "jpg", ("png", "pdf"), None),
        ("photo.pdf", "jpg", ("jpg", "pdf"), None),
        ("photo.exe", "jpg", ("jpg",), None),
        ("photo", "jpg", ("jpg",), None),
        ("photo.jpg.html", "jpg", ("jpg",), None),
    ],
)
def test_an_image_is_taken_only_as_a_kind_that_is_taken(
    name: str, content: str, types: tuple[str, ...], taken_as: str | None
) -> None:
    file = File("photo", name, "", CONTENTS[content])
    if taken_as is None:
        assert "file 1 is " in problems(file, types=types)["photo"][0]
        return
    assert taken(file, types=types)[0].name == taken_as


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.docx", office("word/document2.xml", WORD)),
        ("a.docx", office("word/document3.xml", WORD, last=True)),
        ("a.docx", office("word/document2.xml", WORD, packing=zipfile.ZIP_STORED)),
        ("a.docx", office("word/document2.xml", WORD, quote="'", padding=9_000)),
        ("a.docx", office("word/document2.xml", WORD, target=Stream())),
        ("a.docx", office("documents/main.xml", WORD, *(f"media/{n}.png" for n in range(900)))),
        ("a.xlsx", office("xl/workbook2.xml", EXCEL)),
        ("a.xlsx", office("xl/workbook22.xml", EXCEL, last=True)),
        ("a.pptx", office("ppt/presentation2.xml", SLIDES)),
        ("a.pptx", office("ppt/presentation.xml", SLIDES)),
    ],
)
def test_an_office_document_is_known_by_the_types_of_its_parts(name: str, content: bytes) -> None:
    [attachment] = taken(File("plan", name, "", content), max_file_bytes=200_000, max_bytes=200_000)
    assert attachment.content_type == FILE_TYPES[name[2:]].media


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.docx", office("word/document2.xml", EXCEL)),
        ("a.xlsx", office("word/document2.xml", WORD)),
        ("a.docx", office("word/document2.xml", WORD.replace(".document.", ".template."))),
        ("a.docx", office("w/d.xml", "application/vnd.ms-word.document.macroEnabled.main+xml")),
        ("a.docx", office("w/d.xml", f'{WORD}"/><O C="application/vnd.ms-office.vbaProject')),
        ("a.docx", office("w/d.xml", WORD, "word/vbaProject.bin")),
        ("a.docx", office("w/d.xml", WORD, *(f"{n}" for n in range(2_000)))),
        ("a.docx", office("w/d.xml", WORD, padding=600_000)),
        ("a.docx", office("w/d.xml", WORD, packing=zipfile.ZIP_LZMA)),
        ("a.docx", office("w/d.xml", WORD)[:-40]),
        ("a.docx", office("w/d.xml", WORD).replace(b"PK\x01\x02", b"PK\x01\x03")),
        ("a.docx", office("w/d.xml", WORD).replace(b"<", b"\xff")[:60] + b"[Content_Types].xml"),
        ("a.docx", office("w/d.xml", WORD).replace(b"[Content_Types].xml", b"[content_types].xml")),
    ],
)
def test_what_does_not_say_that_it_is_such_a_document_is_refused(name: str, content: bytes) -> None:
    found = problems(File("plan", name, "", content), max_file_bytes=400_000, max_bytes=400_000)
    assert found["plan"] == [f"file 1 is not what its name says: its content is no {name[2:]}"]


@pytest.mark.parametrize(
    "before",
    [
        b"\xef\xbb\xbf",
        b"\r\n \r\n",
        b"\x00\x00",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"<html>",
        b"x" * 1_019,
    ],
    ids=len,
)
def test_a_pdf_may_begin_where_its_readers_look_for_it(before: bytes) -> None:
    assert taken(File("plan", "a.pdf", "", before + b"%PDF-1.7\n1 0 obj"))


@pytest.mark.parametrize(
    "content",
    [
        b"a note on %PDF-1.7",
        "é".encode("cp1252"),
        "a\tb".encode("utf-16"),
        b"\xef\xbb\xbfa",
        b"page\x0cpage",
        b"%PDF",
    ],
    ids=repr,
)
def test_text_is_text_in_the_encodings_that_office_programs_write(content: bytes) -> None:
    assert taken(File("photo", "a.csv", "", content))


@pytest.mark.parametrize(
    "name",
    [
        *("a.exe", "a.EXE", "a.pdf.exe", "a.exe. ", "a.scr", "a.vbs", "a.js", "a.html", "a.svg"),
        *("a.zip", "a.doc", "a.docm", "a.iso", "a", ".pdf", "pdf", "", "..", "a.", "a.\u202efdp"),
        *("a.pdf\x00.exe", "a.pdf/x", "x/.pdf", "a.pdf::$DATA", "a.p\u200bdf ", "a.\uff50df"),
    ],
)
def test_a_file_of_any_other_kind_is_refused(name: str) -> None:
    for content in (CONTENTS["txt"], CONTENTS["pdf"]):
        [words] = problems(File("photo", name, "application/pdf", content))["photo"]
        assert "file 1 is " in words


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("../../etc/passwd.txt", "passwd.txt"),
        ("C:\\temp\\plan.txt", "plan.txt"),
        ("a\r\nBcc: x@evil.com.txt", "a__Bcc_ x@evil.com.txt"),
        ("gpj.\u202etxt", "gpj._txt"),
        ('x".txt', "x_.txt"),
        ("  ..plan.txt", "plan.txt"),
        ("Größe 😀.txt", "Größe 😀.txt"),
        ("x" * 500 + ".txt", "x" * 196 + ".txt"),
    ],
)
def test_names_are_made_safe(name: str, safe: str) -> None:
    if name.startswith("gpj"):
        assert "photo" in problems(File("photo", name, "", b"x"))
        return
    [attachment] = taken(File("photo", name, "", b"x"))
    assert attachment.name == safe


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ([0], "file 1 is empty"),
        ([401], "file 1 has more than 400 bytes"),
        ([300, 301], "more than 600 bytes of files in all"),
        ([1, 1, 1], "more than 2 files"),
        ([400], None),
        ([300, 300], None),
    ],
)
def test_there_are_limits_of_number_and_size(sizes: list[int], words: str | None) -> None:
    files = [File(f"file{n}", f"{n}.txt", "", b"x" * size) for n, size in enumerate(sizes)]
    limits = {"max_files": 2, "max_file_bytes": 400, "max_bytes": 600}
    if words is None:
        assert len(taken(*files, **limits)) == len(sizes)
    else:
        assert problems(*files, **limits)[files[-1].field_name] == [words]


def test_a_refusal_names_every_field_and_no_file() -> None:
    files = [File("photo", "secret.exe", "", b"x"), File("plan", "secret.pdf", "", b"x")]
    found = problems(*files, File("plan", "secret.png", "", b"x"), types=("pdf", "png"))
    assert list(found) == ["photo", "plan"]
    assert len(found["plan"]) == 2
    assert "secret" not in str(found)
    assert "file 3" in found["plan"][1]


@pytest.mark.parametrize(
    "given",
    [
        "a.pdf",
        7,
        True,
        {"Name": "a.txt"},
        [1],
        ["a.txt"],
        [{}],
        [{"Name": "a.txt"}],
        [{"Content": "eA=="}],
        [named("a.txt", "e")],
        [named("a.txt", "eA=")],
        [named("a.txt", "e\u00e9==")],
        [named("a.txt", "\u0131A==")],
        [named("a.txt", "eA==x")],
        [named("a.txt", b"x", ContentID="a b")],
        [named("a.txt", b"x", ContentID="a\r\nBcc: x")],
        [named("a.txt", b"x", ContentID=7)],
        [named(7, b"x")],
        [named("a.txt", b"x"), [named("b.txt", b"x")]],
        [named("a.exe", b"x")],
        [named("a.pdf", b"x")],
    ],
    ids=repr,
)
@pytest.mark.gen_test
async def test_attachments_that_are_none_are_refused_by_their_field(
    taking: Post, outbox: Outbox, given: Any
) -> None:
    reply = await taking("/rest/email/default", content={**FORM, "attachments": given})
    assert (reply.status, reply.words.startswith("attachments: ")) == (400, True)
    assert outbox.rows() == []


@pytest.fixture
def settings_toml(request: pytest.FixtureRequest) -> str:
    if "limited" in request.fixturenames:
        return LIMITED
    return TAKING if "taking" in request.fixturenames else SETTINGS


@pytest.fixture
def taking(post: Post) -> Post:
    """Post to a site whose server `default` takes files."""
    return post


@pytest.fixture
def limited(post: Post) -> Post:
    """Post to a site whose server `default` takes few and small files."""
    return post


@pytest.mark.gen_test
async def test_the_parts_of_a_form_become_attachments_in_order(
    taking: Post, outbox: Outbox
) -> None:
    files = [
        ("email[photo]", "one.png", CONTENTS["png"]),
        ("email[photos][]", "two.jpg", CONTENTS["jpg"]),
        ("email[photos][]", "three.txt", b"\r\n--front\r\n"),
        ("plan", "plan.pdf", CONTENTS["pdf"]),
    ]
    reply = await taking("/rest/email/default", **multipart(FORM, files))
    assert (reply.status, reply.json) == (200, SENT)
    stored = outbox.last()["document"]["attachments"]
    assert [one[:2] for one in stored] == [
        ["one.png", "image/png"],
        ["two.jpg", "image/jpeg"],
        ["three.txt", "text/plain"],
        ["plan.pdf", "application/pdf"],
    ]
    assert [base64.b64decode(one[2]) for one in stored] == [content for *_, content in files]
    assert outbox.last()["document"]["text"] == FORM["message"]


@pytest.mark.gen_test
@pytest.mark.parametrize("shape", ["flat", "nested", "brackets", "urlencoded", "multipart"])
async def test_attachments_are_read_as_postmark_names_them(
    taking: Post, outbox: Outbox, shape: str
) -> None:
    given = [named("a.txt", b"x", ContentID="cid:logo"), named("b.pdf", CONTENTS["pdf"])]
    flat = {
        f"email[attachments][{n}][{k}]": v for n, one in enumerate(given) for k, v in one.items()
    }
    sent: dict[str, Any] = {
        "flat": {"content": {**FORM, "attachments": given}},
        "nested": {"content": {"email": {**FORM, "attachments": given}}},
        "brackets": {"content": {**FORM, **flat}},
        "urlencoded": {"form": {**FORM, **flat}},
        "multipart": multipart({**FORM, **flat}, []),
    }[shape]
    reply = await taking("/rest/email/default", **sent)
    assert (reply.status, reply.json) == (200, SENT)
    stored = outbox.last()["document"]["attachments"]
    pdf = base64.b64encode(CONTENTS["pdf"]).decode()
    assert stored == [
        ["a.txt", "text/plain", "eA==", "cid:logo"],
        ["b.pdf", "application/pdf", pdf, None],
    ]


@pytest.mark.gen_test
async def test_base64_may_have_line_ends(taking: Post, outbox: Outbox) -> None:
    lines = base64.encodebytes(b"x" * 200).decode().replace("\n", "\r\n")
    content = {**FORM, "attachments": [named("a.txt", lines)]}
    assert (await taking("/rest/email/default", content=content)).json == SENT
    [stored] = outbox.last()["document"]["attachments"]
    assert base64.b64decode(stored[2]) == b"x" * 200
    assert "\n" not in stored[2]


@pytest.mark.gen_test
@pytest.mark.parametrize("path", ["/rest/email/contactform", "/emails"])
async def test_where_files_are_not_taken_they_are_refused_by_their_fields(
    taking: Post, outbox: Outbox, path: str
) -> None:
    reply = await taking(path, **multipart(FORM, [("email[photo]", "a.png", CONTENTS["png"])]))
    assert (reply.status, reply.words) == (400, "photo: files are not taken here")
    given = [named("a.txt", b"x")]
    reply = await taking(path, content={**FORM, "attachments": given})
    assert (reply.status, reply.words) == (400, "attachments: attachments are not taken here")
    assert outbox.rows() == []


@pytest.mark.gen_test
@pytest.mark.parametrize("given", [[], "", None, {}])
async def test_no_attachments_are_none(taking: Post, outbox: Outbox, given: Any) -> None:
    for path in ("/rest/email/default", "/rest/email/contactform"):
        assert (await taking(path, content={**FORM, "attachments": given})).json == SENT
    assert "attachments" not in outbox.last()["document"]


@pytest.mark.gen_test
async def test_a_file_field_that_was_left_empty_is_no_file(taking: Post, outbox: Outbox) -> None:
    reply = await taking("/rest/email/contactform", **multipart(FORM, [("photo", "", b"")]))
    assert reply.json == SENT
    assert "attachments" not in outbox.last()["document"]


@pytest.mark.gen_test
async def test_files_are_no_part_of_a_templates_model(taking: Post, outbox: Outbox) -> None:
    content = {**FORM, "template_id": "welcome", "attachments": [named("a.txt", b"x")]}
    await taking("/rest/email/default", content=content)
    document = outbox.last()["document"]
    assert document["attachments"] == [["a.txt", "text/plain", "eA==", None]]
    assert "attachments" not in document["model"]


@pytest.mark.gen_test
async def test_a_body_may_be_as_large_as_the_files_and_its_texts_may_not(
    taking: Post, outbox: Outbox
) -> None:
    big = b"x" * 4_900_000
    files = [("photo", "a.txt", big), ("photo", "b.txt", b"y" * 2_000_000)]
    assert (await taking("/rest/email/default", **multipart(FORM, files))).json == SENT
    given = [named("a.txt", big), named("b.txt", b"y" * 2_000_000)]
    assert (
        await taking("/rest/email/default", content={**FORM, "attachments": given})
    ).json == SENT
    assert len(outbox.rows()) == 2
    long = {**FORM, "message": "x" * 300_000}
    for sent in (multipart(long, files[1:]), {"form": long}, {"content": long}):
        reply = await taking("/rest/email/default", **sent)
        assert (reply.status, reply.words) == (413, "body too large")
    elsewhere = await taking("/rest/email/contactform", **multipart(FORM, files))
    assert (elsewhere.status, elsewhere.words) == (413, "body too large")
    over = await taking("/rest/email/default", **multipart(FORM, files * 2))
    assert over.status == 413
    assert len(outbox.rows()) == 2


@pytest.mark.gen_test
async def test_a_chunked_body_with_files_is_counted_as_it_comes(
    taking: Post, http_client: AsyncHTTPClient, base_url: str, http_server: HTTPServer
) -> None:
    async def chunks(write: Any) -> None:
        for _ in range(110):
            await write(b"x" * 100_000)

    headers = {
        "Authorization": f"token {APPLICATION_KEY}",
        "Content-Type": "multipart/form-data; boundary=frontier",
    }
    url = f"{base_url}/rest/email/default"
    answer = await http_client.fetch(
        url, method="POST", headers=headers, body_producer=chunks, raise_error=False
    )
    assert answer.code == 413
    assert json.loads(answer.body) == {"status": "error", "response": "body too large"}


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("files", "words"),
    [
        ([("a", "a.txt", b"x" * 401)], "a: file 1 has more than 400 bytes"),
        ([("a", "a.txt", b"x")] * 3, "a: more than 2 files"),
        ([("a", "a.txt", b"x" * 301)] * 2, "a: more than 600 bytes of files in all"),
        ([("a", "a.csv", b"x")], "a: file 1 is none of the kinds that are taken here: txt"),
        ([("a", "a.pdf", CONTENTS["pdf"])], "a: file 1 is none of the kinds"),
    ],
)
async def test_a_server_has_limits_of_its_own(
    limited: Post, outbox: Outbox, files: list[tuple[str, str, bytes]], words: str
) -> None:
    reply = await limited("/rest/email/default", **multipart(FORM, files))
    assert (reply.status, reply.words.startswith(words)) == (400, True)
    assert outbox.rows() == []
    assert (await limited("/rest/email/default", **multipart(FORM, files[:0]))).json == SENT


@pytest.mark.gen_test
async def test_a_request_with_other_files_is_another_request(taking: Post, outbox: Outbox) -> None:
    key = {"Idempotency-Key": "a"}
    first = multipart(FORM, [("a", "a.txt", b"one")])
    other = multipart(FORM, [("a", "a.txt", b"two")])
    for sent, status in ((first, 200), (first, 200), (other, 422)):
        reply = await taking("/rest/email/default", **sent, headers=key)
        assert reply.status == status
    assert len(outbox.rows()) == 1


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ('"yes"', "true, false, or a table of limits"),
        ("7", "true, false, or a table of limits"),
        ("{ max_files = 11 }", "max_files"),
        ("{ max_bytes = 0 }", "max_bytes"),
        ("{ max_file_bytes = 20000001 }", "max_file_bytes"),
        ('{ types = ["exe"] }', "one of pdf, png"),
        ("{ types = [] }", "types"),
        ("{ max_size = 5 }", "max_size"),
    ],
)
def test_wrong_limits_are_told_at_the_start(load: Any, value: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as raised:
        load(SETTINGS.replace("[servers.default]\n", f"[servers.default]\nattachments = {value}\n"))
    assert "[servers.default] attachments" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_files_are_off_unless_the_settings_say_so(load: Any) -> None:
    servers = load(TAKING).servers
    assert servers["contactform"].server.attachments is None
    rules = servers["default"].server.attachments
    assert (rules.max_files, rules.max_file_bytes, rules.max_bytes) == (5, 5_000_000, 7_000_000)
    assert rules.types == FILE_TYPES.keys()


@pytest.mark.gen_test
async def test_a_file_reaches_the_provider_and_its_mail(taking: Post, site: Site) -> None:
    from email import message_from_bytes

    from relay.core.mime import as_bytes
    from relay.store import documents

    name = 'x"\r\nBcc: a@b.c.txt'.replace("\r\n", "%0D%0A")
    reply = await taking("/rest/email/default", **multipart(FORM, [("a", name, b"hello")]))
    id = reply.headers["X-Relay-Message-Id"]
    stored = site.store.read_now(
        lambda c: c.exec_driver_sql("SELECT document FROM contents WHERE id = ?", (id,)).scalar()
    )
    mail = message_from_bytes(as_bytes(documents.load(id, stored)))
    [file] = [part for part in mail.walk() if part.get_filename()]
    assert file.get_payload(decode=True) == b"hello"
    assert mail["Bcc"] is None


@pytest.mark.gen_test
async def test_files_whose_brackets_do_not_count_from_zero_are_files_all_the_same(
    taking: Post, outbox: Outbox
) -> None:
    files = {"3": named("a.txt", b"a"), "7": named("b.txt", b"b")}
    reply = await taking("/rest/email/default", content={**FORM, "attachments": files})
    assert (reply.status, reply.json) == (200, SENT)
    stored = outbox.last()["document"]["attachments"]
    assert [one[0] for one in stored] == ["a.txt", "b.txt"]


@pytest.mark.parametrize(
    ("name", "value", "refused"),
    [
        ("photo", "plan.pdf", True),
        ("photo", "[object File]", True),
        ("photo", "My Plan (2).PDF", True),
        ("photo", "Lageplan für Ämter.jpeg", True),
        ("upload", "scan.2026.docx", True),
        ("file", "C:\\fakepath\\a.png", True),
        ("photo", "", False),
        ("photo", "none", False),
        ("page", "https://www.example.gov/plan.pdf", False),
        ("photo", "setup.exe", False),
        ("subject", "plan.pdf", False),
        ("message", "plan.pdf", False),
    ],
)
def test_a_file_of_which_only_the_name_came_is_refused(
    name: str, value: str, refused: bool
) -> None:
    urlencoded = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
    rules = AttachmentRules(2, 100, 200, frozenset({"pdf", "png", "jpeg", "docx"}))
    for headers in (urlencoded, {"content-type": "application/json"}):
        submission = Submission("default", freeze({name: value}), headers=headers)
        if refused and headers is urlencoded:
            with pytest.raises(InvalidSubmission) as caught:
                read(submission, rules)
            assert (list(caught.value.fields), caught.value.reason) == ([name], "attachments")
        else:
            assert read(submission, rules) == ()
    assert read(Submission("default", freeze({name: value}), headers=urlencoded), None) == ()
