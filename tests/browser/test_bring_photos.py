"""Photos in a real browser: bring them, see how they were read, import, look through, move one; and what may go wrong."""

from __future__ import annotations

import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from transfer_core.datasets import import_dataset
from transfer_core.words import say

pytestmark = pytest.mark.browser
expect.set_options(timeout=30_000)  # a worker has to start first
NASTY = Path(__file__).resolve().parents[3] / "shared" / "data" / "nasty"


def picture(number: int, size: int = 48) -> bytes:
    rng = np.random.default_rng(number)
    file = BytesIO()
    Image.fromarray(rng.integers(0, 256, (size, size, 3), np.uint8)).save(file, "JPEG")
    return file.getvalue()


def folder(path: Path, **counts: int) -> Path:
    for k, (label, count) in enumerate(counts.items()):
        (path / label).mkdir(parents=True)
        for number in range(count):
            (path / label / f"{number:04d}.jpg").write_bytes(picture(10_000 * k + number))
    return path


def zipped(path: Path, **counts: int) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for k, (label, count) in enumerate(counts.items()):
            for number in range(count):
                archive.writestr(f"{label}/{number:04d}.jpg", picture(10_000 * k + number))
    return path


def bring(page: Page, url: str, path: Path) -> None:
    """Choose a zip (or a folder) with the drop zone's own buttons."""
    page.goto(f"{url}/data")
    button = say("data.upload.choose_folder" if path.is_dir() else "data.upload.choose_files")
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name=button).click()
    chooser.value.set_files(path)


def accept(page: Page) -> None:
    page.locator(".st-key-accept button").click()


def imported(page: Page) -> str:
    """Wait for the dataset's page; returns the dataset's id."""
    expect(page.locator(".st-key-next-model")).to_be_visible(timeout=90_000)
    page.wait_for_url("**/data?*dataset=*")
    return page.url.split("dataset=")[1].split("&")[0]


def test_a_zip_is_read_imported_looked_through_and_put_right(page, studio, tmp_path):
    bring(page, studio.url, zipped(tmp_path / "two kinds.zip", cat=70, dog=14))
    expect(page.locator(".tree")).to_contain_text("cat")
    expect(page.locator(".tree .count").first).to_have_text("70")
    expect(page.get_by_label(say("data.understood.name"))).to_have_value("two kinds")
    accept(page)
    dataset = imported(page)
    grid = page.get_by_role("listbox", name=say("data.gallery.label", name="cat"))
    photos = grid.get_by_role("option")
    expect(photos).to_have_count(60)  # one page of the 70
    expect(photos.first.locator("img")).to_have_js_property("naturalWidth", 48)  # the thumbnail really came

    # By keyboard: the first, and with Shift the next one to the right.
    photos.first.focus()
    page.keyboard.press("Space")
    page.keyboard.press("Shift+ArrowRight")
    expect(page.get_by_text(say("data.gallery.selected", count=2))).to_be_visible()
    page.get_by_label(say("data.gallery.move_to")).select_option("dog")
    expect(page.locator(".st-key-edited")).to_contain_text(say("data.edit.moved", count=2, name="dog"))
    version = studio.store.dataset(dataset).latest
    assert version.version == 2 and version.summary["classes"] == {"cat": 68, "dog": 16}

    page.locator(".st-key-page-on button").click()
    expect(photos).to_have_count(8)
    assert "page=2" in page.url

    page.locator(".st-key-undo-edit button").click()
    expect(page.locator(".st-key-edited")).to_contain_text(say("data.edit.restored", version=1))
    assert studio.store.dataset(dataset).latest.summary["classes"] == {"cat": 70, "dog": 14}


