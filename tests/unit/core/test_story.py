"""Whole rollouts as stories: what a person would read, from the first look to the last."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from chatagent_operator.core.rollout.commands import Command
from tests.conftest import Golden
from tests.unit.core.simulation import Cluster, counted, spec

GOOD, BAD = counted(400, 1), counted(400, 80)


class Story:
    """A cluster, and what is told of it chapter by chapter."""

    def __init__(self, **changes: Any) -> None:
        self.changes = changes
        self.cluster = Cluster(spec=spec(**changes))
        self.told: list[str] = []
        self.commands = 0
        self.chapter("apply")

    def bump(self, image: str, **changes: Any) -> None:
        self.cluster.spec = spec(image, **(self.changes | changes))

    def command(self, action: Any, full: bool = False) -> None:
        self.commands += 1
        self.cluster.command = Command(str(self.commands), action, full=full)

    def chapter(self, title: str, wait: int = 0) -> None:
        cluster = self.cluster
        cluster.story.clear()
        cluster.wait(wait)
        status = cluster.status
        said = {"AsExpected", "NotPaused", "Accepted", "Resolved", "Available", "Indexed"}
        conditions = [
            f"{c.type}={c.status} {c.reason}" for c in status.conditions if c.reason not in said
        ]
        self.told += [
            f"# {title}",
            *(f"  {line}" for line in cluster.story),
            f"  {status.phase}: {status.rollout.message}",
            f"  weights {cluster.weights()}, pods {cluster.pods()}",
            f"  {', '.join(conditions)}",
        ]

    def until(self, title: str, done: Callable[[], bool], seconds: int = 30) -> None:
        """Go on in steps of so many seconds until something holds."""
        for _ in range(100):
            before = list(self.told)
            self.chapter(title, seconds)
            if self.told[len(before) :] == before[len(before) - len(self.told) :]:
                self.told = before  # nothing new: it goes on like this
            if done():
                return
        raise AssertionError("it never happens:\n" + "\n".join(self.told))

    @property
    def text(self) -> str:
        return re.sub(r" +$", "", "\n".join(self.told), flags=re.M) + "\n"


def good_by_default(story: Story) -> None:
    story.bump("runtime:2")
    story.chapter("bump the tag; nobody talks to it yet")
    story.cluster.tallies = {"runtime:1": GOOD, "runtime:2": GOOD}
    story.until("measure", lambda: story.cluster.status.canary_revision is None)


def bad_numbers(story: Story) -> None:
    story.cluster.tallies = {"runtime:1": GOOD, "runtime:2": BAD}
    story.bump("runtime:2")
    story.chapter("bump to one that answers 20 % errors")
    story.chapter("it stays out", wait=3600)
    story.command("retry")
    story.cluster.tallies = {"runtime:1": GOOD, "runtime:2": GOOD}
    story.until("retry, all is well", lambda: story.cluster.status.canary_revision is None)


def too_few_turns(story: Story) -> None:
    story.cluster.tallies = {"runtime:1": GOOD, "runtime:2": counted(3)}
    story.bump("runtime:2")
    story.until("measure", lambda: story.cluster.status.phase == "Paused")
    story.command("promote")
    story.chapter("a person says go on")
    story.until("measure", lambda: story.cluster.status.phase == "Paused")
    story.cluster.tallies = {"runtime:1": GOOD, "runtime:2": GOOD}
    story.until("people come", lambda: story.cluster.status.phase == "Canary")
    story.command("promote", full=True)
    story.chapter("and then skips the rest")


def pauses(story: Story) -> None:
    story.bump("runtime:2")
    story.chapter("bump the tag")
    story.command("promote")
    story.chapter("promote")
    story.command("pause")
    story.chapter("pause")
    story.chapter("some minutes", wait=300)
    story.command("resume")
    story.chapter("resume")
    story.chapter("ten minutes after the step has started", wait=300)
    story.bump("runtime:1")
    story.chapter("go back in the manifest: nothing to do, it is another revision now")


def back_and_forth(story: Story) -> None:
    story.bump("runtime:2")
    story.chapter("bump the tag")
    story.bump("runtime:1")
    story.chapter("take it back in the manifest")
    story.bump("runtime:2")
    story.chapter("and bump again")
    story.bump("runtime:3")
    story.chapter("another bump in mid-rollout")
    story.command("abort")
    story.chapter("abort")
    story.command("promote")
    story.chapter("promote what is gone")


def broken_image(story: Story) -> None:
    story.cluster.broken_images.add("runtime:2")
    story.bump("runtime:2")
    story.chapter("bump to an image that does not start")
    story.command("promote", full=True)
    story.chapter("promote it all the same")
    story.chapter("the deadline passes", wait=601)
    story.bump("runtime:3")
    story.chapter("a fixed one")


def no_room(story: Story) -> None:
    story.cluster.room = 3
    story.bump("runtime:2")
    story.chapter("bump with room for three pods in all")
    story.cluster.tallies = {"runtime:1": GOOD, "runtime:2": GOOD}
    story.until("measure", lambda: story.cluster.status.canary_revision is None)


def no_room_for_one(story: Story) -> None:
    story.cluster.room = 1
    story.bump("runtime:2")
    story.chapter("bump with room for one pod in all")
    story.chapter("nobody makes room", wait=601)


def old_conversations_drain(story: Story) -> None:
    story.bump("runtime:2")
    story.chapter("bump the tag: no steps")
    story.chapter("old conversations had their time", wait=1801)


def judged_by_answers(story: Story) -> None:
    story.bump("runtime:2")
    story.chapter("bump; the questions are not there yet")
    story.cluster.sources["questions"] = "beef"
    story.chapter("they are there")
    story.cluster.lost = 9
    story.chapter("its answers are worse")
    found = story.cluster.status.evaluation
    assert (found.verdict, found.report is not None) == ("Failed", True), "it stays readable"
    story.command("retry")
    story.cluster.lost = None
    story.chapter("retry")
    story.cluster.lost = 0
    story.chapter("its answers are as good")


def suspended(story: Story) -> None:
    story.bump("runtime:2")
    story.chapter("bump the tag")
    story.bump("runtime:2", suspend=True)
    story.command("abort")
    story.chapter("suspend")


def gateway_away(story: Story) -> None:
    story.cluster.gateway_follows = False
    story.bump("runtime:2")
    story.chapter("bump while the gateway does not follow")
    story.cluster.gateway_follows = True
    story.chapter("it follows again")


WAITING = {
    "steps": [{"setWeight": 10}, {"pause": {}}, {"setWeight": 40}, {"pause": {"duration": "10m"}}]
}
ASKED = {"configMap": {"name": "questions"}}
STORIES: dict[str, tuple[dict[str, Any], Callable[[Story], None]]] = {
    "good": ({}, good_by_default),
    "bad-numbers": ({}, bad_numbers),
    "too-few-turns": ({}, too_few_turns),
    "pauses": ({"rollout": WAITING}, pauses),
    "back-and-forth": ({}, back_and_forth),
    "broken-image": ({}, broken_image),
    "no-room": ({"replicas": 3}, no_room),
    "no-room-for-one": ({}, no_room_for_one),
    "drain": (
        {"rollout": {"steps": [], "affinity": {"onPromote": "drain"}}},
        old_conversations_drain,
    ),
    "blue-green": ({"replicas": 2, "rollout": {"strategy": "blueGreen"}}, good_by_default),
    "rolling": ({"replicas": 3, "rollout": {"strategy": "rolling"}}, good_by_default),
    "recreate": ({"replicas": 2, "rollout": {"strategy": "recreate"}}, good_by_default),
    "answers": ({"rollout": {"analysis": {"evaluation": ASKED}}}, judged_by_answers),
    "suspended": ({}, suspended),
    "gateway-away": ({}, gateway_away),
}


@pytest.mark.parametrize("name", STORIES)
def test_story(name: str, golden: Golden) -> None:
    changes, tell = STORIES[name]
    story = Story(**changes)
    tell(story)
    golden.check(f"rollout-{name}.txt", story.text)
