"""git_repo and github_repo: turn the files of a repository into documents."""

from __future__ import annotations

import os
import re
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

from pydantic import Field, field_validator, model_validator

from app.steps.file_documents import SOURCE_TYPE, batch_name, has_extension, save_file
from app.steps.outside.addresses import AllowHosts
from app.steps.repository import Repository, RepositoryFile, checked_address, is_remote
from app.steps.repository_host import checked_host
from app.steps.source_tree import globs, printable
from app.work.step_type import Context, PermanentError, Settings, StepType, WorkItem

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class RepositorySettings(Settings):
    """What both have in common."""

    branch: str = ""
    """A branch or tag; without one, the repository's main branch."""
    depth: int = Field(1, ge=1, le=1_000_000)
    """How many commits are fetched; the files are those of the newest."""
    extensions: list[str] = Field(default_factory=list)
    """Such as ["py", ".toml"], in any case; none means every file."""
    exclude_paths: list[str] = Field(default_factory=list)
    """Patterns in the language of .gitignore."""
    max_file_size: int = Field(1 << 20, ge=1, le=1 << 30)
    """In bytes; larger files are left out, with a line in the log."""
    max_files: int = Field(50_000, ge=1)
    """A repository with more files is refused."""
    max_size: int = Field(1 << 30, ge=1)
    """In bytes, of what is transferred; the fetch of a larger repository is ended."""
    token_variable: str = ""
    """The variable of the server's environment that holds an access token, for what not everybody may read."""
    tags: list[str] = Field(default_factory=list)
    batch_size: int = Field(50, ge=1, le=1000)
    """Files per work item."""
    allow_hosts: AllowHosts = Field(default_factory=list)
    """Hosts that are reached though their addresses are not public."""

    @field_validator("exclude_paths")
    @classmethod
    def _are_patterns(cls, patterns: list[str]) -> list[str]:
        globs(tuple(patterns))
        return patterns

    @field_validator("branch")
    @classmethod
    def _is_a_branch(cls, branch: str) -> str:
        if branch and (not re.fullmatch(r"[\w.][\w./@#=,-]*", branch) or re.search(r"\.\.|@\{|//|/$|\.lock$", branch)):
            raise ValueError(f"{branch!r} is not the name of a branch or tag")
        return branch


class GitRepoSettings(RepositorySettings):
    url: str
    """https://, ssh://, http://, file://, user@host:path, or the path of a repository on this machine."""

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, url: str) -> str:
        return checked_address(url)

    @model_validator(mode="after")
    def _keeps_the_token(self) -> GitRepoSettings:
        _check_token_is_safe(self.url, self.token_variable)
        return self


