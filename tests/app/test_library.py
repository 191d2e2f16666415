import gc
import threading
import weakref
from types import SimpleNamespace

import pytest
import structlog

from app.errors import InvalidFields, NotReady
from app.library import Change, Library
from model.errors import BundleError, ProviderError
from model.runtime.bundle import Labels, Manifest, Origin, read_bundle, write_bundle


def written(directory, name, version="1", card=None):
    """A bundle folder whose graphs are no graphs; returns its digest."""
    manifest = Manifest(
        name=name,
        version=version,
        opset=18,
        image_size=64,
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
        camera="orthographic",
        default_distance=2.5,
        labels=Labels(final_s=None, d_star_voxels=1.0, voxels_per_side=256),
        network={},
        parameters=1,
        origin=Origin(run={}, data_digest="", commit="", steps=1, minutes=1.0),
        metrics={"iou": 0.5},
        licence="Apache-2.0",
        attribution=("somebody",),
        files={},
    )
    files = {"encoder.onnx": b"encoder", "decoder.onnx": b"decoder"}
    if card is not None:
        files["README.md"] = card.encode()
    return write_bundle(directory, manifest, files).sha256


class Opened:
    """Stands in for a reconstructor."""

    provider = "CPUExecutionProvider"
    provider_reason = "a test"

    def __init__(self, directory):
        self.bundle = read_bundle(directory)
        self.warm_ups = 0

    def warm_up(self):
        self.warm_ups += 1


class Folders:
    """A default bundle `a`, another one `b` beside it, and a library of both that counts what it opens."""

    def __init__(self, root):
        self.default, self.others = root / "a", root / "others"
        self.sha_a = written(self.default, "a", card="# a")
        self.sha_b = written(self.others / "b", "b")
        self.opened, self.described, self.outcomes = [], [], []
        self.before_open = lambda directory: None
        self.library = Library(
            self.default,
            self.others,
            open_bundle=self.open,
            describe=lambda shown: self.described.append([entry.bundle.name for entry in shown]),
            observe_reload=self.outcomes.append,
        )

    def open(self, directory):
        self.before_open(directory)
        reconstructor = Opened(directory)
        self.opened.append((reconstructor.bundle.name, reconstructor.bundle.version))
        return reconstructor

    def served(self):
        return {entry.bundle.name: entry.bundle.sha256 for entry in self.library.bundles()}


@pytest.fixture
def folders(tmp_path):
    return Folders(tmp_path)


@pytest.fixture
def loaded(folders):
    folders.library.load()
    assert folders.library.failure is None
    folders.opened.clear()
    folders.described.clear()
    return folders


def test_bundles_are_served_under_their_manifests_names_the_default_first(folders):
    written(folders.others / "another folder", "A")
    folders.library.load()
    assert [entry.bundle.name for entry in folders.library.bundles()] == ["a", "A", "b"]
    assert folders.described == [["a", "A", "b"]]
    assert folders.library.select(None) is folders.library.default is folders.library.bundles()[0]
    assert folders.library.select("b").bundle.sha256 == folders.sha_b


def test_each_one_is_warm(loaded):
    assert [entry.warm_ups for entry in loaded.library.bundles()] == [1, 1]


def test_one_bundle_needs_no_folder_of_others(folders):
    library = Library(folders.default, open_bundle=Opened)
    library.load()
    assert [entry.bundle.name for entry in library.bundles()] == ["a"]


def test_the_default_may_lie_among_the_others(folders):
    library = Library(folders.others / "b", folders.others, open_bundle=Opened)
    written(folders.others / "a", "a")
    library.load()
    assert [entry.bundle.name for entry in library.bundles()] == ["b", "a"]


def test_folders_without_a_manifest_and_half_written_ones_are_passed_over(folders):
    (folders.others / "empty").mkdir()
    (folders.others / "a file").touch()
    written(folders.others / "b.partial", "b")
    written(folders.others / "b.retired", "b")
    folders.library.load()
    assert folders.served() == {"a": folders.sha_a, "b": folders.sha_b}


def test_equal_names_are_told_with_both_folders(folders):
    written(folders.others / "c", "b", "2")
    folders.library.load()
    assert folders.library.failure == (
        f"{folders.others / 'c'}: expected a name of its own, found 'b', as in {folders.others / 'b'}"
    )
    assert folders.library.bundles() == []
    assert folders.library.default is None


def test_a_missing_folder_of_others_is_told(folders, tmp_path):
    library = Library(folders.default, tmp_path / "none", open_bundle=Opened)
    library.load()
    assert library.failure == f"{tmp_path / 'none'}: expected a folder of bundles, found none"


def test_an_unknown_name_lists_the_known_ones(loaded):
    with pytest.raises(InvalidFields, match="bundle: expected one of a, b, found 'c'"):
        loaded.library.select("c")


def test_nothing_is_selected_before_loading(folders):
    with pytest.raises(NotReady) as caught:
        folders.library.select("a")
    assert (caught.value.state, caught.value.headers()) == ("starting", {"Retry-After": "1"})


def test_after_a_failed_start_waiting_is_not_advised(folders):
    (folders.default / "decoder.onnx").write_bytes(b"other")
    folders.library.load()
    assert folders.library.failure.startswith(f"{folders.default / 'decoder.onnx'}: expected sha256")
    with pytest.raises(NotReady) as caught:
        folders.library.select(None)
    assert (caught.value.state, caught.value.headers()) == ("failed", {})


