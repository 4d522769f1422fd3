"""``meterline billing dashboard``: the page of the real API as a file, and what it says where there is none."""

from __future__ import annotations

from pathlib import Path

from meterline_schemas.settings import ClickHouseSettings
from tests.api.dashboard.page import read, refers_outwards
from tests.api.process import KEY, ApiProcess
from tests.deploy.running import meterline
from tests.services.kafka import create_topics


def test_the_page_is_a_file_without_links(
    kafka: str, prefix: str, migrated: ClickHouseSettings, tmp_path: Path
) -> None:
    create_topics(kafka, prefix, 1)
    api = ApiProcess(kafka, prefix, migrated, tmp_path)
    api.start()
    root = {"METERLINE_API_URL": str(api.client.base_url), "METERLINE_API_KEY": KEY}
    try:
        named = ("--tenant", "acme", "--out", "acme.html")
        done = meterline("billing", "dashboard", *named, folder=tmp_path, more=root)
        page = (tmp_path / "acme.html").read_bytes()
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
        assert f"acme.html: {len(page)} bytes" in done.stderr
        found = read(page)
        assert found.all("p", "name")[0].text == "acme"
        assert refers_outwards(found) == []
        assert not found.all("a")

        key = api.client.post("/v1/keys", json={"role": "viewer", "tenants": ["acme"]}).json()["key"]
        viewer = {**root, "METERLINE_API_KEY": key}
        own = meterline("billing", "dashboard", "--out", "-", folder=tmp_path, more=viewer)
        assert read(own.stdout.encode()).all("p", "name")[0].text == "acme"
        refused: tuple[tuple[tuple[str, ...], dict[str, str], str], ...] = (
            (("--tenant", "other"), viewer, "the API refuses: "),
            ((), root, "companyId: is missing"),
            (("--tenant", "acme"), {**root, "METERLINE_API_KEY": "mk_wrong"}, "the API does not take the key"),
            (("--tenant", "acme", "--out", "no/x.html"), root, "cannot write no/x.html"),
        )
        for words, environment, said in refused:
            wrong = meterline("billing", "dashboard", *words, folder=tmp_path, more=environment)
            assert (wrong.returncode, wrong.stdout) == (1, "")
            assert said in wrong.stderr
            assert "Traceback" not in wrong.stderr
        assert {path.name for path in tmp_path.iterdir()} == {"api.log", "acme.html"}
    finally:
        api.stop()