def test_a_photo_is_looked_at_closely_and_deleted(page, studio, tmp_path):
    bring(page, studio.url, zipped(tmp_path / "set.zip", cat=13, dog=12))
    accept(page)
    dataset = imported(page)
    first = page.get_by_role("option").first
    first.dblclick()
    closer = page.get_by_role("dialog", name=say("data.gallery.closer"))
    expect(closer.locator("img")).to_have_js_property("complete", True)
    expect(closer).to_contain_text("48 × 48")
    page.keyboard.press("Escape")
    expect(closer).to_have_count(0)
    first.click()
    page.get_by_role("button", name=say("data.gallery.delete"), exact=True).click()
    expect(page.locator(".st-key-edited")).to_contain_text(say("data.edit.deleted", count=1))
    assert studio.store.dataset(dataset).latest.summary["classes"] == {"cat": 12, "dog": 12}


def test_classes_are_renamed_merged_and_the_dataset_deleted_and_taken_back(page, studio, tmp_path):
    made = list(import_dataset(folder(tmp_path / "set", cat=13, dog=12, fox=11), "pets", studio.store))[-1].dataset

    def classes() -> dict[str, int]:
        return studio.store.dataset(made).latest.summary["classes"]

    page.goto(f"{studio.url}/data?dataset={made}&class=fox")
    page.locator(".st-key-edit-classes summary").click()
    page.locator(".st-key-rename-class button").click()
    name = page.get_by_label(say("data.classes.new_name"))
    name.fill("dog")
    name.press("Enter")
    expect(page.get_by_text(say("data.classes.exists", name="dog"))).to_be_visible()
    expect(page.locator(".st-key-rename-yes button")).to_be_disabled()
    name.fill("*wolf*")
    name.press("Enter")
    page.locator(".st-key-rename-yes button:enabled").click()
    expect(page.locator(".st-key-edited")).to_contain_text(say("data.edit.renamed", old="fox", new="*wolf*"))
    assert classes() == {"*wolf*": 11, "cat": 13, "dog": 12}

    page.locator(".st-key-merge-class button").click()
    page.locator(".st-key-merge-yes button").click()
    expect(page.locator(".st-key-edited")).to_contain_text(say("data.edit.merged", old="*wolf*", new="cat"))
    assert classes() == {"cat": 24, "dog": 12}
    expect(page.locator(".st-key-merge-class button").first).to_be_disabled()  # two classes have to stay

    page.locator(".st-key-delete-dataset button").click()
    page.locator(".st-key-delete-dataset-yes button").click()
    page.locator(".st-key-undo-delete button").click()
    expect(page.locator(".class-bars")).to_contain_text("24")
    assert classes() == {"cat": 24, "dog": 12}


def test_a_dataset_is_renamed_and_stays_what_it_is(page, studio, tmp_path):
    made = list(import_dataset(folder(tmp_path / "set", cat=4, dog=4), "pets", studio.store))[-1].dataset
    page.goto(f"{studio.url}/data?dataset={made}")
    page.locator(".st-key-rename-dataset button").click()
    expect(page.locator(".st-key-rename-dataset-yes button")).to_be_disabled()  # nothing was typed yet
    name = page.locator(".st-key-new-dataset-name input")
    name.fill("   ")
    name.press("Enter")
    expect(page.locator(".st-key-rename-dataset-yes button")).to_be_disabled()
    name.fill(" Bäume *2* ")
    name.press("Enter")
    page.locator(".st-key-rename-dataset-yes button:enabled").click()
    expect(page.locator("h1")).to_contain_text("Bäume *2*")
    renamed = studio.store.dataset(made)
    assert (renamed.name, renamed.id, renamed.latest.version) == ("Bäume *2*", made, 1)


def test_a_refresh_in_the_middle_of_an_import_finds_it_again(page, studio, tmp_path):
    bring(page, studio.url, zipped(tmp_path / "many.zip", cat=300, dog=300))
    accept(page)
    page.wait_for_url("**job=import-*")
    job = page.url.split("job=")[1].split("&")[0]
    page.reload()
    imported(page)
    assert studio.store.job(job).state == "finished"
    assert len(studio.store.events(job, kinds=("imported",))) == 1


