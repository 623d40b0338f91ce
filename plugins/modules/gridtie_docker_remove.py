#!/usr/bin/python
"""Remove what a compose project left in Docker."""

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import gridtie_docker
from ..module_utils.gridtie_progress import report

DOCUMENTATION = r"""
module: gridtie_docker_remove
short_description: Remove containers, networks, images and volumes of a compose project
description:
  - Finds them by the project's label and the images' name, so that no compose file is needed and a half removed project
    is removed in full. Nothing to find is no error, and neither is a Docker that does not run.
options:
  project:
    description: The compose project.
    type: str
    required: true
  services:
    description: Only the containers of these services; empty means all.
    type: list
    elements: str
    default: []
  networks:
    description: Whether the project's networks go, too.
    type: bool
    default: false
  volumes:
    description: Whether the project's volumes go, too, with what is in them.
    type: bool
    default: false
  images:
    description: Image repositories to remove, with all their tags, such as C(gridtie/router).
    type: list
    elements: str
    default: []
  bases:
    description:
      - Image repositories that several stations share; removed once no image made from them is left.
      - Images that stations pulled, and that were not here before, are removed with them.
    type: list
    elements: str
    default: []
  docker_host:
    description: Endpoint of the Docker; empty means the system's socket.
    type: str
    default: ""
author: Gridtie contributors
"""
EXAMPLES = r"""
- name: Remove the router
  gridtie.gridtie.gridtie_docker_remove:
    project: gridtie
    services: [router]
    images: [gridtie/router]
"""
RETURN = r"""
removed:
  description: What was removed, in words.
  type: list
  returned: always
unavailable:
  description: Why Docker could not be asked; empty where it could.
  type: str
  returned: always
"""


# Seconds for one thing to be removed: an image has gigabytes of files, on a disk that may be busy.
_REMOVAL_S = 300.0


class _Docker:
    def __init__(self, module: AnsibleModule) -> None:
        self._module = module
        self._cli = gridtie_docker.find_docker() or ""
        self._environment = {"DOCKER_HOST": module.params["docker_host"] or gridtie_docker.ROOT_SOCKET}
        self.removed: list[str] = []

    def unavailable(self) -> str:
        if not self._cli:
            return "there is no docker command"
        status, _, errors = gridtie_docker.run(
            [self._cli, "version", "--format", "{{.Server.Version}}"], self._environment
        )
        return "" if status == 0 else (errors.splitlines() or ["no answer"])[-1]

    def listed(self, *arguments: str) -> list[str]:
        status, output, errors = gridtie_docker.run([self._cli, *arguments], self._environment)
        if status != 0:
            self._module.fail_json(msg=f"docker {' '.join(arguments[:2])}: {errors}")
        return sorted(set(output.split()))

    def remove(self, what: str, names: list[str], *command: str) -> None:
        """Remove each by name. One that is gone by then is as good; an image that something else runs from stays."""
        for name in names:
            report(f"removing the {what} {name}")
            if not self._module.check_mode:
                status, _, errors = gridtie_docker.run([self._cli, *command, name], self._environment, _REMOVAL_S)
                problem = errors.lower() if status != 0 else ""
                if what == "image" and "conflict" in problem:
                    continue
                if problem and "no such" not in problem and "not found" not in problem:
                    self._module.fail_json(msg=f"the {what} {name} could not be removed: {errors}")
            self.removed.append(f"{what} {name}")

    def remove_pulled(self, names: list[str]) -> None:
        """Remove what stations pulled, by the name that each has for that and those that the pull gave it.

        One that a container is made of, be it of another station, stays with its names.
        """
        for name in names:
            if self.listed("ps", "--all", "--quiet", "--filter", f"ancestor={name}"):
                continue
            each = "{{range .RepoDigests}}{{.}} {{end}}{{range .RepoTags}}{{.}} {{end}}"
            given = self.listed("image", "inspect", "--format", each, name)
            digests = [one for one in given if "@" in one]
            pulled_from = {digest.partition("@")[0] for digest in digests}
            tags = [one for one in given if "@" not in one and one.rpartition(":")[0] in pulled_from]
            self.remove("image", [name, *tags, *digests], "image", "rm")


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec={
            "project": {"type": "str", "required": True},
            "services": {"type": "list", "elements": "str", "default": []},
            "networks": {"type": "bool", "default": False},
            "volumes": {"type": "bool", "default": False},
            "images": {"type": "list", "elements": "str", "default": []},
            "bases": {"type": "list", "elements": "str", "default": []},
            "docker_host": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    given = module.params
    docker = _Docker(module)
    unavailable = docker.unavailable()
    if unavailable:
        module.exit_json(changed=False, removed=[], unavailable=unavailable)
    project = f"label=com.docker.compose.project={given['project']}"
    container = ("ps", "--all", "--format", "{{.Names}}", "--filter", project)
    if given["services"]:
        names = [
            name
            for service in given["services"]
            for name in docker.listed(*container, "--filter", f"label=com.docker.compose.service={service}")
        ]
    else:
        names = docker.listed(*container)
    docker.remove("container", names, "rm", "--force", "--volumes")
    if given["networks"]:
        docker.remove(
            "network", docker.listed("network", "ls", "--format", "{{.Name}}", "--filter", project), "network", "rm"
        )
    if given["volumes"]:
        docker.remove(
            "volume", docker.listed("volume", "ls", "--format", "{{.Name}}", "--filter", project), "volume", "rm"
        )
    image = ("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", "--filter")
    repositories = list(given["images"])
    # What gridtie_image builds carries this label, whichever station it belongs to.
    made = [
        name for name in docker.listed(*image, "label=io.gridtie.image") if name.rpartition(":")[0] not in repositories
    ]
    if not made:
        repositories += given["bases"]
    for repository in repositories:
        images = docker.listed(*image, f"reference={repository}")
        # Not forced: an image that another project's container runs from stays.
        docker.remove("image", [image for image in images if not image.endswith(":<none>")], "image", "rm")
    if given["bases"] and not made:
        docker.remove_pulled(docker.listed(*image, f"reference={gridtie_docker.PULLED}"))
    diff = {"before": "".join(f"{name}\n" for name in docker.removed), "after": "", "before_header": "Docker"}
    module.exit_json(changed=bool(docker.removed), removed=docker.removed, unavailable="", diff=diff)


if __name__ == "__main__":
    main()
