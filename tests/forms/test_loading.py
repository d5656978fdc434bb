"""The loader of a server's forms: whatever is given, what `Schema.load` says and nothing else."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import (
    EXCLUDE,
    RAISE,
    Schema,
    ValidationError,
    fields,
    post_load,
    pre_load,
    validate,
    validates,
    validates_schema,
)

from relay.config import settings
from relay.core.immutable import freeze
from relay.forms.declared import DeclaredFields
from relay.forms.email_form import EmailForm, Form
from relay.forms.fields import (
    Choice,
    HiddenLine,
    Html,
    Line,
    Link,
    NotOffered,
    Rows,
    SendTime,
    Text,
    WholeNumber,
)
from relay.forms.loading import Loader
from relay.hooks import loader
from tests.support.generated import examples

ROOT = Path(__file__).parents[2]

DECLARATION = DeclaredFields().deserialize(
    {
        "permit": {"required": True, "max": 20, "alias": ["permit_no", "nr"]},
        "visitors": {"kind": "integer", "min": 1, "max": 9},
        "story": {"kind": "text", "max": 30},
        "markup": {"kind": "html", "required": True},
        "street": "line",
        "when": {"kind": "choice", "choices": ["am", "pm"]},
        "site": "link",
        "agreed": "yes_no",
        "contact": "address",
        "message": {"required": True},
    }
)


class EveryKind(EmailForm):
    """A form as the authors of plugins write them."""

    message_required = False
    html_required = Html(required=True)
    hidden = HiddenLine(load_default=None, max=10)
    choice = Choice(("one", "two"), load_default="one")
    number = WholeNumber(min=1, max=9, load_default=None)
    url = Link(load_default=None)
    refused = NotOffered("not offered", load_default=None)
    when = SendTime(load_default=None, clock=lambda: 1_000_000_000.0)
    senddatetime = SendTime(load_default=None, clock=lambda: 1_000_000_000.0)
    made = fields.List(fields.Integer(), load_default=lambda: [1, 2])
    short = Text(load_default=None, validate=[validate.Length(max=5), validate.Regexp("[a-z]*$")])
    absent = Line()
    nested = fields.Nested(Schema.from_dict({"a": fields.Integer(required=True), "b": Line()}))
    rows = Rows(Schema.from_dict({"a": WholeNumber(required=True)})(), load_default=())
    renamed = Line(data_key="label", load_default="nobody")
    moved = Line(attribute="put", load_default=None)
    upper = fields.String(pre_load=[str], post_load=[str.upper], allow_none=True)
    written = fields.Integer(dump_only=True)


class Strict(EveryKind):
    subject_required = False

    class Meta:
        unknown = RAISE
        exclude = ("tag",)


class Careful(fields.Field[Any]):
    """A field that says by itself what it is where it was not given."""

    def deserialize(self, value: Any, *rest: Any, **more: Any) -> Any:
        if value is fields.missing_:
            raise ValidationError("is wanted")
        return [value]


class Wanted(fields.Field[Any]):
    """The same, in another way."""

    def _validate_missing(self, value: Any) -> None:
        if value is fields.missing_:
            raise ValidationError("is wanted as well")


def broken_default() -> None:
    raise ValidationError("has no default")


Bare = Schema.from_dict(
    {
        "subject": fields.String(required=True),
        "number": fields.Integer(load_default=broken_default),
        "message": Careful(),
        "wanted": Wanted(),
        "a": fields.Boolean(load_default=False),
    }
)


class Processed(EveryKind):
    @pre_load
    def _a_before(self, data: Any, **kwargs: Any) -> Any:
        return {**data, "subject": "changed"}


class Finished(EveryKind):
    @post_load
    def _a_made(self, data: Any, **kwargs: Any) -> Any:
        return {**data, "more": "more"}


class Judged(EveryKind):
    @validates("subject")
    def _judge(self, value: Any, data_key: str) -> None:
        raise ValidationError("is wrong")


class JudgedWhole(EveryKind):
    @validates_schema
    def _judge(self, data: Any, **kwargs: Any) -> None:
        raise ValidationError("is wrong", "subject")


class Replaced(EveryKind):
    @validates_schema(pass_original=True, skip_on_field_errors=False)
    def _says_something(self, data: Any, original: Any, **kwargs: Any) -> None:
        raise ValidationError("says nothing")


class Silent(EveryKind):
    def _form(self, data: Any, original: Any, **kwargs: Any) -> Any:
        raise AssertionError("no processor: it is called by nobody")


class Loading(EveryKind):
    def load(self, data: Any, **options: Any) -> Any:
        return super().load({**data, "subject": "loaded"}, **options)


class Handling(EveryKind):
    def handle_error(self, error: ValidationError, data: Any, **kwargs: Any) -> None:
        raise ValidationError({"handled": [*error.messages_dict]})


class Lacking(EveryKind):
    def lacks(self, *arguments: Any) -> Any:
        return {"everything": ["is missing"]}


class Inside(EmailForm):
    deep = Line(attribute="a.b", load_default=None)


class Twice(EmailForm):
    one = Line(data_key="same", required=True)
    other = WholeNumber(data_key="same", required=True, load_only=True)


class Ordered(EmailForm):
    class Kept(dict[str, Any]):
        pass

    dict_class = Kept


def replaced_on_itself() -> Schema:
    schema = EveryKind()
    schema.handle_error = Handling().handle_error
    return schema


DIRECT: dict[str, Callable[[], Schema]] = {
    "every kind": EveryKind,
    "strict": Strict,
    "template": lambda: EveryKind(template="welcome"),
    "aliases": lambda: EmailForm(aliases={"mail": "from_address", "x": "free"}),
    "exclude": lambda: EveryKind(unknown=EXCLUDE),
    "only": lambda: EveryKind(only=("subject", "from_address", "message", "number")),
    "declared": DECLARATION.form,
    "declared freely": lambda: DECLARATION.form(subject_required=False, to=(), template=7),
    "bare": lambda: Bare(),
    "bare including": lambda: Bare(unknown="include"),
    "bare excluding": lambda: Bare(unknown=EXCLUDE),
}
OWN: dict[str, Callable[[], Schema]] = {
    **{
        kind.__name__: kind
        for kind in (Processed, Finished, Judged, JudgedWhole, Replaced, Silent, Loading, Handling)
    },
    **{kind.__name__: kind for kind in (Lacking, Inside, Twice, Ordered)},
    "partial": lambda: EveryKind(partial=True),
    "partly": lambda: EveryKind(partial=("to_address", "html_required")),
    "not partial": lambda: EveryKind(partial=False),
    "many": lambda: EveryKind(many=True),
    "replaced on itself": replaced_on_itself,
}


@cache
def shipped() -> dict[str, Schema]:
    """The schemas of the servers in the settings that Relay comes with."""
    read = settings.load(ROOT / "settings.toml", {})
    chains = loader.build(read, read.keys)
    return {name: chain.schema for name, chain in chains.items() if chain.schema is not None}


@cache
def schemas() -> dict[str, Schema]:
    made = {name: make() for name, make in {**DIRECT, **OWN}.items()} | shipped()
    for schema in made.values():  # dates are read twice
        if "senddatetime" in schema.fields:
            schema.fields["senddatetime"].clock = lambda: 1_000_000_000.0
    return made


HOSTILE = st.sampled_from(
    [
        *(None, "", " ", "\n", "\u200b\u00ad", "\x00", "\ud800", "x\x00\u2028y", "a\nb", "\r\nx"),
        *("x" * 300, "😀" * 501, "x" * 2001, "<script>x</script>", "<p>a</p>", "<b> </b>"),
        *(0, 1, 7, 1.0, 1.5, -3, 10**20, True, False, 1e300, "7", "007", " 3 ", "yes", "no"),
        *([], {}, [1, 2], ["a", None], {"a": "1"}, {"a": "x", "b": "y"}, [{"a": "1"}, {"a": "x"}]),
        *(["x\x00"], {"n": ["\ud800", {"m": " "}]}, (), b"bytes", b"\xff"),
        *([{"Name": "X-A", "Value": "1"}], {"X-A": 3}, [{"Name": "X A", "Value": "1"}]),
        *("a@b.example.com", "A B <a@b.example.com>", "a@b", "a@b.gov, c@d.gov", "@", '"x'),
        *("1000000500", "1000", "monday", "9" * 40, "one", "am", "https://example.gov", "http://"),
    ]
) | st.text(max_size=8)
NAMES = sorted(
    {name for schema in (EveryKind, Strict, Bare) for name in schema().fields}
    | {field.name for field in DECLARATION.fields}
    | {"to", "recipient", "body", "TemplateID", "permit_no", "nr", "mail", "x", "free", "put"}
    | {"label", "same", "unknown", "_schema", "a.b", "deep"}
)
GOOD = {
    "to_address": "desk@example.gov",
    "from_address": "A Resident <r@example.com>",
    "subject": "A pothole",
    "message": "On Main St.",
    "html_required": "<p>x</p>",
    "permit": "7",
    "markup": "<b>x</b>",
}


def outcome(load: Callable[[Any], Any], data: Any) -> Any:
    """What comes of a form, or what is raised with all that it says."""
    try:
        loaded = load(data)
    except ValidationError as error:
        said = error.messages_dict
        # Which unknown field comes first, marshmallow leaves to chance.
        names = [name for name in said if said[name] != ["Unknown field."]]
        return said, names, error.data, error.valid_data, error.field_name
    except Exception as error:  # noqa: BLE001 - of an author's mistake, or of what is no form
        return type(error), str(error)
    if not isinstance(loaded, Form):
        return type(loaded), loaded
    return dict(loaded), loaded.submitted, loaded.aliases, loaded.warnings, loaded.used


def own_names(schema: Schema) -> list[str]:
    return [*schema.fields, *getattr(schema, "aliases", ())]


def assert_same(name: str, data: Any) -> None:
    schema = schemas()[name]
    assert outcome(Loader(schema).load, data) == outcome(schema.load, data)


@pytest.mark.slow
@examples(3000)
@given(st.data())
def test_a_loader_says_what_the_schema_says(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(schemas())))
    names = st.sampled_from(own_names(schemas()[name])) | st.sampled_from(NAMES)
    good = data.draw(st.sampled_from([{}, GOOD, {**GOOD, "nested": {"a": 1}}]))
    form = {**good, **data.draw(st.dictionaries(names, HOSTILE, max_size=4))}
    assert_same(name, data.draw(st.sampled_from([form, freeze(form)])))


@pytest.mark.parametrize("name", [*DIRECT, *OWN])
@pytest.mark.parametrize(
    "data",
    [
        GOOD,
        {},
        {"unknown": "x", "b": "y"},
        {**GOOD, "subject": "x" * 2001, "from_address": "nobody", "unknown": "\x00x"},
        {"to": "a@b.example.com", "to_address": "c@d.example.com"},
        {"to": "a@b.example.com", "to_address": "a@b.example.com", "message": "<script>"},
        {**GOOD, "label": "x", "renamed": "y", "put": "z", "moved": "w", "a.b": 1},
        {**GOOD, "hidden": "x" * 20, "nested": {"b": "x"}},
        {**GOOD, "html_required": "<script>x</script>", "HtmlBody": "<i></i>"},
        {"_schema": "x", "same": "y"},
        [GOOD],
        "no form",
        None,
    ],
)
def test_what_is_no_plain_form_makes_no_difference_either(name: str, data: Any) -> None:
    assert_same(name, data)


@pytest.mark.parametrize("name", [*DIRECT, *OWN])
def test_a_schema_whose_author_has_a_hand_in_loading_loads_by_itself(name: str) -> None:
    assert Loader(schemas()[name]).is_direct == (name in DIRECT)


def test_the_shipped_plugins_schemas_are_loaded_directly() -> None:
    assert all(Loader(schema).is_direct for schema in shipped().values())
    assert len(shipped()) > 6


def test_a_default_that_is_made_is_made_for_each_form() -> None:
    load = Loader(EveryKind()).load
    one, other = load(GOOD), load(GOOD)
    assert one["made"] == other["made"] == [1, 2]
    assert one["made"] is not other["made"]


def test_a_field_is_asked_once_whether_a_form_is_good_or_not() -> None:
    asked = []
    schema = Schema.from_dict(
        {"code": fields.String(validate=lambda code: asked.append(code)), "n": fields.Integer()}
    )()
    load = Loader(schema).load
    assert load({"code": "a", "n": 1}) == {"code": "a", "n": 1}
    with pytest.raises(ValidationError):
        load({"code": "b", "n": "x"})
    assert asked == ["a", "b"]
