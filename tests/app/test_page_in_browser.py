"""The pages as a browser shows them: pressed, dragged and looked at by Chromium, from a service that really runs."""

import io
import re
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image
from playwright.sync_api import expect, sync_playwright

from app.keys import Key, new_secret, sha256_of, write_keys
from tests.app.test_signals import serving
from tests.programs import program

SAMPLE = Path(__file__).resolve().parents[2] / "docs" / "sample.png"
PATIENCE_SECONDS = 60  # for a busy machine; nothing here takes a tenth of it
KEY = new_secret()
DESK = {"width": 1280, "height": 800}
FLAGS = (
    "--use-angle=swiftshader",  # WebGL by the processor, wherever the tests run
    "--enable-unsafe-swiftshader",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # what the browser itself would tell its makers finds nobody
    "--disable-quic",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
)


@pytest.fixture(scope="module")
def browser():
    chromium = program("chromium", "chromium-browser", "google-chrome")
    expect.set_options(timeout=1000 * PATIENCE_SECONDS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS, timeout=1000 * PATIENCE_SECONDS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address(tiny_bundle, tmp_path_factory):
    with serving(tiny_bundle, tmp_path_factory.mktemp("page") / "data") as (_, client):
        yield str(client.base_url)


@pytest.fixture(scope="module")
def address_with_keys(tiny_bundle, tmp_path_factory):
    folder = tmp_path_factory.mktemp("page-with-keys")
    write_keys(folder / "keys.toml", (Key(name="line-3", sha256=sha256_of(KEY)),))
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("MONOTWIN_KEYS_FILE", str(folder / "keys.toml"))
        with serving(tiny_bundle, folder / "data") as (_, client):
            yield str(client.base_url)


@contextmanager
def window(browser, address, *, refusals=(), **options):
    """A page of a fresh window. Only the service may be asked for anything, and nothing may go wrong but these answers of it."""
    asked, complaints = [], []
    with browser.new_context(base_url=address, **{"viewport": DESK, **options}) as context:
        context.set_default_timeout(1000 * PATIENCE_SECONDS)
        context.on("request", lambda request: asked.append(request.url))
        context.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        context.on("weberror", lambda error: complaints.append(str(error.error)))
        yield context.new_page()
    strange = [url for url in asked if not url.startswith((f"{address}/", f"blob:{address}/", "data:"))]
    assert not strange, strange
    found = [re.sub(r"^Failed to load resource: .* status of (\d+) .*", r"\1", complaint) for complaint in complaints]
    assert found == [str(status) for status in refusals], found


def open_page(page):
    page.goto("/")
    expect(page.locator("#readiness")).to_have_text("Ready: tiny 1 on CPU")


def press(page):
    page.get_by_role("button", name="Make the mesh").click()


def make(page, photo=SAMPLE):
    """Choose a photo, the coarsest grid, and press the button."""
    page.locator("#choose").set_input_files(photo)
    page.get_by_label("Detail").select_option("64")
    press(page)


def facts_of(page):
    """The facts beside the mesh, once they are there: term -> value, without remarks."""
    expect(page.locator("#outcome")).to_be_visible()
    entries = page.locator("#facts > div").all()
    return {entry.locator("dt").text_content(): entry.locator("dd").evaluate("dd => dd.firstChild.data") for entry in entries}


def still(page):
    """The canvas and what lies on it, once nothing moves any more: uint8 (height, width, 3)."""
    canvas, before = page.locator("#canvas"), None
    for _ in range(200):
        page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        shown = canvas.screenshot()
        if shown == before:
            return np.asarray(Image.open(io.BytesIO(shown)).convert("RGB"))
        before = shown
    raise AssertionError("the canvas: expected it to come to rest")


def differing(one, other, levels=12):
    """Where two pictures differ by more than so many levels: bool (height, width)."""
    return np.abs(one.astype(int) - other).max(axis=2) > levels


def downloaded(page, name):
    """The mesh that the button saves under this name, as it is in the file."""
    with page.expect_download() as saved:
        page.get_by_role("button", name=re.compile("^Download")).click()
    assert saved.value.suggested_filename == name
    return trimesh.load_mesh(saved.value.path(), file_type=Path(name).suffix[1:])


def test_a_window_tells_what_goes_wrong_in_it(browser, address):
    def visit(script, expected=address, **options):
        with window(browser, expected, **options) as page:
            page.goto(f"{address}/")
            page.evaluate(script)

    visit("fetch('nothing')", refusals=[404])
    with pytest.raises(AssertionError) as told:
        visit("""async () => {
          console.error("a word");
          setTimeout(() => { throw new Error("a bug"); });
          await fetch("http://127.0.0.2/").catch(() => 0);
          await fetch("nothing");
        }""")
    for what in ("a word", "a bug", "violates the following Content Security Policy", "404"):
        assert what in str(told.value)
    with pytest.raises(AssertionError, match=address):
        visit("0", expected="http://127.0.0.1")


def test_a_photo_becomes_a_mesh_that_can_be_seen_turned_and_saved(browser, address):
    with window(browser, address) as page:
        open_page(page)
        page.get_by_label("Real size in millimetres").fill("120")
        empty = still(page)
        make(page)
        facts = facts_of(page)

        drawn = still(page)
        height, width = drawn.shape[:2]
        mesh = differing(drawn, empty, levels=60)  # more than the grid does
        assert 0.05 < mesh.mean() < 0.4
        assert np.argwhere(mesh).mean(axis=0) == pytest.approx([height / 2, width / 2], rel=0.1)

        box = page.locator("#canvas").bounding_box()
        x, y = box["x"] + width / 2, box["y"] + height / 2
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + 120, y + 30, steps=3)
        page.mouse.up()
        turned = still(page)
        assert differing(turned, drawn)[mesh].mean() > 0.2
        page.mouse.wheel(0, -200)
        assert differing(still(page), empty, levels=60).mean() > 1.3 * mesh.mean()
        page.get_by_role("button", name="Reset").click()
        page.locator("h1").hover()  # the button looks as before
        assert differing(still(page), drawn).mean() < 0.001

        saved = downloaded(page, "sample.glb")
        assert saved.is_watertight
        sides = " × ".join(f"{1000 * side:.4g}" for side in saved.extents)
        assert facts["Width × height × depth"] == f"{sides} mm"
        assert sides.split(" × ")[1] == "120"
        assert facts["Faces"] == f"{len(saved.faces):,}"
        assert facts["Watertight"] == "yes"
        assert facts["Volume"] == f"{1e6 * saved.volume:.3g} cm³"
        assert facts["Bundle"] == "tiny 1"

        page.get_by_label("Format").select_option("stl")
        again = downloaded(page, "sample.stl")
        assert again.is_watertight
        assert len(again.faces) == len(saved.faces)
        np.testing.assert_allclose(again.bounds, saved.bounds, rtol=1e-6)