def test_a_bug_while_loading_is_not_told_in_detail(folders):
    folders.before_open = lambda directory: 1 / 0
    with structlog.testing.capture_logs() as lines:
        folders.library.load()
    assert folders.library.failure == "an unexpected error; the log has it"
    assert [(line["event"], bool(line["exc_info"])) for line in lines] == [("loading failed", True)]


def test_a_reload_heals_a_failed_start(folders):
    (folders.default / "decoder.onnx").write_bytes(b"other")
    folders.library.load()
    sha = written(folders.default, "a", "2")
    assert folders.library.reload() == [Change("a", None, sha), Change("b", None, folders.sha_b)]
    assert folders.library.failure is None
    assert folders.library.select(None).bundle.sha256 == sha


def test_a_reload_of_the_same_opens_nothing(loaded):
    before = loaded.library.bundles()
    assert loaded.library.reload() == []
    assert all(new is old for new, old in zip(loaded.library.bundles(), before, strict=True))
    assert loaded.opened == []
    assert [entry.warm_ups for entry in before] == [1, 1]
    assert loaded.outcomes == ["succeeded"]


def test_a_reload_tells_what_was_changed_added_and_removed(loaded):
    kept = loaded.library.default
    new_b, new_c = written(loaded.others / "b", "b", "2"), written(loaded.others / "c", "c")
    assert loaded.library.reload() == [Change("b", loaded.sha_b, new_b), Change("c", None, new_c)]
    assert loaded.opened == [("b", "2"), ("c", "1")]
    assert loaded.described == [["a", "b", "c"]]
    assert loaded.library.default is kept
    (loaded.others / "c" / "manifest.json").unlink()
    assert loaded.library.reload() == [Change("c", new_c, None)]
    assert loaded.served() == {"a": loaded.sha_a, "b": new_b}


def test_a_bundle_that_moved_is_not_opened_again(loaded):
    (loaded.others / "b").rename(loaded.others / "elsewhere")
    assert loaded.library.reload() == []
    assert loaded.opened == []


@pytest.mark.parametrize("fault", ["damaged", "equal names", "no device"])
def test_a_reload_that_fails_changes_nothing(loaded, fault):
    before = loaded.library.bundles()
    written(loaded.default, "a", "2", card="# new")
    if fault == "damaged":
        (loaded.others / "b" / "decoder.onnx").write_bytes(b"other")
    elif fault == "equal names":
        written(loaded.others / "c", "b", "2")
    else:
        written(loaded.others / "c", "c")

        def refuse(directory):
            if directory.name == "c":
                raise ProviderError("no CUDA device")

        loaded.before_open = refuse
    with pytest.raises(ProviderError if fault == "no device" else BundleError):
        loaded.library.reload()
    assert all(new is old for new, old in zip(loaded.library.bundles(), before, strict=True))
    assert loaded.library.card("a") == "# a"
    assert loaded.library.failure is None
    assert loaded.described == []
    assert loaded.outcomes == ["failed"]


def test_old_sessions_are_freed_when_the_last_request_lets_go(loaded):
    in_hand = loaded.library.select("b")
    freed = weakref.ref(in_hand)
    written(loaded.others / "b", "b", "2")
    loaded.library.reload()
    gc.collect()
    assert freed() is in_hand
    assert loaded.library.select("b").bundle.version == "2"
    del in_hand
    gc.collect()
    assert freed() is None


def test_while_a_reload_opens_bundles_the_old_ones_are_served(loaded):
    seen = []
    written(loaded.default, "a", "2")
    written(loaded.others / "b", "b", "2")
    loaded.before_open = lambda directory: seen.append(loaded.served())
    loaded.library.reload()
    assert seen == [{"a": loaded.sha_a, "b": loaded.sha_b}] * 2


def test_two_reloads_at_once_come_one_after_the_other(loaded):
    """The first one hesitates until the second has begun to open bundles too, which it must not."""
    written(loaded.others / "b", "b", "2")
    first_opens, second_opens = threading.Event(), threading.Event()

    def hesitate(directory):
        if first_opens.is_set():
            second_opens.set()
        first_opens.set()
        second_opens.wait(0.1)

    loaded.before_open = hesitate
    changes = []
    threads = [threading.Thread(target=lambda: changes.append(loaded.library.reload())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert loaded.opened == [("b", "2")]
    assert sorted(len(found) for found in changes) == [0, 1]


def test_a_card_is_the_one_that_was_read_with_its_bundle(loaded):
    (loaded.default / "README.md").write_text("# changed since")
    assert loaded.library.card("a") == "# a"
    loaded.library.reload()
    assert loaded.library.card("a") == "# changed since"
    assert (loaded.library.card("b"), loaded.library.card("no such")) == (None, None)


def test_a_reload_is_one_log_line(loaded):
    sha = written(loaded.others / "b", "b", "2")
    with structlog.testing.capture_logs() as lines:
        loaded.library.reload()
    (line,) = lines
    assert line["event"] == "reloaded"
    assert line["changes"] == [{"name": "b", "old_sha256": loaded.sha_b, "new_sha256": sha}]


def test_a_library_of_a_fake_needs_no_files(tmp_path):
    """What the tests of the service do: `read` is not asked before there is something to compare with."""
    fake = SimpleNamespace(bundle=SimpleNamespace(name="fake", sha256="f"), warm_up=lambda: None)
    library = Library(tmp_path / "none", open_bundle=lambda directory: fake)
    library.load()
    assert library.select(None) is fake
