"""/api/tasks."""

from dev.openapi.operations import Answer, Operation, as_json
from lib.problems import NotFound, TasksFull
from lib.users.tasks import TaskIdQuery, TaskQuery

THIS = {"id": "$response.body#/id"}

NEXT = {"cursor": "$response.body#/next_cursor"}

OPERATIONS = {
    ("GET", "/api/tasks"): Operation(
        name="listTasks",
        summary="List the user's tasks",
        caller="user",
        query=TaskQuery,
        answers={200: as_json("TaskPage", "One page, newest first.", links={"listTasks": NEXT})},
    ),
    ("POST", "/api/tasks"): Operation(
        name="addTask",
        summary="Add a task",
        caller="user",
        body="NewTask",
        answers={201: as_json("Task", "The task.", links={"changeTask": THIS, "deleteTask": THIS})},
        problems=(TasksFull,),
    ),
    ("PATCH", "/api/tasks"): Operation(
        name="changeTask",
        summary="Change a task",
        caller="user",
        query=TaskIdQuery,
        body="TaskChange",
        answers={200: as_json("Task", "The task.")},
        problems=(NotFound,),
    ),
    ("DELETE", "/api/tasks"): Operation(
        name="deleteTask",
        summary="Delete a task",
        caller="user",
        query=TaskIdQuery,
        answers={204: Answer("It is deleted.")},
        problems=(NotFound,),
    ),
}
