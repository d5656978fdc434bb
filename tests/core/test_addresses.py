"""Addresses: read strictly, listed by their ASCII form, written so that they read back."""

import contextlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.addresses import ANY_DOMAIN, Address, domain, listed, parse, parse_list, pattern
from tests.support.generated import examples

LOCAL = "abz0.!#$%&'`*+-/=^_{}|~?()\\\" éＡ"
ALLOWED = frozenset({"@example.gov", "desk@example.org", "@xn--exmple-cua.gov"})


@pytest.mark.parametrize(
    ("text", "email", "name"),
    [
        ("a@example.gov", "a@example.gov", ""),
        ("  a@example.gov\t", "a@example.gov", ""),
        ("A.B+c@EXAMPLE.Gov", "A.B+c@example.gov", ""),
        ("<a@example.gov>", "a@example.gov", ""),
        ("Jane Doe <a@example.gov>", "a@example.gov", "Jane Doe"),
        ("Jane Doe<a@example.gov>", "a@example.gov", "Jane Doe"),
        ("Jane < a@example.gov >", "a@example.gov", "Jane"),
        ("Sanitation <someone@example.gov>", "someone@example.gov", "Sanitation"),
        ('"Doe, Jane" <j@example.gov>', "j@example.gov", "Doe, Jane"),
        ('"" <a@example.gov>', "a@example.gov", ""),
        ('" Jane " <a@example.gov>', "a@example.gov", "Jane"),
        (r'"a \"b\" \\ c" <a@example.gov>', "a@example.gov", r'a "b" \ c'),
        ('"<b@evil.com>" <a@example.gov>', "a@example.gov", "<b@evil.com>"),
        ("Office (2nd floor) <a@example.gov>", "a@example.gov", "Office (2nd floor)"),
        ("J. O'Hara <a@example.gov>", "a@example.gov", "J. O'Hara"),
        ("Zoë 市役所 <a@example.gov>", "a@example.gov", "Zoë 市役所"),
        ("a@exämple.gov", "a@xn--exmple-cua.gov", ""),
        ("a@XN--EXMPLE-CUA.gov", "a@xn--exmple-cua.gov", ""),
        ("a@example。gov", "a@example.gov", ""),
        ("a@ＥＸＡＭＰＬＥ.gov", "a@example.gov", ""),
        ("!#$%&'`*+-/=^_{}|~@example.gov", "!#$%&'`*+-/=^_{}|~@example.gov", ""),
        ("a" * 64 + "@example.gov", "a" * 64 + "@example.gov", ""),
        ("Ja\u200bne\u202e <a@example.gov>", "a@example.gov", "Jane"),
    ],
)
def test_an_address_is_read_with_its_name(text: str, email: str, name: str) -> None:
    assert parse(text) == Address(email, name)


@pytest.mark.parametrize(
    ("phrase", "name"),
    [
        ('Jane "JD" Doe', "Jane JD Doe"),
        ('"Jane" Doe', "Jane Doe"),
        ('Doe "Jane"', "Doe Jane"),
        ('"Doe, Jane" (Parks)', "Doe, Jane (Parks)"),
        ('"Jane" "Doe"', "Jane Doe"),
        ('J."D".Doe', "J.D.Doe"),
        ('Jane "the \\"Boss\\"" Doe', 'Jane the "Boss" Doe'),
        ('Jane "a@evil.com" Doe', "Jane a@evil.com Doe"),
        ('"<b@evil.com>," Jane', "<b@evil.com>, Jane"),
        ('"Jane\\\\"', "Jane\\"),
        ('Jane "\\\\"', "Jane \\"),
        ('"//UwU\\\\\\\\"', "//UwU\\\\"),
        ('"" Jane ""', "Jane"),
        ('Zoë "市, 役所"', "Zoë 市, 役所"),
    ],
)
def test_a_name_may_mix_words_and_words_in_quotes(phrase: str, name: str) -> None:
    address = parse(f"{phrase} <a@example.gov>")
    assert address == Address("a@example.gov", name)
    assert parse(str(address)) == address
    assert parse_list(f"b@example.gov, {phrase} <a@example.gov>, {address}")[1:] == (address,) * 2


