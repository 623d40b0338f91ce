"""Docker and the station's containers: running, of the right image, hardened as declared."""

from __future__ import annotations

from typing import Any

from gridtie.host.doctor.check import Check, Finding, bad, good
from gridtie.host.doctor.look import Look


def answers(look: Look) -> Finding:
    ran = look.docker("version", "--format", "{{.Server.Version}}")
    if ran.status == 0:
        return good(f"Docker Engine {ran.out.strip()}")
    said = (ran.err or ran.out).strip()[:300]
    if "permission denied" in said:
        return bad(said, "access to the Docker daemon", "run it with sudo")
    return bad(said, "a running Docker daemon", "start Docker (`systemctl start docker`), or run `make site`")


def exist(look: Look) -> Finding:
    missing = [name for role, name in look.containers.items() if role not in look.inspected]
    if missing:
        return bad(
            f"there is no container {', '.join(missing)}", ", ".join(look.containers.values()), "run `make site`"
        )
    return good(", ".join(look.containers.values()))


def running(look: Look) -> Finding:
    wrong = []
    for role, name in look.containers.items():
        state = look.inspection(role)["State"]
        if not state.get("Running"):
            wrong.append(f"{name} is {state.get('Status')} (exit status {state.get('ExitCode')})")
        elif (health := state.get("Health", {}).get("Status", "without a health check")) != "healthy":
            wrong.append(f"{name} is {health}")
    if wrong:
        names = " ".join(look.containers.values())
        return bad("; ".join(wrong), "running and healthy", f"see `docker logs` of {names}; `make site` starts them")
    return good(f"{', '.join(look.containers.values())} run and are healthy")


def image(look: Look) -> Finding:
    wanted = str(look.engine.get("image"))
    found = str(look.inspection("engine")["Config"]["Image"]) if "engine" in look.containers else wanted
    if found != wanted:
        return bad(found, wanted, "run `make site`: it replaces the container")
    return good(found, wanted)


def hardened(look: Look) -> Finding:
    wanted = (
        "a user of its own that is not root, read-only, no capabilities, no new privileges, memory and process limits"
    )
    # Root in the containers of a rootless Docker or of Docker Desktop is the ordinary user whom that Docker belongs to.
    rootless = any("rootless" in option for option in look.daemon.get("SecurityOptions") or ())
    rootless = rootless or "Docker Desktop" in look.daemon.get("OperatingSystem", "")
    soft = [
        f"{name}: {', '.join(gaps)}"
        for role, name in look.containers.items()
        if (gaps := _gaps(look.inspection(role), rootless, look.native))
    ]
    # On a Mac both are the person's, whose files Docker's virtual machine shows them.
    if "engine" in look.containers and look.user_of("engine") == look.user_of("router") and not look.probe.mac:
        soft.append("engine and router are one user")
    if soft:
        return bad("; ".join(soft), wanted, "run `make site`; do not start the containers by hand")
    return good(", ".join(look.containers.values()) + _unenforced(look.daemon), wanted)


def _unenforced(daemon: dict[str, Any]) -> str:
    """What this Docker accepts and does not enforce; a rootless one needs cgroup v2 for limits."""
    limits = {"memory": "MemoryLimit", "process": "PidsLimit"}
    missing = [name for name, field in limits.items() if daemon.get(field) is False]
    return f"; this Docker does not enforce {' and '.join(missing)} limits (no cgroups)" if missing else ""


def _gaps(inspection: dict[str, Any], rootless: bool, native: bool) -> list[str]:
    """What a container has beyond what is declared. Beside a native engine the router is on the host's network."""
    host = inspection["HostConfig"]
    user = str(inspection["Config"].get("User") or "").split(":")[0]
    mounts = [mount.get("Source", "") for mount in inspection.get("Mounts", ())]
    gaps = {
        "runs as root": user in ("", "0", "root") and not rootless,
        "is privileged": host.get("Privileged"),
        "has a writable root": not host.get("ReadonlyRootfs"),
        "keeps capabilities": "ALL" not in [cap.upper() for cap in host.get("CapDrop") or ()]
        or bool(host.get("CapAdd")),
        "may gain privileges": not any(
            o.startswith("no-new-privileges") and not o.endswith("false") for o in host.get("SecurityOpt") or ()
        ),
        "has no process limit": not (host.get("PidsLimit") or 0) > 0,
        "has no memory limit": not (host.get("Memory") or 0) > 0,
        "shares the host's processes": host.get("PidMode") == "host",
        "shares the host's IPC": host.get("IpcMode") == "host",
        "shares the host's network": host.get("NetworkMode") == "host" and not native,
        "holds the Docker socket": any(source.endswith("docker.sock") for source in mounts),
    }
    return [gap for gap, there in gaps.items() if there]


CHECKS = (
    Check("docker.answers", "the Docker daemon answers", answers, needs=("config.station",)),
    Check("containers.exist", "the containers are there", exist, needs=("docker.answers",)),
    Check("containers.running", "the containers run and are healthy", running, needs=("containers.exist",)),
    Check("containers.image", "the engine runs the image that was built for it", image, needs=("containers.exist",)),
    Check("containers.hardened", "the containers are hardened as declared", hardened, needs=("containers.exist",)),
)
