"""Guardrail coverage: a system counts if a detector there was enabled, and tested of late."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from telling import Telling, answered, facts, moment, span, time

from vault.guardrails import guards_of
from verify.case import Case
from verify.facts import Config, Detector, Finding, Validation

DAY = 60 * 24
Change = Callable[[Telling], None]


def counted(tell: Telling) -> dict[str, bool]:
    """Of each affected system, whether a registered detector covers it."""
    incident, described, _ = tell.fold()
    guards = guards_of(Case(incident, described, moment(4 * DAY)))
    return {
        system: any(each.counts for each in guards if each.system == system)
        for system in incident.systems
    }


def told(tell: Telling) -> list[str]:
    incident, described, _ = tell.fold()
    return [str(each) for each in guards_of(Case(incident, described, moment(4 * DAY)))]


def silent() -> Telling:
    """The runbook was followed, but nothing tells of the registered detector."""
    tell = answered()
    tell.drop("alert")
    return tell


def fired(at: float, *, system: str | None = None) -> Change:
    return lambda tell: tell.exhibit("fired", 7.2, "dlp_finding", system=system, facts=facts(
        findings=(Finding("dlp-1", "pii", 1, time(at), None),)))  # fmt: skip


def reported(tell: Telling) -> None:
    """A report in the window that the detector found nothing."""
    tell.exhibit("report", 7.2, "guardrail_alert",
                 facts=facts(detectors=(Detector("dlp-1"),), **span(-10, 20)))  # fmt: skip


def reported_untimed(tell: Telling) -> None:
    """A finding without a time of its own, in a report of the window."""
    tell.exhibit("report", 7.2, "guardrail_alert", facts=facts(
        findings=(Finding("dlp-1", "pii", 1, None, None),), **span(-10, 20)))  # fmt: skip


def nil(start: float = -DAY, **more: str) -> Change:
    return lambda tell: tell.attest(
        "nil", 60, "nil_return", kinds=["dlp_finding"], detector="dlp-1", from_=time(start),
        to=time(25), query="all", **more)  # fmt: skip


def configured(name: str = "dlp-1", read: float = 9) -> Change:
    return lambda tell: tell.exhibit(
        "guard", read, "config_snapshot", facts=facts(configs=(Config("guardrail", name, "7"),))
    )


def validated(at: float, result: str = "passed", name: str = "dlp-1") -> Change:
    return lambda tell: tell.attest(
        f"tested-{at}",
        max(at, 10),
        "validation",
        at=time(at),
        checks=["targeted_tests"],
        result=result,
        subject=name,
    )


def validated_by_record(at: float) -> Change:
    return lambda tell: tell.exhibit("scan", 10, "validation", facts=facts(
        validations=(Validation("dlp-1", "passed", time(at)),)))  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "covered"),
    [
        ([], False),
        # It fired in the window: it was on, and it works.
        ([fired(0)], True),
        ([fired(-2 * DAY)], False),
        # On, and tested.
        ([reported], False),
        ([reported, validated(5)], True),
        ([reported_untimed], False),
        ([reported_untimed, validated(5)], True),
        ([reported, validated_by_record(5)], True),
        ([reported, fired(-29 * DAY)], True),
        ([nil(), validated(5)], True),
        ([nil(start=-60), validated(5)], False),
        ([configured(), validated(5)], True),
        ([configured(read=600), validated(5)], False),
        ([configured("another"), validated(5)], False),
        # Tested alone shows nothing of whether it was on.
        ([validated(5)], False),
        # The window ends at 25, when it was contained: 30 days up to then.
        ([reported, validated(25 - 30 * DAY)], True),
        ([reported, validated(24 - 30 * DAY)], False),
        ([reported, validated(26)], False),
        ([reported, validated(5, name="another")], False),
        # The last test counts.
        ([reported, validated(5), validated(6, "failed")], False),
        ([reported, validated(5, "failed"), validated(6)], True),
    ],
)
def test_a_system_is_covered_by_a_detector_that_was_enabled_and_tested(
    changes: list[Change], covered: bool
) -> None:
    tell = silent()
    for change in changes:
        change(tell)
    assert counted(tell) == {"crm": covered}


def test_a_record_that_names_no_system_speaks_for_no_one_of_several() -> None:
    tell = silent()
    tell.change("declared", systems=["crm", "mail"])
    fired(0)(tell)
    assert counted(tell) == {"crm": False, "mail": False}
    tell.drop("fired")
    fired(0, system="mail")(tell)
    assert counted(tell) == {"crm": False, "mail": True}
    nil(system="crm")(tell)
    assert counted(tell) == {"crm": False, "mail": True}, "it fired elsewhere"
    validated(5)(tell)
    assert counted(tell) == {"crm": True, "mail": True}


def test_only_registered_detectors_count() -> None:
    tell = silent()
    fired(0)(tell)
    tell.rescope(detectors=["dlp-2"])
    assert counted(tell) == {"crm": False}
    tell.rescope(detectors=[])
    assert counted(tell) == {"crm": False}


def test_what_shows_it_is_named_and_what_is_not_shown_too() -> None:
    tell = answered()
    tell.rescope(detectors=["dlp-1", "dlp-2"])
    assert told(tell) == ["dlp-1 enabled (EV-0002), tested (EV-0002)", "dlp-2 not shown enabled"]
    tell = silent()
    reported(tell)
    assert told(tell) == ["dlp-1 enabled (EV-0002), not tested"]
