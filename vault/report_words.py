"""What a completeness report says of waivers and citations, in the same words in every view. Pure.

It takes reports as `verify.checklist.assess` makes them, and judges nothing itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from vault.custody import exhibit_ranges, waived_text
from verify.strictjson import Object


def waivers_of(report: Object) -> dict[str, Object]:
    """A report's waivers by their numbers."""
    return {each["id"]: each for each in report["waivers"]}


def reported_waiver_text(waiver: Object, *conditions: str) -> str:
    """What a waiver lifts, until when, by whose approval; of these conditions alone, if any."""
    return waived_text(
        conditions or waiver["conditions"],
        scope=waiver["scope"],
        until=waiver["valid_to"],
        approved_by=waiver["approved_by"],
        authenticated=waiver["authenticated"],
    )


def waived_texts(conditions: Iterable[Object], waivers: Mapping[str, Object]) -> list[str]:
    """What live waivers lift of an item's conditions, a text for each waiver."""
    lifted: dict[str, list[str]] = {}
    for condition in conditions:
        for number in condition["waivers"]:
            lifted.setdefault(number, []).append(condition["id"])
    return [reported_waiver_text(waivers[number], *names) for number, names in lifted.items()]


def upheld_text(waiver: Object) -> str:
    """Which items count as waived because of a waiver: those of which it covers all that is open.

    Others may hold up the same item together with it.
    """
    items = dict.fromkeys(each.partition(".")[0] for each in waiver["covers"])
    if not items:
        return "no item counts as waived by it"
    return f"{', '.join(items)} {'counts' if len(items) == 1 else 'count'} as waived"


def cited_text(holder: Object) -> str:
    """Exhibits as ranges, of very many the first ones and how many there are, then links."""
    listed, count = holder["exhibits"], holder["exhibits_count"]
    told = exhibit_ranges(listed)
    if count > len(listed):
        told += " and more"
    if count > 1:
        told += f" ({count:,})"
    links = holder.get("links", ())
    if links:
        word = "link" if len(links) == 1 else "links"
        told += f"{', ' if told else ''}{word} {', '.join(str(each) for each in links)}"
    return told
