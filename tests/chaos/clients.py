"""A client of a server that may die at any moment. It writes down what it was answered, and what it was not."""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from typing import Any

import httpx

from tests.chaos.journal import Journal

MOST_RUNS = 30
"""Beyond that, runs that are over are deleted."""


class Dead(Exception):
    """The server does not answer any more, or says that its database does not."""


class Client:
    """Does at random what people do. `asked` counts every request under a name of its own."""

    def __init__(self, chance: random.Random, journal: Journal) -> None:
        self._chance = chance
        self._journal = journal
        self.asked: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()

    def load(self, url: str, requests: int) -> None:
        """That many things to do, or as many as there are until the server is dead."""
        with httpx.Client(base_url=url, timeout=20, trust_env=False) as http:
            try:
                for _ in range(requests):
                    self._do_something(http)
            except Dead:
                return

    def _do_something(self, http: httpx.Client) -> None:
        jobs = self._get(http, "/api/jobs?kind=manager&limit=100")["jobs"]
        active = [job for job in jobs if job["finished_at"] is None]
        over = [job for job in jobs if job["finished_at"] is not None]
        for job in over:
            self._journal.saw({**job, "attempt": 0})
        if len(active) < 3:
            self._start(http)
            return
        if len(jobs) > MOST_RUNS and over:
            self._delete(http, over[-1]["id"])
        what = self._chance.choice(["look", "look", "cancel", "cancel item", "retry", "retry"])
        if what == "look":
            self._look(http, self._chance.choice(jobs)["id"])
        elif what == "cancel" and self._chance.random() < 0.4:
            manager_id = self._chance.choice(active)["id"]
            self._act(http, "cancellation", manager_id, manager_id)
        elif what == "cancel item":
            items = self._get(http, f"/api/jobs?kind=worker&status=running&manager_id={active[0]['id']}")["jobs"]
            if items:
                self._act(http, "cancellation", self._chance.choice(items)["id"], active[0]["id"])
        elif what == "retry" and over:
            self._retry(http, self._chance.choice(over[:8])["id"])

    def _look(self, http: httpx.Client, manager_id: int) -> None:
        for job in self._get(http, f"/api/jobs?kind=worker&manager_id={manager_id}&limit=200")["jobs"]:
            self._journal.saw(job)

    def _retry(self, http: httpx.Client, manager_id: int) -> None:
        seen = self._get(http, f"/api/jobs?kind=worker&manager_id={manager_id}&limit=200")["jobs"]
        self._journal.retries(manager_id, {job["id"] for job in seen})
        self._act(http, "retries", manager_id, manager_id)

    def _start(self, http: httpx.Client) -> None:
        answer = self._ask(http, "start", "POST", "/api/jobs", json={"definition": "chaos"})
        if answer:
            self._journal.started.append(answer["job_id"])

    def _delete(self, http: httpx.Client, manager_id: int) -> None:
        self._journal.deleted.add(manager_id)
        if self._ask(http, "delete", "DELETE", f"/api/jobs/{manager_id}"):
            self._journal.gone.add(manager_id)

    def _act(self, http: httpx.Client, what: str, job_id: int, manager_id: int) -> None:
        who = f"chaos-{sum(self.asked.values())}"
        self._journal.unanswered.add(who)
        answer = self._ask(http, what, "POST", f"/api/jobs/{job_id}/{what}", headers={"X-Stepglass-Actor": who})
        self._journal.unanswered.discard(who)
        if answer:
            self._journal.acknowledged[who] = (what, manager_id)

    def _get(self, http: httpx.Client, path: str) -> Any:
        return self._request(http, "GET", path).raise_for_status().json()

    def _request(self, http: httpx.Client, method: str, path: str, **more: Any) -> httpx.Response:
        try:
            answer = http.request(method, path, **more)
        except httpx.TransportError as error:
            raise Dead from error
        if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
            raise Dead(answer.text)
        return answer

    def _ask(self, http: httpx.Client, what: str, method: str, path: str, **more: Any) -> Any:
        """The answer, if it says that it is done; None if it says why not."""
        self.asked[what] += 1
        answer = self._request(http, method, path, **more)
        if answer.status_code == httpx.codes.ACCEPTED:
            self.answered[what] += 1
            return answer.json()
        assert answer.status_code in (404, 409), answer.text
        return None


class Follower(threading.Thread):
    """Follows the events of a server until its end, and keeps the ends of runs that it heard of."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self._url = url
        self.ends: list[tuple[int, str]] = []
        self.start()

    def run(self) -> None:
        try:
            with httpx.stream("GET", f"{self._url}/api/events", timeout=60, trust_env=False) as stream:
                for line in stream.iter_lines():
                    if line.startswith("data:"):
                        self._hear(json.loads(line[5:]))
        except httpx.TransportError:
            return

    def _hear(self, fact: dict[str, Any]) -> None:
        if fact["context"] == "job" and fact["status"] in ("completed", "failed", "cancelled"):
            self.ends.append((fact["job_id"], fact["status"]))
