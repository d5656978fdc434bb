"""What moving templates to a place would change there, told before anything is changed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from relay.core.errors import TypesDiffer
from relay.templates.changes import Change
from relay.templates.rules import TemplateDraft


class Step(NamedTuple):
    """A draft, and what it changes."""

    draft: TemplateDraft
    change: Change


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps that would make a place hold some drafts, layouts first; and what would stay.

    unchanged: those of the drafts that it holds already. others: what only it has.
    """

    steps: Sequence[Step]
    unchanged: Sequence[str]
    others: Sequence[str]


def planned(drafts: Sequence[TemplateDraft], there: Sequence[TemplateDraft], place: str) -> Plan:
    """Compare whole drafts with the whole templates of a place; raise TypesDiffer.

    They are matched by alias. One that has none, on either side, is matched by its number.
    """
    steps, unchanged, matched = [], [], set()
    for draft in sorted(drafts, key=lambda draft: draft.type != "Layout"):
        known = _match(draft, there)
        if known is not None and known.type != draft.type:
            words = f"{label(draft)} is a {known.type} in {place}, not a {draft.type}"
            raise TypesDiffer(words)
        matched.add(known.id if known else None)
        if known is not None and _same(known, draft):
            unchanged.append(label(draft))
        else:
            steps.append(Step(draft, _change(draft, known)))
    return Plan(steps, unchanged, [label(one) for one in there if one.id not in matched])


def _match(draft: TemplateDraft, there: Sequence[TemplateDraft]) -> TemplateDraft | None:
    for known in there:
        if draft.alias and known.alias:
            if draft.alias == known.alias:
                return known
        elif draft.id == known.id:
            return known
    return None


def label(draft: TemplateDraft) -> str:
    """Name a template for people: by its alias, or by its number."""
    return draft.alias or f"number {draft.id}"


def _change(draft: TemplateDraft, known: TemplateDraft | None) -> Change:
    kind = "Layout" if draft.type == "Layout" else "Standard"
    id = None if known is None else known.id
    action = "Create" if known is None else "Edit"
    return Change(action, id, draft.alias or "", draft.name or "", kind)  # type: ignore[arg-type]


def _same(one: TemplateDraft, other: TemplateDraft) -> bool:
    return all(
        (getattr(one, part) or "") == (getattr(other, part) or "")
        for part in ("name", "subject", "html", "text", "layout")
    )
