"""The documents keep up with the code: generated pages are current, links lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(p for p in DOCS.rglob("*.md") if "_build" not in p.parts) + [
    ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")
]


def _mentioned(page: str) -> str:
    return (DOCS / "reference" / page).read_text()


def test_the_generated_reference_is_current() -> None:
    done = subprocess.run(
        [sys.executable, DOCS / "generate.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_setting_is_described_in_words() -> None:
    from pydantic import BaseModel

    from tutela.settings import Settings

    text = _mentioned("settings.md")
    for section, field in Settings.model_fields.items():
        assert f"`{section}`" in text or f"`[{section}]`" in text
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            for name, spec in field.annotation.model_fields.items():
                assert spec.description, f"{section}.{name} has no description"
                assert f"`TUTELA_{section.upper()}__{name.upper()}`" in text


def test_every_error_has_a_code_of_its_own_and_stands_in_the_tree() -> None:
    from tutela import errors

    classes = [
        c
        for c in vars(errors).values()
        if isinstance(c, type) and issubclass(c, errors.TutelaError)
    ]
    codes = [c.code for c in classes]
    assert len(codes) == len(set(codes))
    for c in classes:
        assert c.__name__ in (errors.__doc__ or ""), f"{c.__name__} is not drawn in the tree"
        assert f"`{c.code}`" in _mentioned("errors.md")


def test_every_command_and_option_has_help() -> None:
    import typer.main

    from tutela.cli import app

    def walk(command: object, path: str) -> list[str]:
        missing = []
        for name, inner in getattr(command, "commands", {}).items():
            missing += walk(inner, f"{path} {name}")
        if not getattr(command, "commands", None):
            if not getattr(command, "help", None):
                missing.append(path)
            for parameter in getattr(command, "params", []):
                if not getattr(parameter, "help", None):
                    missing.append(f"{path} {parameter.name}")
        return missing

    assert walk(typer.main.get_command(app), "tutela") == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if "://" not in target and not target.startswith("mailto:"):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_no_page_names_a_machine_or_its_folders() -> None:
    for page in PAGES:
        assert not re.search(r"/(?:home|root|tmp|work)/\w", page.read_text()), page
