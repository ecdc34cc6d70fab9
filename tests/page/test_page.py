"""The page in headless Chromium: upload, cue, progress, result, cancel, a bad file, two visitors."""

import os
import shutil
import socket
import time

import pytest

gradio = pytest.importorskip("gradio", reason="Gradio is not installed: pip install jaxanim[page]")
webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
CHROMIUM, DRIVER = (shutil.which(name) for name in ("chromium", "chromedriver"))
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="chromium and chromedriver are not installed"),
]


PACE = {"steps": 3}  # that a job may take before it waits


def visitor():
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for word in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--window-size=1400,1250",
    ):
        options.add_argument(word)
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))


@pytest.fixture
def page(tiny, tmp_path, monkeypatch):
    """(address, folder of the jobs): the page with a system whose steps wait for the test."""
    from sample.page.app import build
    from sample.page.jobs import Jobs
    from tests.sample.conftest import TinyConfig

    plain = TinyConfig.run

    def slow(self, *args, report=None, **options):
        def reporting(done, total, pictures):
            while done > PACE["steps"]:
                time.sleep(0.05)
            report(done, total, pictures)

        return plain(self, *args, report=reporting, **options)

    monkeypatch.setattr(TinyConfig, "run", slow)
    (tmp_path / "all").mkdir()
    shutil.copytree(tiny[0], tmp_path / "all" / "magicanimate")
    root = tmp_path / "jobs"
    root.mkdir()
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    jobs = Jobs(root)
    app = build(jobs, tmp_path / "all")
    app.queue(default_concurrency_limit=None)
    app.launch(server_name="127.0.0.1", server_port=port, allowed_paths=[str(root)], prevent_thread_lock=True,
               quiet=True, ssr_mode=False)  # fmt: skip
    yield f"http://127.0.0.1:{port}", root
    app.close()
    jobs.close()


def find(browser, name, inside=""):
    return browser.find_element("css selector", f"#{name} {inside}".strip())


def status(browser):
    return find(browser, "status").text


def until(browser, true, seconds=120):
    end = time.monotonic() + seconds
    while True:
        try:
            if true():
                return
        except Exception:  # what is being redrawn is not there for a moment
            pass
        assert time.monotonic() < end, f"still: {status(browser)!r}"
        time.sleep(0.1)


def press(browser, name):
    browser.execute_script("arguments[0].click()", find(browser, name))


def open_with(browser, address, image, motion):
    browser.get(address)
    until(browser, lambda: find(browser, "image", "input[type=file]") and status(browser))
    find(browser, "image", "input[type=file]").send_keys(str(image))
    find(browser, "motion", "input[type=file]").send_keys(str(motion))
    until(
        browser,
        lambda: image.name[:6] in find(browser, "image").text and motion.name[:6] in find(browser, "motion").text,
    )


def test_the_page(page, puppet, tmp_path, tiny, monkeypatch):
    address, root = page
    image, motion = puppet / "reference.png", puppet / "densepose.mp4"
    first, second = visitor(), None
    try:
        open_with(first, address, image, motion)
        press(first, "prepare")
        until(first, lambda: "drive your image" in status(first))
        until(first, lambda: find(first, "cue-sheet", "img").size["width"] > 100)
        assert not tiny[1]  # nothing is sampled yet

        monkeypatch.setitem(PACE, "steps", 2)
        press(first, "animate")
        until(first, lambda: "step 2 of 3" in status(first))
        until(first, lambda: find(first, "so-far", "img").size["width"] > 100)
        first.save_screenshot(os.environ.get("JAXANIM_SCREENSHOT_SO_FAR", str(tmp_path / "so_far.png")))
        second = visitor()
        open_with(second, address, image, motion)
        monkeypatch.setitem(PACE, "steps", 3)
        until(first, lambda: status(first) == "Done.")
        until(first, lambda: not first.find_elements("css selector", "#so-far img"))
        video = "const v = document.querySelector('#result video'); return v && v.readyState >= 2 && v.videoWidth"
        until(first, lambda: first.execute_script(video) == 48)
        offered = "".join(find(first, "files").text.split())
        assert "result.mp4" in offered
        assert "settings.json" in offered
        first.save_screenshot(os.environ.get("JAXANIM_SCREENSHOT", str(tmp_path / "page.png")))

        # Two jobs at once: the second waits, and both are cancelled.
        monkeypatch.setitem(PACE, "steps", 0)
        press(first, "animate")
        until(first, lambda: status(first).startswith("Animating"))
        press(second, "animate")
        until(second, lambda: "1 job comes before yours" in status(second))
        press(second, "cancel")
        press(first, "cancel")
        monkeypatch.setitem(PACE, "steps", 3)
        until(first, lambda: status(first) == "Cancelled.")
        until(second, lambda: status(second) == "Cancelled.")

        # A bad file has its sentence, as in the program.
        bad = tmp_path / "broken.png"
        bad.write_text("not a picture")
        open_with(second, address, bad, motion)
        press(second, "animate")
        until(second, lambda: "cannot be read, it is corrupt or not an image" in status(second))

        press(first, "reset")
        until(first, lambda: "Choose an image" in status(first))
        press(second, "reset")
        until(second, lambda: not any(root.iterdir()))
    finally:
        first.quit()
        if second is not None:
            second.quit()