class GithubRepoSettings(RepositorySettings):
    owner: str
    """The user or organisation."""
    repo: str
    """The repository's name."""
    server: str = "https://github.com"
    """Another one for GitHub Enterprise."""

    @field_validator("owner", "repo")
    @classmethod
    def _is_a_name(cls, name: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", name):
            raise ValueError(f"{name!r} is not a name on GitHub; give the owner and the repository each by itself")
        return name

    @field_validator("server")
    @classmethod
    def _is_a_server(cls, server: str) -> str:
        if not re.fullmatch(r"https?://[A-Za-z0-9.:\[\]-]+", server.rstrip("/")):
            raise ValueError(f"{server!r} is not a server; it is written like https://github.com")
        return server.rstrip("/")

    @model_validator(mode="after")
    def _keeps_the_token(self) -> GithubRepoSettings:
        _check_token_is_safe(self.server, self.token_variable)
        return self


S = TypeVar("S", bound=RepositorySettings)


@dataclass(frozen=True, slots=True)
class Source:
    url: str
    """Where it is fetched from."""
    address: str
    """What the addresses of its documents begin with."""


class RepositoryImport(StepType[S]):
    """First one work item that fetches; it adds one for each batch of files."""

    timeout = 900.0

    @abstractmethod
    def source(self, settings: S) -> Source: ...

    def plan(self, context: Context[S]) -> Iterator[WorkItem]:
        yield WorkItem(f"fetch {printable(self.source(context.settings).url)}")

    def run(self, context: Context[S], item: WorkItem) -> dict[str, Any]:
        """Of the fetch: the commit, and how many files there are to import. Of a batch: how many files were imported,
        unchanged or gone. Raises PermanentError, or FetchFailed when another time may do."""
        if item.input is None:
            return self._fetch(context)
        outcomes = self._import(context, item.input)
        context.log(", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common()))
        return dict(outcomes)

    def _fetch(self, context: Context[S]) -> dict[str, Any]:
        settings, source = context.settings, self.source(context.settings)
        repository = Repository.of(source.url)
        context.log(f"fetching {printable(source.url)}")
        addresses = checked_host(source.url, settings.allow_hosts)
        token = _token(settings.token_variable)
        commit = repository.fetch(source.url, settings.branch, settings.depth, settings.max_size, token, addresses)
        context.log(f"commit {printable(repository.subject(commit))}")
        present: set[str] = set()
        wanted = self._wanted(context, repository, commit, present)
        batches = iter(lambda: list(islice(wanted, settings.batch_size)), [])
        every = list(batches)  # before any is added: a repository with too many files adds none
        for batch in every:
            files = [[file.relative, file.blob] for file in batch]
            name = batch_name([file.relative for file in batch])
            context.spawn(WorkItem(name, {"repository": str(repository.folder), "files": files}))
        self._remove_gone(context, source, present)
        count = sum(map(len, every))
        context.log(f"{count:,} files to import")
        return {"commit": commit, "files": count}

    def _wanted(
        self, context: Context[S], repository: Repository, commit: str, present: set[str]
    ) -> Iterator[RepositoryFile]:
        """The files that are to be imported; `present` gets the paths of all."""
        settings = context.settings
        exclude = globs(tuple(settings.exclude_paths))
        for raw, file in repository.files(commit):
            shown = printable(file.relative)
            if len(present) == settings.max_files:
                raise PermanentError(f"it has more than {settings.max_files:,} files; max_files can be set higher")
            present.add(file.relative)
            if exclude.match_file(file.relative) or not has_extension(file.relative, settings.extensions):
                continue
            if file.relative.encode("utf-8", "replace") != raw:
                context.log(f"{shown}: skipped, its name is not UTF-8", "warn")
            elif file.size > settings.max_file_size:
                context.log(f"{shown}: skipped, it is larger than {settings.max_file_size:,} bytes")
            else:
                yield file

    def _import(self, context: Context[S], batch: dict[str, Any]) -> Counter[str]:
        settings, source = context.settings, self.source(context.settings)
        repository = Repository(Path(batch["repository"]))
        if not repository.folder.is_dir():
            raise PermanentError(f"{repository.folder} is gone, where the repository was kept; run it again")
        outcomes: Counter[str] = Counter()
        contents = repository.contents(blob for _, blob in batch["files"])
        for (relative, blob), content in zip(batch["files"], contents, strict=False):
            if content is None:
                context.log(f"{printable(relative)}: skipped, the commit is not kept any more", "warn")
                outcomes["gone"] += 1
                continue
            address = f"{source.address}/{relative}"
            facts = {"repository": source.url, "branch": settings.branch, "blob": blob}
            outcomes[save_file(context, self.name, address, relative, content, facts, settings.tags)] += 1
        return outcomes

    def _remove_gone(self, context: Context[S], source: Source, present: set[str]) -> None:
        """Removes the documents of files that are not in the repository any more."""
        exclude = globs(tuple(context.settings.exclude_paths))
        gone = 0
        for document in context.documents(source_type=SOURCE_TYPE, under=source.address, bodies=False):
            relative = document.address[len(source.address) + 1 :]
            ours = document.metadata.get(self.name, {}).get("repository") == source.url  # not one inside this one
            if ours and relative not in present and not exclude.match_file(relative):
                context.delete_document(document.address)
                gone += 1
        if gone:
            context.log(f"{gone:,} documents removed, their files are gone")


class GitRepo(RepositoryImport[GitRepoSettings]):
    name = "git_repo"
    summary = "Fetches a git repository and imports its files as documents, only those that have changed."
    settings_type = GitRepoSettings
    page_patterns = MappingProxyType({"url": "https?://.*"})  # the keys of ssh are those of the server's user

    def source(self, settings: GitRepoSettings) -> Source:
        url = settings.url.rstrip("/") if is_remote(settings.url) else str(Path(settings.url).expanduser().resolve())
        return Source(url, f"git:{url}@{settings.branch}" if settings.branch else f"git:{url}")


class GithubRepo(RepositoryImport[GithubRepoSettings]):
    name = "github_repo"
    summary = "Fetches a repository from GitHub and imports its files as documents, only those that have changed."
    settings_type = GithubRepoSettings

    def source(self, settings: GithubRepoSettings) -> Source:
        page = f"{settings.server}/{settings.owner}/{settings.repo}"
        return Source(f"{page}.git", f"{page}/blob/{quote(settings.branch or 'HEAD')}")


def _token(variable: str) -> str:
    if not variable:
        return ""
    token = os.environ.get(variable, "").strip()
    if not token or not token.isascii() or not token.isprintable():
        raise PermanentError(f"{variable} is not set to a token in the environment of this server")
    return token


def _check_token_is_safe(url: str, variable: str) -> None:
    if not variable:
        return
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", variable, re.ASCII):
        raise ValueError("token_variable is the name of a variable of the environment, not the token itself")
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        raise ValueError("a token is only sent over https; give an https:// address or leave token_variable out")
