"""YAML, and Ansible tasks, judged by what they mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gridtie.quality.checks import ansible_task, equals, yaml_value
from gridtie.quality.task import Task, texts, user


def _yaml(name: str, asked: str, holds: Callable[[Any], str], right: str, *wrong: str) -> Task:
    return Task(
        name=f"yaml-{name}",
        category="yaml",
        messages=user(f"{asked} Answer with YAML alone, in one code block."),
        check=yaml_value(holds),
        right=texts(f"```yaml\n{right}\n```", right),
        wrong=texts(*(f"```yaml\n{each}\n```" for each in wrong), "a: [", "I would use a file."),
        max_tokens=250,
    )


YAML = (
    _yaml(
        "services",
        "Write a mapping `services` with two entries: `web` has image nginx:1.27 and the list `ports` with the text "
        '"8080:80"; `db` has image postgres:17 and no ports.',
        equals({"services": {"web": {"image": "nginx:1.27", "ports": ["8080:80"]}, "db": {"image": "postgres:17"}}}),
        'services:\n  web:\n    image: nginx:1.27\n    ports:\n      - "8080:80"\n  db:\n    image: postgres:17',
        'services:\n  web:\n    image: nginx:1.27\n    ports: "8080:80"\n  db:\n    image: postgres:17',
        "services:\n  - web\n  - db",
    ),
    _yaml(
        "text-that-looks-like-others",
        'Write a mapping in which `version` is the text "1.10", `country` the text "NO" and `count` the number 10.',
        equals({"version": "1.10", "country": "NO", "count": 10}),
        'version: "1.10"\ncountry: "NO"\ncount: 10',
        "version: 1.10\ncountry: NO\ncount: 10", 'version: "1.10"\ncountry: NO\ncount: 10',
    ),
    _yaml(
        "lines",
        "Write a mapping with the key `script`, whose value is a text of two lines: `set -eu` and `make test`, each with "
        "its line end.",
        equals({"script": "set -eu\nmake test\n"}),
        "script: |\n  set -eu\n  make test", "script: >\n  set -eu\n  make test", "script:\n  - set -eu\n  - make test",
    ),
    _yaml(
        "ansible-package", "Write one Ansible task that installs the package git with the module package.",
        ansible_task("package", {"name": "git", "state": "present"}),
        "- name: Install git\n  ansible.builtin.package:\n    name: git\n    state: present",
        "- name: Install git\n  ansible.builtin.package:\n    name: git\n    state: absent",
        "- name: Install git\n  ansible.builtin.command: apt-get install git",
    ),
    _yaml(
        "ansible-directory",
        "Write one Ansible task that makes the directory /srv/data, owned by the user app, with mode 0750 as a text.",
        ansible_task("file", {"path": "/srv/data", "state": "directory", "owner": "app", "mode": "0750"}),
        '- name: Make it\n  ansible.builtin.file:\n    path: /srv/data\n    state: directory\n    owner: app\n    mode: "0750"',
        "- name: Make it\n  ansible.builtin.file:\n    path: /srv/data\n    state: directory\n    owner: app\n    mode: 0750",
        '- name: Make it\n  ansible.builtin.file:\n    path: /srv/data\n    owner: app\n    mode: "0750"',
    ),
    _yaml(
        "ansible-service",
        "Write one Ansible task, with privilege escalation, that sees to it that the service nginx runs now and starts at "
        "boot, with the module service.",
        ansible_task("service", {"name": "nginx", "state": "started", "enabled": True}, become=True),
        "name: Run nginx\nansible.builtin.service:\n  name: nginx\n  state: started\n  enabled: true\nbecome: true",
        "name: Run nginx\nansible.builtin.service:\n  name: nginx\n  state: started\n  enabled: true",
        "name: Run nginx\nansible.builtin.service:\n  name: nginx\n  state: restarted\n  enabled: true\nbecome: true",
    ),
    _yaml(
        "ansible-when",
        "Write one Ansible task that runs the command `ufw status` with the module command, only where "
        "ansible_os_family is Debian, and that is never reported as changed.",
        ansible_task("command", {}, when="ansible_os_family == 'Debian'", changed_when=False),
        "- name: Look\n  ansible.builtin.command: ufw status\n  when: ansible_os_family == 'Debian'\n  changed_when: false",
        "- name: Look\n  ansible.builtin.command: ufw status\n  when: ansible_os_family == 'Debian'",
        "- name: Look\n  ansible.builtin.command: ufw status\n  changed_when: false",
    ),
    _yaml(
        "ansible-line",
        "Write one Ansible task that sees to it that /etc/hosts contains the line `10.0.0.5 build`, with the module "
        "lineinfile.",
        ansible_task("lineinfile", {"path": "/etc/hosts", "line": "10.0.0.5 build"}),
        "- name: Name it\n  ansible.builtin.lineinfile:\n    path: /etc/hosts\n    line: 10.0.0.5 build",
        "- name: Name it\n  ansible.builtin.lineinfile:\n    path: /etc/hosts\n    regexp: build",
        "- ansible.builtin.shell: echo 10.0.0.5 build >> /etc/hosts",
    ),
)  # fmt: skip