def test_what_goes_wrong_stands_on_the_page_in_words_and_the_next_try_may_go_well(browser, address):
    broken = {"name": "broken.png", "mimeType": "image/png", "buffer": b"no picture"}
    with window(browser, address, refusals=[415, 422]) as page:
        open_page(page)
        said = page.get_by_role("alert")
        press(page)
        expect(said).to_contain_text("No photo yet")
        make(page, broken)
        problem = page.request.post("/reconstruct", multipart={"image": broken}).json()
        expect(said).to_contain_text(problem["title"])
        expect(said).to_contain_text(problem["detail"])

        faces = page.get_by_label("Faces at most")
        faces.fill("5")
        make(page)
        expect(said).to_contain_text("target_faces: ")
        expect(faces).to_have_attribute("aria-invalid", "true")
        expect(faces).to_be_focused()
        expect(page.locator("#outcome")).to_be_hidden()

        faces.fill("500")
        press(page)
        assert int(facts_of(page)["Faces"]) <= 500
        expect(said).to_be_hidden()


def test_a_service_with_keys_is_given_one_once_for_each_tab(browser, address_with_keys):
    with window(browser, address_with_keys, refusals=[401, 401]) as page:
        open_page(page)
        field = page.get_by_label("API key")
        expect(field).to_be_hidden()
        make(page)
        for key in (new_secret(), KEY):
            expect(field).to_be_focused()
            expect(field).to_have_value("")
            expect(page.get_by_role("alert")).to_be_visible()
            field.fill(key)
            field.press("Enter")
        facts = facts_of(page)
        expect(field).to_be_hidden()

        page.reload()
        make(page)
        assert facts_of(page) == facts
        page.get_by_label("Format").select_option("ply")
        assert f"{len(downloaded(page, 'sample.ply').faces):,}" == facts["Faces"]


def test_a_wait_can_be_ended(browser, address):
    with window(browser, address) as page:
        open_page(page)
        held = []
        page.route("**/reconstruct", lambda route: held.append(route))
        make(page)
        expect(page.get_by_role("progressbar", name="Working")).to_be_visible()
        page.get_by_role("button", name="Cancel").click()
        expect(page.get_by_role("status")).to_have_text("Cancelled.")
        expect(page.get_by_role("button", name="Make the mesh")).to_be_enabled()
        expect(page.get_by_role("alert")).to_be_hidden()
        (route,) = held
        route.abort()


def test_a_browser_without_webgl_makes_and_saves_meshes_all_the_same(browser, address):
    with window(browser, address) as page:
        page.add_init_script("HTMLCanvasElement.prototype.getContext = () => null;")
        open_page(page)
        expect(page.locator("#result")).to_contain_text("This browser cannot show 3D")
        make(page)
        assert facts_of(page)["Watertight"] == "yes"
        assert downloaded(page, "sample.glb").is_watertight


def test_on_a_phone_nothing_is_wider_than_the_screen(browser, address):
    phone = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "is_mobile": True, "has_touch": True}
    photo = {"name": f"IMG_{'0123456789' * 12}.png", "mimeType": "image/png", "buffer": SAMPLE.read_bytes()}
    with window(browser, address, refusals=[422], **phone) as page:

        def assert_fits():
            assert page.evaluate("[innerWidth, document.documentElement.scrollWidth]") == [390, 390]

        open_page(page)
        assert_fits()
        page.get_by_text("More", exact=True).tap()
        expect(page.get_by_label("Smoothing passes")).to_be_visible()
        assert_fits()
        page.get_by_label("Smoothing passes").fill("99")
        make(page, photo)
        expect(page.get_by_role("alert")).to_be_visible()
        assert_fits()
        page.get_by_label("Smoothing passes").fill("1")
        press(page)
        assert facts_of(page)["Watertight"] == "yes"
        expect(page.get_by_role("button", name="Top")).to_be_in_viewport()
        assert_fits()


def test_the_interfaces_page_shows_every_operation(browser, address):
    with window(browser, address) as page:
        page.goto("/")
        page.get_by_role("link", name="Interface for programs").click()
        paths = page.request.get("/openapi.json").json()["paths"]
        described = [(method, path) for path, item in paths.items() for method, said in item.items() for _ in said["tags"]]
        expect(page.locator(".opblock")).to_have_count(len(described))
        shown = page.locator(".opblock").evaluate_all(
            "blocks => blocks.map((block) => [block.querySelector('.opblock-summary-method').textContent.toLowerCase(),"
            " block.querySelector('.opblock-summary-path').dataset.path])"
        )
        assert sorted(map(tuple, shown)) == sorted(described)
