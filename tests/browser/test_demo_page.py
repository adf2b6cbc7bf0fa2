"""The page that the demo opens on, in a browser: every picture loads, nothing fails."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tutela.client import Answer
from tutela.demo.page import PageServer, Proof, application, render
from tutela.demo.scenes import jpeg, scene
from tutela.demo.story import Step, Told, facts


def told(outcome: str, expected: str, title: str) -> Told:
    """A step that was played."""
    step = Step(title=title, account="ana", expected=expected, content=b"", file_name="a.jpg")
    answer = Answer(outcome=outcome, reason="x", decision_id="dec_1")  # type: ignore[arg-type]
    return Told(step=step, answer=answer, wire_ms=3.0, thumbnail=jpeg(scene(3, 96, 72)))


def test_the_demos_page_shows_the_story_and_every_picture_loads(page: Page) -> None:
    played = [
        told("allow", "allow", "Ana posts a photo"),
        told("block", "block", "Mallory posts <b>the known</b> picture"),
        told("allow", "hold", "One that came out wrong"),
    ]
    cards = [
        {
            "number": number,
            "step": one.step,
            "answer": one.answer,
            "ok": one.ok,
            "reason": one.reason,
            "thumbnail": True,
            "gate_ms": one.wire_ms,
            "ledger": number,
        }
        for number, one in enumerate(played, 1)
    ]
    pictures = {f"thumb/{number}.jpg": one.thumbnail or b"" for number, one in enumerate(played, 1)}
    pictures["known.jpg"] = jpeg(scene(4, 240, 180))
    story = {
        "facts": facts(played),
        "chapters": [{"title": "An evening", "told": cards}],
        "proofs": [Proof(title="tutela verify:", said="The ledger verifies.", ok=True)],
        "sealed": [{"name": "evidence/ab/abc.age", "bytes": 10, "begins": "age-encryption.org/v1"}],
        "list_name": "larkspur-known",
        "opaque": "not_accepted",
        "server": "http://127.0.0.1:1/",
        "example": "curl …",
    }
    server = PageServer(application(render(story), pictures), 0)
    server.start()
    try:
        page.goto(server.url)
        expect(page).to_have_title("What Tutela did · demo")
        expect(page.get_by_text("Mallory posts <b>the known</b> picture")).to_be_visible()
        expect(page.get_by_text("expected hold")).to_be_visible()
        expect(page.get_by_text("Not every step came out as told")).to_be_visible()
        page.keyboard.press("End")
        page.wait_for_load_state("networkidle")
        broken = page.eval_on_selector_all(
            "img", "images => images.filter(i => !i.complete || i.naturalWidth === 0).length"
        )
        assert broken == 0
        assert len(page.locator("img").all()) == 4
        rules = page.evaluate("() => document.styleSheets[0].cssRules.length")
        assert rules > 10
    finally:
        server.stop()
