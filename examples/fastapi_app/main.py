"""A photo wall in FastAPI whose upload route Tutela guards.

Run it beside a Tutela:

    .venv/bin/tutela keys create "photo wall" --scope uploads:write
    TUTELA_URL=http://127.0.0.1:8780 TUTELA_KEY=tutela_… \
        .venv/bin/uvicorn --app-dir examples/fastapi_app main:app --port 8000

and open http://127.0.0.1:8000/. The three lines that guard the route are marked.
"""

import os

from fastapi import FastAPI, UploadFile
from fastapi.responses import HTMLResponse

from tutela.adapters.asgi import UploadGuard
from tutela.client import AsyncClient

app = FastAPI(title="Photo wall")

# The three lines: a client, and the paths to guard.
tutela = AsyncClient(os.environ["TUTELA_URL"], os.environ["TUTELA_KEY"])
app.add_middleware(UploadGuard, client=tutela, paths=["/photos"], surface="photo wall")

WALL: list[tuple[str, int]] = []

PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Photo wall</title></head>
<body>
<main>
<h1>Photo wall</h1>
<form action="/photos" method="post" enctype="multipart/form-data">
<label>A photo: <input type="file" name="photo" required></label>
<button>Post it</button>
</form>
<p>Posted so far: {count}</p>
</main>
</body>
</html>"""


@app.get("/", response_class=HTMLResponse)
async def wall() -> str:
    """The form, and how many photos were posted."""
    return PAGE.format(count=len(WALL))


@app.post("/photos", response_class=HTMLResponse)
async def post(photo: UploadFile) -> str:
    """Only what Tutela allowed gets here."""
    data = await photo.read()
    WALL.append((photo.filename or "unnamed", len(data)))
    return PAGE.format(count=len(WALL))