def test_a_file_that_only_claims_to_be_a_zip_is_refused_once_and_another_may_follow(page, studio, tmp_path):
    wrong = tmp_path / "holiday.zip"
    wrong.write_text("this is a letter, not an archive")
    bring(page, studio.url, wrong)
    alert = page.get_by_test_id("stAlert")
    expect(alert).to_have_count(1)
    expect(alert).to_contain_text("holiday.zip")
    page.locator(".st-key-start-again button").click()
    expect(page.get_by_role("button", name=say("data.upload.choose_folder"))).to_be_visible()


def test_a_folder_of_many_files_arrives_whole(page, studio, tmp_path):
    bring(page, studio.url, folder(tmp_path / "my trees", oak=260, elm=240))
    expect(page.locator(".tree .count").first).to_have_text("240", timeout=60_000)
    expect(page.locator(".tree .count").nth(1)).to_have_text("260")
    expect(page.get_by_label(say("data.understood.name"))).to_have_value("my trees")


def test_class_by_class_the_names_become_folders(page, studio, tmp_path):
    photos = folder(tmp_path / "loose", some=3, other=2)
    page.goto(f"{studio.url}/data?lang=zh")
    page.get_by_role("tab", name=say("data.upload.tab_classes", "zh")).click()
    for number, (name, source) in enumerate((("猫/咪", "some"), ("<i>狗", "other")), start=1):
        page.get_by_label(say("data.upload.class_name", "zh", number=number)).fill(name)
        with page.expect_file_chooser() as chooser:
            page.get_by_role("button", name=say("data.upload.add_photos", "zh")).first.click()
        chooser.value.set_files(sorted((photos / source).iterdir()))
    page.get_by_role("button", name=say("data.upload.send_classes", "zh", count=5, classes=2)).click()
    expect(page.locator(".tree b")).to_have_text(["<i>狗", "猫-咪"])


def test_an_upload_that_breaks_off_is_tried_again_and_can_be_gone_on_with(page, studio, tmp_path):
    # All files together do not arrive, so each goes alone; and one of them cannot be sent, ever: the person decides.
    page.route("**/api/uploads/*/files", lambda route: route.abort())
    page.route("**/api/uploads/*?path=*a%2F0001.jpg", lambda route: route.abort())
    bring(page, studio.url, folder(tmp_path / "set", a=2, b=2))
    expect(page.get_by_role("alert")).to_have_text(say("data.upload.unreadable", file="set/a/0001.jpg"))
    expect(page.get_by_role("status")).to_have_text(say("data.upload.failed", failed=1, total=4))
    page.unroute("**/api/uploads/*?path=*a%2F0001.jpg")
    page.get_by_role("button", name=say("data.upload.retry")).click()
    expect(page.locator(".tree .count").first).to_have_text("2")


def test_names_of_strangers_are_shown_and_never_rendered(page, studio):
    archive = NASTY / "nasty_layout.zip"
    if not archive.is_file():
        pytest.skip("shared/data/nasty is not here")
    bring(page, studio.url, archive)
    expect(page.locator(".tree")).to_contain_text("猫咪 🐱")
    expect(page.locator(".tree")).to_contain_text("<b>bold")
    accept(page)
    imported(page)
    expect(page.locator(".class-bars")).to_contain_text("Ünïcödé & <b>bold<")
    expect(page.locator(".conflict")).not_to_have_count(0)
    bold = page.locator(".class-bars b, [data-testid=stAlert] b", has_text="bold")
    expect(bold).to_have_count(0)


def test_two_quick_clicks_on_the_example_make_one_import_and_one_training(page, studio):
    page.goto(studio.url)
    before = {job.id for job in studio.store.jobs("train")}
    page.locator(".st-key-try-example button").dblclick()
    page.wait_for_url("**job=import-*")
    page.reload()
    page.wait_for_url("**/train?*run=train-*", timeout=120_000)
    examples = [job for job in studio.store.jobs("import") if job.payload.get("example") == "leaves"]
    runs = [job for job in studio.store.jobs("train") if job.id not in before]
    assert len(examples) == 1 and len(runs) == 1
    page.go_back()
    page.go_back()
    studio.store.ask_stop(runs[0].id, "discard")
    assert len([job for job in studio.store.jobs("train") if job.id not in before]) == 1
