"""What other objects need is written before them."""

from __future__ import annotations

from chatagent_operator.core.kinds import Wave
from tests.unit.core.simulation import Cluster


def test_dependencies_are_written_first() -> None:
    made = Cluster().plan()
    waves = {(write.kind, write.name): write.wave for write in made.writes}
    assert waves["ConfigMap", "shop-routes"] is Wave.WEIGHTS
    assert waves["Secret", "shop-redis"] < waves["StatefulSet", "shop-redis"]
    # The API server reads the Role before it accepts a binding to it.
    assert waves["Role", "shop-gateway"] < waves["RoleBinding", "shop-gateway"]
    pods = [wave for (kind, _), wave in waves.items() if kind in ("Deployment", "StatefulSet")]
    others = [waves[key] for key in waves if key[0] in ("ConfigMap", "Service", "ServiceAccount")]
    assert max(others) < min(pods)
    assert list(waves.values()) == sorted(waves.values())