@pytest.mark.parametrize(
    ("phrase", "name"),
    [
        ("=?utf-8?q?Jane?=", "Jane"),
        ("=?UTF-8?B?SsO8cmdlbg==?=", "Jürgen"),
        ('"=?utf-8?b?SsO8cmdlbg==?="', "Jürgen"),
        ("=?iso-8859-1?Q?J=FCrgen_M=FCller?=", "Jürgen Müller"),
        ("=?windows-1252?Q?Sinead_O=92Hara?=", "Sinead O’Hara"),
        ("=?gb2312?B?ytDV/g==?=", "市政"),
        ("=?iso-2022-jp?B?GyRCO1RMcj1qGyhC?=", "市役所"),
        ("=?utf-8?q?J=C3?= =?utf-8?q?=BCrgen?=", "Jürgen"),
        ("=?utf-8?q?a?=  =?iso-8859-1?q?=FC?=", "aü"),
        ("Dr. =?utf-8?q?J=C3=BCrgen?= Doe", "Dr. Jürgen Doe"),
        ('=?utf-8?q?J=C3=BCrgen?= "JD" Doe', "Jürgen JD Doe"),
        ("=?utf-8*de?q?J=C3=BCrgen?=", "Jürgen"),
        ("=?utf-8?q?Doe=2C_Jane_=3Cb=40evil.com=3E?=", "Doe, Jane <b@evil.com>"),
        ("=?utf-8?q?=22Jane=5C?=", '"Jane\\'),
        ("=?utf-8?q?Ja=E2=80=AEne=E2=80=8B?=", "Jane"),
        ("=?utf-8?q?=3D=3Futf-8=3Fq=3FJane=3F=3D?=", "=?utf-8?q?Jane?="),
        ("=?utf-7?q?Ja+2AA-ne?=", "Ja?ne"),
        ('"\\=?utf-8?q?Jane?="', "=?utf-8?q?Jane?="),
        ("=?utf-8?q?=FF?=", "=?utf-8?q?=FF?="),
        ("=?utf-8?b?x?=", "=?utf-8?b?x?="),
        ("=?klingon?q?Jane?=", "=?klingon?q?Jane?="),
        ("=?zlib?b?eJw=?=", "=?zlib?b?eJw=?="),
        ("=?utf-8?x?Jane?=", "=?utf-8?x?Jane?="),
        ("=?utf-8?q?Jane", "=?utf-8?q?Jane"),
    ],
)
def test_an_encoded_name_is_decoded_once(phrase: str, name: str) -> None:
    address = parse(f"{phrase} <a@example.gov>")
    assert address == Address("a@example.gov", name)
    assert parse(str(address)) == address
    assert parse_list(f"{phrase} <a@example.gov>, {address}") == (address, address)


@pytest.mark.parametrize(
    "coded",
    [
        "=?utf-8?q?a=0D=0ABcc:_b=40evil.com?=",
        "=?utf-8?q?a=0ABcc=3A_b=40evil.com?=",
        "=?utf-8?b?YQpCY2M6IGJAZXZpbC5jb20=?=",
        '"=?utf-8?q?a=0Db?="',
        "=?utf-8?q?a=0A?= =?utf-8?q?b?=",
        "=?unicode_escape?q?a=5Cnb?=",
        "=?utf-7?q?a+AAo-b?=",
    ],
)
def test_what_an_encoded_name_says_is_one_line(coded: str) -> None:
    with pytest.raises(ValueError):
        parse(f"{coded} <a@example.gov>")


