"""Every check, in the order in which a person would look: what is there, does it run, does it answer, is it right."""

from gridtie.host.doctor.check import Check
from gridtie.host.doctor.checks import (
    accounting,
    backups,
    containers,
    engine,
    files,
    firewall,
    generation,
    graphics,
    models,
    network,
    resources,
    router,
    service,
)

CHECKS: tuple[Check, ...] = (
    *files.CHECKS,
    *containers.CHECKS,
    *service.CHECKS,
    *engine.CHECKS,
    *models.CHECKS,
    *router.CHECKS,
    *generation.CHECKS,
    *accounting.CHECKS,
    *network.CHECKS,
    *firewall.CHECKS,
    *resources.CHECKS,
    *backups.CHECKS,
    *graphics.CHECKS,
)
