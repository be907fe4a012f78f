"""Which language a file is written in, told by its name and its first line; and how many lines it has."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

_EXTENSIONS = {
    "Assembly": "asm s",
    "Batch": "bat cmd",
    "C": "c h",
    "C#": "cs csx",
    "C++": "cc cpp cxx hh hpp hxx",
    "CMake": "cmake",
    "CSS": "css",
    "CSV": "csv tsv",
    "Clojure": "clj cljs cljc",
    "Common Lisp": "lisp lsp",
    "Dart": "dart",
    "Elixir": "ex exs",
    "Elm": "elm",
    "Erlang": "erl hrl",
    "F#": "fs fsx",
    "Fortran": "f f90 f95",
    "Go": "go",
    "GraphQL": "graphql gql",
    "Groovy": "groovy gradle",
    "HTML": "html htm xhtml",
    "Haskell": "hs",
    "INI": "ini cfg conf properties",
    "JSON": "json jsonl ndjson webmanifest",
    "Java": "java",
    "JavaScript": "js mjs cjs jsx",
    "Jinja": "jinja jinja2 j2",
    "Julia": "jl",
    "Jupyter": "ipynb",
    "Kotlin": "kt kts",
    "Less": "less",
    "Lua": "lua",
    "Markdown": "md markdown mdx",
    "Nix": "nix",
    "OCaml": "ml mli",
    "Objective-C": "m mm",
    "PHP": "php",
    "Pascal": "pas",
    "Perl": "pl pm",
    "PowerShell": "ps1 psm1",
    "Protocol Buffers": "proto",
    "Python": "py pyi pyw",
    "R": "r",
    "Ruby": "rb rake gemspec",
    "Rust": "rs",
    "SQL": "sql",
    "SVG": "svg",
    "Sass": "scss sass",
    "Scala": "scala sbt",
    "Shell": "sh bash zsh fish ksh",
    "Svelte": "svelte",
    "Swift": "swift",
    "TOML": "toml",
    "Terraform": "tf tfvars hcl",
    "Text": "txt text",
    "TypeScript": "ts tsx mts cts",
    "Vue": "vue",
    "XML": "xml xsd xsl xslt plist",
    "YAML": "yaml yml",
    "Zig": "zig",
    "reStructuredText": "rst",
}
_NAMES = {
    "CMake": "cmakelists.txt",
    "Dockerfile": "dockerfile containerfile",
    "Go module": "go.mod go.sum",
    "Groovy": "jenkinsfile",
    "INI": ".editorconfig .gitconfig .flake8 .npmrc",
    "Ignore list": ".gitignore .dockerignore .npmignore",
    "Makefile": "makefile gnumakefile",
    "Ruby": "gemfile rakefile",
    "Shell": ".bashrc .profile .zshrc",
    "TOML": "pipfile cargo.lock poetry.lock uv.lock",
    "Text": "license readme copying authors changelog notice",
}
_INTERPRETERS = {
    "bash": "Shell",
    "dash": "Shell",
    "fish": "Shell",
    "ksh": "Shell",
    "lua": "Lua",
    "node": "JavaScript",
    "perl": "Perl",
    "php": "PHP",
    "pwsh": "PowerShell",
    "python": "Python",
    "rscript": "R",
    "ruby": "Ruby",
    "sh": "Shell",
    "zsh": "Shell",
}
_BY_EXTENSION = {f".{extension}": name for name, extensions in _EXTENSIONS.items() for extension in extensions.split()}
_BY_NAME = {file: name for name, files in _NAMES.items() for file in files.split()}
_SHEBANG = re.compile(rb"#!\s*(?:\S*/env\s+(?:-S\s+)?(?:\w+=\S*\s+)*)?(?:\S*/)?([A-Za-z]+)")

OTHER = "Other"


def language_of(path: str, content: bytes) -> str:
    """The name of the language, OTHER when it cannot be told. `content` may be just the file's beginning."""
    name = PurePosixPath(path).name.lower()
    known = _BY_NAME.get(name) or _BY_EXTENSION.get(PurePosixPath(name).suffix)
    return known or _by_shebang(content) or OTHER


def code_and_blank(content: bytes) -> tuple[int, int]:
    """How many lines have something in them, and how many have not."""
    lines = content.splitlines()
    blank = sum(1 for line in lines if not line.strip())
    return len(lines) - blank, blank


def _by_shebang(content: bytes) -> str | None:
    match = _SHEBANG.match(content)
    return _INTERPRETERS.get(match[1].decode().lower()) if match else None