@pytest.mark.parametrize(
    "text",
    [
        "=?utf-8?q?b=40evil.com?=",
        "=?utf-8?q?Jane_=3Cb=40evil.com=3E?=",
        "<=?utf-8?q?b=40evil.com?=>",
        "Jane <=?utf-8?q?b=40evil.com?=>",
        "=?utf-8?q?b?=@evil.com",
        "=?utf-8?q?Jane?= b@evil.com",
    ],
)
def test_an_address_is_never_encoded(text: str) -> None:
    with pytest.raises(ValueError):
        parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "<>",
        "a",
        "a@",
        "@example.gov",
        "a@b@example.gov",
        "a@localhost",
        "a@example",
        "a@example.gov.",
        "a@.example.gov",
        "a@example..gov",
        "a@-example.gov",
        "a@example.gov-",
        "a@exa_mple.gov",
        "a@[127.0.0.1]",
        "a@127.0.0.1",
        "a@example.gov:25",
        ".a@example.gov",
        "a.@example.gov",
        "a..b@example.gov",
        "a b@example.gov",
        "a@example.gov b",
        "a@example.gov NOTIFY=NEVER",
        "a@example.gov,b@example.gov",
        "a@example.gov;b@example.gov",
        "a@evil.com <b@allowed.gov>",
        "alice@example.org]<bob@allowed.gov>",
        "<a@evil.com> <b@allowed.gov>",
        "<<a@example.gov>>",
        "a@example.gov>",
        "<a@example.gov",
        "<a@example.gov> x",
        "Jane <a@example.gov> (office)",
        "a@example.gov (office)",
        "(office) a@example.gov",
        "a(office)@example.gov",
        "a@(office)example.gov",
        '"a b"@example.gov',
        '"a"@example.gov',
        '"a@evil.com"@example.gov',
        "Doe, Jane <a@example.gov>",
        "Group: a@example.gov;",
        "Jane: <a@example.gov>",
        'Jane "Janey Doe <a@example.gov>',
        'Jane "Janey"" Doe <a@example.gov>',
        'Jane "Janey", Doe <a@example.gov>',
        'Jane "Janey" <b@evil.com> Doe <a@example.gov>',
        'a@evil.com "Jane" <a@example.gov>',
        'Jane\\ "Doe" <a@example.gov>',
        '"Jane <a@example.gov>',
        '"Jane\\" <a@example.gov>',
        "@route,@b:a@example.gov",
        "é@example.gov",
        "ａ@example.gov",
        "а@example.gov",
        "a?b@example.gov",
        "a\u200b@example.gov",
        "a@exa\u200bmple.gov",
        "a\u00ad@example.gov",
        "a\x00@example.gov",
        "a\n@example.gov",
        "a@example.gov\nBcc: b@example.gov",
        "a" * 65 + "@example.gov",
        "a@" + "b" * 64 + ".gov",
        "a@" + "b." * 126 + "gov",
        "mailto:a@example.gov",
        "a%40example.gov",
        "a@xn--.gov",
        "a@xn--a.gov",
    ],
)
def test_what_is_not_one_deliverable_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse(text)


@pytest.mark.parametrize(
    ("text", "email"),
    [
        ("clerk@city.local", "clerk@city.local"),
        ("Clerk <clerk@CITY.Local>", "clerk@city.local"),
        ("user@mailhost", "user@mailhost"),
        ("user@printer.home.arpa", "user@printer.home.arpa"),
        ("user@desk.internal", "user@desk.internal"),
        ("user@stra\u00dfe.local", "user@xn--strae-oqa.local"),
        ("user@city\u3002local", "user@city.local"),
        ("user@localhost", "user@localhost"),
        ("user@mail1", "user@mail1"),
        ("user@example.gov", "user@example.gov"),
        ("user@intranet.test", None),
        ("user@other.local", None),
        ("user@mail.city.local", None),
        ("user@city.local.evil.com", "user@city.local.evil.com"),
        ("user@local", None),
        ("user@home.arpa", None),
        ("user@mailhost.", None),
        ("user@mailhost.local", None),
        ("a@evil.local <user@mailhost>", None),
        ("user@mailhost@city.local", None),
        ("us er@city.local", None),
        ("\u00e9@city.local", None),
        ('"a"@city.local', None),
        ("user@city_local", None),
        ("user@-mailhost", None),
        ("user@127.0.0.1", None),
        ("user@1", None),
        ("user@[127.0.0.1]", None),
    ],
)
def test_special_use_domains_are_read_only_where_they_are_named(
    text: str, email: str | None
) -> None:
    named = {"city.local", "mailhost", "printer.home.arpa", "localhost", "mail1", "1", "127.0.0.1"}
    domains = frozenset(named | {"desk.internal", "xn--strae-oqa.local"})
    if email is None:
        with pytest.raises(ValueError):
            parse(text, domains)
        return
    assert parse(text, domains).email == email
    assert parse_list(f"{text}, {text}", domains)[1].email == email
    assert parse(text, ANY_DOMAIN).email == email
    if email.rpartition(".")[2] not in ("gov", "com", "internal"):
        with pytest.raises(ValueError):
            parse(text)
        assert pattern(f"@{email.rpartition('@')[2]}") == f"@{email.rpartition('@')[2]}"


