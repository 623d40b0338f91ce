"""Run the project's tests against a machine from here, by the ways in that the playbook has."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.path import unfrackpath


class ActionModule(ActionBase):
    """Arguments: ``host`` (as testinfra names it), ``ssh_arguments``, ``ssh_key``, ``checkout``, ``config_dir``,
    ``junit`` (a file for what they came to, as JUnit XML, or empty).

    With ``become`` the tests get the password that sudo wants, from wherever Ansible has it. It travels through a pipe:
    neither a command line nor an environment shows it. Where the login itself wants one, they go through the connection
    that Ansible holds open.
    """

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run pytest to its end."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        given = self._task.args
        checkout = Path(given["checkout"]).resolve()
        command = [sys.executable, "-m", "pytest", "-q", "--color=no", f"--hosts={given['host']}"]
        arguments = f"{self._open_connection()} {given['ssh_arguments']}".strip()
        command += [f"--ssh-extra-args={arguments}", f"--ssh-identity-file={given['ssh_key']}"]
        if given.get("junit"):
            command.append(f"--junitxml={given['junit']}")
        done = run_with_password(
            [*command, str(checkout / "tests/verify")],
            self._password(),
            checkout,
            # As root it must not leave files in a person's checkout.
            {"GRIDTIE_CONFIG_DIR": given["config_dir"], "PYTHONDONTWRITEBYTECODE": "1"},
        )
        result.update(changed=False, rc=done.returncode, stdout=done.stdout, stderr=done.stderr)
        result["stage_note"] = (done.stdout.strip().splitlines() or [""])[-1]
        if done.returncode:
            result.update(failed=True, msg=f"tests/verify does not hold for {given['host']}")
        return result

    def _open_connection(self) -> str:
        """Options by which ssh needs no password of its own; none where the run logged in without one."""
        connection = self._connection
        # Others know no such option. The second is what --ask-pass was told.
        if connection.transport != "ssh" or not (connection.get_option("password") or self._play_context.password):
            return ""
        # It may have closed since the last task: this opens it again, and the tests keep it busy.
        self._low_level_execute_command("true")
        if not connection.control_path:
            raise AnsibleActionFail(
                "the inventory logs in with a password of SSH, and these tests would need the connection that Ansible "
                "shares, which ssh_args turns off: leave ControlMaster and ControlPersist in it, or log in with a key "
                "(ssh-copy-id)"
            )
        path = connection.control_path % {"directory": unfrackpath(connection.control_path_dir)}
        return f"-o ControlMaster=no -o ControlPath={shlex.quote(path)}"

    def _password(self) -> str:
        become = self._connection.become
        if become is None:
            return ""
        password = str(become.get_option("become_pass", playcontext=self._play_context) or "")
        if password and become.name.rpartition(".")[2] != "sudo":
            raise AnsibleActionFail(
                f"these tests know sudo, and the inventory says ansible_become_method: {become.name}"
            )
        return password


def run_with_password(
    command: list[str], password: str, directory: Path, variables: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    """The command's end; it finds the number of the pipe with the password in GRIDTIE_SUDO_PASSWORD_FD."""
    environ = {**os.environ, **variables}
    if not password:
        return subprocess.run(command, cwd=directory, env=environ, capture_output=True, text=True, check=False)
    reader, writer = os.pipe()
    try:
        # It fits into the pipe, so that nobody has to read yet.
        with os.fdopen(writer, "w", encoding="utf-8") as pipe:
            pipe.write(password)
        environ["GRIDTIE_SUDO_PASSWORD_FD"] = str(reader)
        return subprocess.run(
            command, cwd=directory, env=environ, pass_fds=[reader], capture_output=True, text=True, check=False
        )
    finally:
        os.close(reader)
