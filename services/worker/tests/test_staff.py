"""How many children there are: the floor always, more under load, fewer after it."""

from __future__ import annotations

import multiprocessing
from typing import TYPE_CHECKING, cast

from alsek_worker.children import Child
from alsek_worker.ledger import Ledger
from alsek_worker.settings import IDLE_GROUP_MS, MOST_BOOT_FAILURES, Crew, Settings
from alsek_worker.staff import PRESSURE_MS, SETTLED_MS, Staff

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

CREW = Crew("thread", floor=1, ceiling=3, concurrency=2)


class Office:
    """Hires children that are no processes, and hears what they are told."""

    def __init__(self) -> None:
        self.now = 1_000
        self.ears: dict[Child, multiprocessing.connection.Connection] = {}

    def hire(self, crew: Crew) -> Child:
        ours, theirs = multiprocessing.Pipe()
        nobody = cast("BaseProcess", None)
        child = Child(crew, Settings(), nobody, ours, Ledger(4), born_ms=self.now, ready=True)
        self.ears[child] = theirs
        return child


def test_the_floor_is_filled_and_a_leaver_replaced() -> None:
    office = Office()
    staff = Staff(Crew("process", 2, 2, 1), office.hire)

    assert staff.fill(office.now) == 0
    assert len(staff.children) == 2
    staff.children[0].leaving = True
    staff.fill(office.now)

    assert len(staff.children) == 3


def test_a_group_is_added_when_all_have_been_full_for_a_while() -> None:
    office = Office()
    staff = Staff(CREW, office.hire)
    staff.fill(office.now)
    staff.children[0].ledger.full_since_ms = office.now

    staff.look(office.now + PRESSURE_MS - 1)
    assert staff.wanted == 1
    staff.look(office.now + PRESSURE_MS)

    assert staff.wanted == 2


def test_the_ceiling_holds_and_groups_that_boot_are_waited_for() -> None:
    office = Office()
    staff = Staff(CREW, office.hire)
    staff.fill(office.now)
    staff.pressed()
    staff.fill(office.now)
    staff.children[1].ready = False

    staff.pressed()
    assert staff.wanted == 2
    staff.children[1].ready = True
    for _ in range(5):
        staff.pressed()
        staff.fill(office.now)

    assert len(staff.children) == CREW.ceiling


def test_an_idle_extra_group_is_drained_the_youngest_first() -> None:
    office = Office()
    staff = Staff(CREW, office.hire)
    for _ in range(2):
        staff.fill(office.now)
        office.now += 1
        staff.pressed()
    staff.fill(office.now)
    staff.children[0].ledger.hold("uuid", "token", 0)

    staff.look(office.now)
    staff.look(office.now + IDLE_GROUP_MS - 1)
    assert not any(child.leaving for child in staff.children)
    staff.look(office.now + IDLE_GROUP_MS)

    assert [child.leaving for child in staff.children] == [False, False, True]
    assert office.ears[staff.children[2]].recv() == ("drain",)
    assert staff.fill(office.now + IDLE_GROUP_MS) == 0


def test_the_floor_is_kept_however_idle() -> None:
    office = Office()
    staff = Staff(CREW, office.hire)
    staff.fill(office.now)

    staff.look(office.now)
    staff.look(office.now + 10 * IDLE_GROUP_MS)

    assert not staff.children[0].leaving


def test_children_that_die_at_once_are_tried_again_with_pauses_and_then_given_up() -> None:
    office = Office()
    staff = Staff(CREW, office.hire)
    pauses = []
    while not staff.hopeless:
        staff.fill(office.now)
        [child] = staff.children
        child.ready, child.failure = False, "no luck"
        staff.left(child, office.now, busy=False)
        pauses.append(staff.fill(office.now) - office.now)
        office.now += pauses[-1]

    assert len(pauses) == MOST_BOOT_FAILURES
    assert pauses == sorted(pauses)
    assert pauses[0] > 0
    assert staff.last_failure == "no luck"


def test_a_child_that_died_of_its_work_is_replaced_without_a_pause() -> None:
    office = Office()
    staff = Staff(CREW, office.hire)
    staff.fill(office.now)
    staff.children[0].failure = "killed"

    staff.left(staff.children[0], office.now + 5, busy=True)

    assert staff.fill(office.now + 5) == 0
    assert len(staff.children) == 1


def test_a_child_that_has_settled_in_clears_earlier_failures() -> None:
    office = Office()
    staff = Staff(CREW, office.hire)
    staff.fill(office.now)
    staff.children[0].ready, staff.children[0].failure = False, "no luck"
    staff.left(staff.children[0], office.now, busy=False)
    office.now += 60_000
    staff.fill(office.now)

    staff.look(office.now + SETTLED_MS + 1)

    assert staff.boot_failures == 0