@pytest.mark.parametrize("form", ['"Ja{}ne" <a@example.gov>', "Ja{}ne <a@example.gov>"])
def test_a_name_is_one_line(form: str) -> None:
    for broken in ("\n", "\r", "\r\nBcc: b@evil.com"):
        with pytest.raises(ValueError):
            parse(form.format(broken))
    for blank in ("\t", "\x00", "\x7f", "\x85", "\u2028"):
        assert parse(form.format(blank)).name == "Ja ne"


@pytest.mark.parametrize(
    ("text", "emails"),
    [
        ("a@example.gov", ["a@example.gov"]),
        ("a@example.gov,b@example.gov", ["a@example.gov", "b@example.gov"]),
        (" a@example.gov ,, b@example.gov, ", ["a@example.gov", "b@example.gov"]),
        ('"Doe, Jane" <j@example.gov>, b@example.gov', ["j@example.gov", "b@example.gov"]),
        ('"a\\", b" <j@example.gov>, b@example.gov', ["j@example.gov", "b@example.gov"]),
        ('"\\\\", b@example.gov', None),
        ('"Doe, Jane <j@example.gov>', None),
        ("a@example.gov;b@example.gov", None),
        ("a@example.gov b@example.gov", None),
        ("a@example.gov, evil", None),
        ("", []),
        (" , ,", []),
    ],
)
def test_a_list_is_split_at_commas_outside_quotes(text: str, emails: list[str] | None) -> None:
    if emails is not None:
        assert [address.email for address in parse_list(text)] == emails
        return
    with pytest.raises(ValueError):
        parse_list(text)


@pytest.mark.parametrize("count", [50, 51])
def test_a_list_has_fifty_addresses_at_most(count: int) -> None:
    text = ",".join(f"a{number}@example.gov" for number in range(count))
    if count == 50:
        assert len(parse_list(text)) == 50
        return
    with pytest.raises(ValueError):
        parse_list(text)


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("anyone@example.gov", True),
        ("ANYONE@EXAMPLE.GOV", True),
        ("Evil <anyone@example.gov>", True),
        ("desk@example.org", True),
        ("DESK@example.org", True),
        ("a@exämple.gov", True),
        ("a@EXÄMPLE.gov", True),
        ("a@example。gov", True),
        ("a@ｅｘａｍｐｌｅ.gov", True),
        ("desk+tag@example.org", False),
        ("other@example.org", False),
        ("frontdesk@example.org", False),
        ("a@evil-example.gov", False),
        ("a@evilexample.gov", False),
        ("a@example.gov.evil.com", False),
        ("a@mail.example.gov", False),
        ("a@example.gov-evil.com", False),
        ("a@gov", None),
        ("a@exаmple.gov", False),
        ("a@exámple.gov", False),
        ("a@example.goⅴ.evil.com", False),
        ("a@ехаmрlе.gov", False),
        ("a@example.com", False),
        ('"anyone@example.gov" <a@evil.com>', False),
        ("example.gov@evil.com", False),
        ("anyone%example.gov@evil.com", False),
        ("anyone!example.gov@evil.com", False),
        ("anyone%evil.com@example.gov", False),
        ("evil.com!anyone@example.gov", False),
        ("anyone%evil.com@example.org", False),
        ("a@evil.com <anyone@example.gov>", None),
        ("anyone@example.gov <a@evil.com>", None),
        ("anyone@example.gov@evil.com", None),
        ('"a@evil.com"@example.gov', None),
        ('"a"@evil.com@example.gov', None),
        ("a@evil.com(@example.gov)", None),
        ("a@evil.com,@example.gov", None),
        ("<a@evil.com>@example.gov", None),
        ("a@evil.com\x00@example.gov", None),
        ("a@evil.com\n@example.gov", None),
        ("a@[example.gov]", None),
        ("*", None),
        ("@example.gov", None),
    ],
)
def test_no_trick_gets_an_address_past_the_list(text: str, allowed: bool | None) -> None:
    if allowed is not None:
        assert listed(parse(text), ALLOWED) is allowed
        return
    with pytest.raises(ValueError):
        parse(text)


