"""Our own tasks, by category. Each says all that its check asks for: no surprises, and no single right wording."""

from __future__ import annotations

from gridtie.quality.task import Task
from gridtie.quality.tasks import code, configuration, data, long_context, review, tools

TASKS: dict[str, Task] = {
    task.name: task
    for tasks in (
        *(code.PYTHON, code.SHELL, configuration.YAML, data.SQL, data.JSON),
        *(review.REVIEW, tools.TOOLS, long_context.LONG_CONTEXT),
    )
    for task in tasks
}
