"""A folder for each tenant, measured on a real file system."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meterline_api.storage.findings import Passed, Stored, Unmeasured
from meterline_api.storage.folder import FolderProvider
from meterline_api.storage.place import Folder
from meterline_schemas.errors import UnavailableError


def write(path: Path, size: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.truncate(size)
    return path


def measured(root: Path) -> dict[str, int]:
    found = list(FolderProvider(Folder(str(root))).measure())
    assert all(isinstance(one, Stored) for one in found), found
    assert [one.tenant_id for one in found] == sorted(one.tenant_id for one in found)
    return {one.tenant_id: one.bytes for one in found if isinstance(one, Stored)}


def test_every_folder_below_the_root_is_a_tenant_with_the_bytes_of_its_files(tmp_path: Path) -> None:
    write(tmp_path / "acme" / "a.bin", 1_000)
    write(tmp_path / "acme" / "deep" / "er" / "b.bin", 2_345)
    write(tmp_path / "globex é" / "c", 1)
    (tmp_path / "empty").mkdir()
    write(tmp_path / "a file of nobody", 999)
    write(tmp_path / ".snapshots" / "x", 999)
    write(tmp_path / "lost+found" / "x", 999)
    assert measured(tmp_path) == {"acme": 3_345, "empty": 0, "globex é": 1}
    only = list(FolderProvider(Folder(str(tmp_path))).measure(["acme", "nobody"]))
    assert only == [Stored("acme", 3_345), Passed("empty"), Passed("globex é")]


def test_links_are_not_followed_and_a_file_with_two_names_counts_once_for_each_tenant(tmp_path: Path) -> None:
    outside = write(tmp_path / "outside" / "large", 10_000)
    root = tmp_path / "tenants"
    first = write(root / "acme" / "one", 100)
    os.link(first, root / "acme" / "two")
    (root / "acme" / "to a file").symlink_to(outside)
    (root / "acme" / "to a folder").symlink_to(outside.parent)
    (root / "acme" / "round").symlink_to(root / "acme")
    (root / "a link is no tenant").symlink_to(outside.parent)
    (root / "globex").mkdir()
    os.link(first, root / "globex" / "shared")
    os.mkfifo(root / "globex" / "pipe")
    assert measured(root) == {"acme": 100, "globex": 100}


def test_what_vanishes_while_it_is_looked_at_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "acme" / "stays", 5)
    write(tmp_path / "acme" / "folder" / "goes", 50)
    write(tmp_path / "gone" / "x", 7)
    scandir = os.scandir

    def racing(path: str) -> object:
        if path == str(tmp_path / "gone"):
            os.unlink(tmp_path / "gone" / "x")
            os.rmdir(tmp_path / "gone")
        if path == str(tmp_path / "acme" / "folder"):
            os.unlink(tmp_path / "acme" / "folder" / "goes")
            os.rmdir(tmp_path / "acme" / "folder")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", racing)
    assert measured(tmp_path) == {"acme": 5, "gone": 0}


def test_a_tenant_that_cannot_be_read_is_no_tenant_with_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "acme" / "x", 5)
    write(tmp_path / "locked" / "inner" / "x", 5)
    os.mkdir(os.fsencode(tmp_path) + b"/not\xffutf8")
    scandir = os.scandir

    def refusing(path: str) -> object:  # permissions do not hold for root, as which tests may run
        if path == str(tmp_path / "locked" / "inner"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    acme, locked, unnamed = FolderProvider(Folder(str(tmp_path))).measure()
    assert acme == Stored("acme", 5)
    assert locked == Unmeasured("locked", f"{tmp_path}/locked/inner cannot be read: Permission denied")
    assert isinstance(unnamed, Unmeasured)
    assert "no UTF-8" in unnamed.why


def test_a_root_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="cannot be read: No such file or directory; is it mounted"):
        list(FolderProvider(Folder(str(tmp_path / "missing"))).measure())


parts = st.sampled_from(["a", "b", "ö", "x y"])
files = st.dictionaries(
    st.tuples(parts, st.lists(parts.map(lambda part: f"d{part}"), max_size=3).map(tuple), parts),
    st.integers(0, 10**12),
    max_size=12,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=files)
def test_the_bytes_of_a_tenant_are_the_sum_of_its_files(
    tree: dict[tuple[str, tuple[str, ...], str], int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("tree")
    wanted: dict[str, int] = {}
    for (tenant, folders, name), size in tree.items():
        write(root / tenant / Path(*folders) / f"f{name}", size)
        wanted[tenant] = wanted.get(tenant, 0) + size
    assert measured(root) == wanted