def test_nobody_is_in_an_empty_list_and_everybody_in_a_star() -> None:
    address = parse("a@example.gov")
    assert not listed(address, frozenset())
    assert listed(address, {"*"})


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("*", "*"),
        ("@example.gov", "@example.gov"),
        ("@EXAMPLE.Gov", "@example.gov"),
        ("@exämple.gov", "@xn--exmple-cua.gov"),
        ("Desk@Example.org", "desk@example.org"),
        ("", None),
        ("@", None),
        ("example.gov", None),
        ("@*", None),
        ("*@example.gov", "*@example.gov"),
        ("@*.example.gov", None),
        ("@example.gov, @example.org", None),
        ("@a@example.gov", None),
        ("Desk <desk@example.org>", None),
    ],
)
def test_an_entry_of_a_list_is_normalised_or_refused(text: str, normal: str | None) -> None:
    if normal is not None:
        assert pattern(text) == normal
        return
    with pytest.raises(ValueError):
        pattern(text)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("city.local", "city.local"),
        ("MailHost", "mailhost"),
        ("desk.home.arpa", "desk.home.arpa"),
        ("Stra\u00dfe.local", "xn--strae-oqa.local"),
        ("example.gov", "example.gov"),
        ("@city.local", None),
        ("a@city.local", None),
        ("*", None),
        ("*.local", None),
        ("10.0.0.1", None),
        ("[10.0.0.1]", None),
        ("city.local.", None),
        ("", None),
    ],
)
def test_a_domain_is_normalised_or_refused(text: str, normal: str | None) -> None:
    if normal is not None:
        assert domain(text) == normal
        return
    with pytest.raises(ValueError):
        domain(text)


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("", "a@example.gov"),
        ("Jane Doe", "Jane Doe <a@example.gov>"),
        ("Zoë", "Zoë <a@example.gov>"),
        ("Doe, Jane", '"Doe, Jane" <a@example.gov>'),
        ("J. Doe", '"J. Doe" <a@example.gov>'),
        ('a "b" \\ c', r'"a \"b\" \\ c" <a@example.gov>'),
        ("<b@evil.com>", '"<b@evil.com>" <a@example.gov>'),
        ("=?utf-8?q?x?=", '"\\=?utf-8?q?x?=" <a@example.gov>'),
        ("a;b:c(d)[e]@", '"a;b:c(d)[e]@" <a@example.gov>'),
    ],
)
def test_a_name_is_quoted_wherever_it_must_be(name: str, written: str) -> None:
    assert str(Address("a@example.gov", name)) == written


@examples(400)
@given(st.text(max_size=30) | st.text('"\\<>@,;:() .=?x\u00a0\u2003', max_size=12))
def test_every_name_that_is_accepted_reads_back_as_it_was(name: str) -> None:
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    for text in (f'"{quoted}" <a@example.gov>', f"{name} <a@example.gov>"):
        try:
            address = parse(text)
        except ValueError:
            continue
        assert parse(str(address)) == address
        assert parse_list(f"{address}, b@example.gov, {address}")[2] == address


@examples(300)
@given(st.text(LOCAL, max_size=12), st.text("aé.-_ö。1Ａ", max_size=12))
def test_every_address_that_is_accepted_is_plain_ascii_and_reads_back(
    local: str, domain: str
) -> None:
    try:
        address = parse(f"{local}@{domain}.gov")
    except ValueError:
        return
    assert address.email.isascii()
    assert address.email.count("@") == 1
    assert address.email.rpartition("@")[0] == local.lstrip()
    assert address.domain == address.domain.lower()
    assert parse(str(address)) == address


@examples(400)
@given(st.text('ab@.gov<>," \\\n\t', max_size=24))
def test_any_text_is_an_address_or_a_value_error(text: str) -> None:
    for read in (parse, parse_list, pattern):
        try:
            result = read(text)
        except ValueError:
            continue
        assert result or read is parse_list


@pytest.mark.parametrize("shape", ["<", ">", "@", '"', "\\", '\\"', ",", '"",', "a@b.co,", "<a@"])
@pytest.mark.parametrize("form", ["{}", "<{}>", '"{}" <a@example.gov>', "{}<a@example.gov>"])
def test_a_hostile_address_costs_next_to_nothing(form: str, shape: str) -> None:
    text = form.format(shape * (2**18 // len(shape)))
    started = time.process_time()
    for read in (parse, parse_list):
        with contextlib.suppress(ValueError):
            read(text)
    assert time.process_time() - started < 0.5
