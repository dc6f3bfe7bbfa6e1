"""A whole rollout as a story: what a person would read, from the first look to the last."""

from __future__ import annotations

import re

from chatagent_operator.core.rollout import Command
from tests.conftest import Golden
from tests.unit.core.simulation import Cluster, spec


def test_bump_promote_bump_abort(golden: Golden) -> None:
    cluster = Cluster()
    told: list[str] = []

    def chapter(title: str) -> None:
        cluster.story.clear()
        cluster.settle()
        status = cluster.status
        told.append(f"# {title}")
        told.extend(f"  {line}" for line in cluster.story)
        told.append(
            f"  phase {status.phase}, stable {status.stable_revision}, "
            f"canary {status.canary_revision}, failed {status.failed_revision}, "
            f"weights {cluster.weights()}"
        )
        told.extend(
            f"    {c.type}={c.status} {c.reason}" for c in status.conditions if c.type != "Accepted"
        )

    chapter("apply")
    cluster.spec = spec("runtime:2")
    chapter("bump the tag")
    cluster.command = Command("1", "promote")
    chapter("promote")
    cluster.spec = spec("runtime:3")
    cluster.broken_images.add("runtime:3")
    chapter("bump to an image that does not start")
    cluster.command = Command("2", "promote")
    chapter("promote it all the same")
    cluster.command = Command("3", "abort")
    chapter("abort")
    cluster.spec = spec("runtime:2")
    chapter("go back in the manifest")
    cluster.spec = spec("runtime:2", suspend=True)
    chapter("suspend")
    golden.check("rollout.txt", re.sub(r" +$", "", "\n".join(told), flags=re.M) + "\n")
