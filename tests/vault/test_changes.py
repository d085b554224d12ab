"""What differs between two reports: everything that does, and nothing else."""

from __future__ import annotations

import copy

from telling import answered, full_report, time

from vault.changes import Change, Changes, differences, without_former_words
from verify.strictjson import Object


def told(before: Object, after: Object) -> set[tuple[str, str, str | None, str | None]]:
    return {(each.what, each.id, each.before, each.after) for each in differences(before, after)}


def test_a_report_does_not_differ_from_itself() -> None:
    for report in (answered().report(), full_report()):
        assert differences(report, copy.deepcopy(report)) == []


def test_a_later_as_of_changes_clocks_and_expiries_alone() -> None:
    tell = answered()
    tell.drop("published")
    tell.waive(700, "K4.published")
    found = differences(tell.report(as_of=60), tell.report(as_of=60 * 24 * 200))
    assert {each.what for each in found} <= {"verdict", "state", "in_time", "clock", "waiver"}
    assert ("clock", "postmortem", "pending", "breached") in {
        (each.what, each.id, each.before, each.after) for each in found
    }


def test_what_was_captured_since_is_told_by_item_and_condition() -> None:
    before = answered()
    before.drop("grants")
    found = told(before.report(), answered().report())
    assert ("state", "C3", "partial", "satisfied") in found
    assert ("condition", "C3.permissions", "fail", "pass") in found
    assert not {each[1] for each in found if each[0] == "condition"} - {"C3.permissions"}


def test_a_contradiction_opens_and_a_finding_settles_it() -> None:
    report = full_report()
    assert [each.what for each in differences(answered().report(), report)].count(
        "contradiction"
    ) == 1
    settled = copy.deepcopy(report)
    settled["contradictions"][0]["closed_by"] = {"believed": "EV-0001", "link": 9, "reason": "r"}
    [change] = differences(report, settled)
    assert (change.what, change.before, change.after) == ("contradiction", "open", "settled")


def test_a_waiver_that_is_new_is_told_and_so_is_one_that_ended() -> None:
    tell = answered()
    plain = tell.report(as_of=800)
    tell.waive(700, "C3.permissions", valid_to=time(900))
    assert ("waiver", "W-0001", None, "live") in told(plain, tell.report(as_of=800))
    assert ("waiver", "W-0001", "live", "expired") in told(
        tell.report(as_of=800), tell.report(as_of=1000)
    )


def test_another_profile_is_told_first_after_the_verdict() -> None:
    before, after = answered().report(), answered().report()
    after["profile"] = {**after["profile"], "sha256": "0" * 64}
    [change] = differences(before, after)
    assert isinstance(change, Change)
    assert (change.what, (change.after or "")[-64:]) == ("profile", "0" * 64)


def test_forth_and_back_tell_the_same_things_the_other_way_round() -> None:
    one, two = answered().report(), full_report()
    assert told(one, two) == {(what, id_, b, a) for what, id_, a, b in told(two, one)}


def test_outside_the_vault_only_the_condition_of_a_contradiction_that_is_gone_is_told() -> None:
    gone = Change("contradiction", "C2.models: EV-0009 says Mallory", "open", None)
    here = Change("contradiction", "C2.models: EV-0001 says Ada", "open", "settled")
    other = Change("state", "C2", "contradicted", None)
    changes = Changes(4, 3, "2026-03-02T10:00:00Z", (gone, here, other))
    told = without_former_words(changes)
    assert [each.id for each in told.items] == ["C2.models", here.id, "C2"]
    assert (told.items[0].before, told.items[0].after) == ("open", None)
    unread = Changes(4, 3, "2026-03-02T10:00:00Z", (), "it is not compared: /home/ada/x: denied")
    assert "/home" not in str(without_former_words(unread).unreadable)
    assert without_former_words(changes).unreadable is None
