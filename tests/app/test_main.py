import asyncio
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import jsonschema_rs
import pytest

from app.main import create_app
from app.problems import PROBLEMS
from app.schemas import TEXT_FIELDS, ReconstructionForm
from model.formats import FORMATS
from model.reconstructor import Options


def imports_torch(statement, search_path=""):
    """Whether a fresh interpreter has torch after this statement."""
    environment = {**os.environ, "PYTHONPATH": str(search_path)}
    code = f"import sys\n{statement}\nprint('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    return done.stdout.strip() == "True"


def test_the_service_does_not_import_torch():
    assert not imports_torch("import app.main, app.cli")


def test_an_import_of_torch_would_be_seen(tmp_path):
    """An empty module of that name stands in for the real one, which takes seconds and may be absent."""
    (tmp_path / "torch.py").touch()
    (tmp_path / "careless.py").write_text("import torch")
    assert imports_torch("import careless", tmp_path)


@pytest.fixture
def description(client):
    return client.get("/openapi.json").json()


def test_the_description_shows_files_fields_and_bounds(description):
    body = description["paths"]["/reconstruct"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert set(body["properties"]) == {"image", "mask", *TEXT_FIELDS}
    assert body["required"] == ["image"]
    assert body["properties"]["image"]["format"] == "binary"
    assert body["properties"]["resolution"]["maximum"] == 512
    assert all(field["description"] for field in body["properties"].values())


def test_the_description_shows_every_mesh_format(description):
    content = description["paths"]["/reconstruct"]["post"]["responses"]["200"]["content"]
    assert set(content) == {*(entry.media_type for entry in FORMATS.values()), "multipart/mixed"}


def test_the_description_shows_every_problem_where_it_can_happen(description):
    shown = {
        (int(status), slug)
        for path in description["paths"].values()
        for operation in path.values()
        for status, response in operation["responses"].items()
        for slug in response.get("content", {}).get("application/problem+json", {}).get("examples", ())
    }
    # Nobody is there to read that a client went away.
    assert {(problem.status, problem.slug) for problem in PROBLEMS.values() if problem.slug != "cancelled"} <= shown
    assert {"ProblemBody", "FieldProblem"} <= set(description["components"]["schemas"])


def test_every_reference_of_the_description_leads_somewhere(description):
    def references(node):
        if isinstance(node, dict):
            yield from ([node["$ref"]] if "$ref" in node else [])
            node = list(node.values())
        if isinstance(node, list):
            for child in node:
                yield from references(child)

    found = set(references(description))
    assert found
    for reference in found:
        target = description
        for step in reference.removeprefix("#/").split("/"):
            target = target[step]


def examples(node):
    """Schema and example of whatever has one."""
    if isinstance(node, dict):
        schema = node.get("schema", node)
        yield from ((schema, node["example"]) for _ in range("example" in node))
        given = node.get("examples", [])
        yield from ((schema, example) for example in given if isinstance(given, list))
        yield from ((schema, entry["value"]) for entry in (given.values() if isinstance(given, dict) else ()) if "value" in entry)
        for name, child in node.items():
            yield from examples(child) if name not in ("example", "examples") else ()
    for child in node if isinstance(node, list) else ():
        yield from examples(child)


def misfits(description):
    """Examples that their schema does not allow."""
    for schema, example in examples(description):
        validator = jsonschema_rs.Draft202012Validator({**schema, "components": description["components"]})
        if not validator.is_valid(example):
            yield example


def test_every_example_of_the_description_fits_its_schema(description):
    assert len(list(examples(description))) > 100
    assert list(misfits(description)) == []


def test_an_example_that_does_not_fit_is_found(description):
    description["components"]["schemas"]["JobBody"]["example"].pop("problem")
    assert len(list(misfits(description))) == 1


def test_the_description_says_what_needs_a_key(client, description):
    open_paths = {path for path, item in description["paths"].items() for entry in item.values() if entry.get("security") == []}
    assert open_paths == {"/health/live", "/health/ready", "/metrics"}
    assert description["security"] == [{"bearer": []}, {"key": []}, {}]
    for path, item in description["paths"].items():
        for entry in item.values():
            assert ("401" in entry["responses"]) == (path not in open_paths), path


def test_the_description_shows_problems_as_problems_alone(description):
    for path, item in description["paths"].items():
        for entry in item.values():
            for status, answer in entry["responses"].items():
                if not status.startswith(("2", "3")):
                    assert list(answer["content"]) == ["application/problem+json"], (path, status)


def test_the_description_names_the_headers_that_a_client_needs(description):
    named = {
        path: [entry["name"] for entry in operation.get("parameters", []) if entry["in"] == "header"]
        for path, item in description["paths"].items()
        for operation in item.values()
    }
    assert named["/reconstruct"] == ["Prefer", "Idempotency-Key"]
    assert named["/reconstruct/batch"] == ["Idempotency-Key"]
    assert named["/jobs/{job_id}/events"] == ["Last-Event-ID"]
    results = [path for path in named if path.endswith(("/mesh", "/mask", "/preview", "/archive"))]
    assert [named[path] for path in results] == 7 * [["If-None-Match"]]
    reconstruct = description["paths"]["/reconstruct"]["post"]
    assert set(reconstruct["responses"]["503"]["headers"]) == {"Retry-After"}
    assert set(reconstruct["responses"]["429"]["headers"]) == {"Retry-After"}
    assert set(reconstruct["responses"]["401"]["headers"]) == {"WWW-Authenticate"}


def test_the_documentation_page_is_served(client):
    answer = client.get("/docs")
    assert answer.status_code == 200
    assert "swagger" in answer.text


def test_the_forms_defaults_are_those_of_the_options():
    assert ReconstructionForm().options() == Options()


@pytest.mark.parametrize("field", ["resolution", "level", "target_faces"])
def test_the_forms_bounds_are_those_of_the_options(field):
    """A value at a bound passes both, so that the service refuses nothing that the model takes."""
    schema = ReconstructionForm.model_json_schema()["properties"][field]
    schema = next((entry for entry in schema.get("anyOf", []) if entry["type"] != "null"), schema)
    for bound in (schema.get("minimum"), schema.get("maximum")):
        if bound is not None:
            assert getattr(Options(**{field: bound}), field) == bound


def test_readiness_tells_bundle_provider_and_reason(client):
    assert client.get("/health/ready").json() == {
        "state": "ready",
        "bundle": {"name": "fake", "version": "1", "sha256": "f" * 64},
        "provider": "CPUExecutionProvider",
        "reason": "a test",
    }


@pytest.mark.parametrize("probe", ["/health/live", "/health/ready"])
def test_a_probe_may_ask_for_the_status_alone(client, probe):
    got, head = client.get(probe), client.request("HEAD", probe)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Length"] == str(len(got.content))


def test_of_many_reloads_at_once_one_takes_a_thread(settings, reconstructor):
    """The others wait in the event loop: the default executor has a few threads only, and jobs' heartbeats need them."""
    inside, done = [], []

    def reload():
        inside.append(None)
        assert len(inside) == 1
        time.sleep(0.005)  # the others have time to come in
        inside.pop()
        done.append(None)

    async def storm():
        await asyncio.gather(*(operations.reload() for _ in range(12)))

    operations = replace(create_app(settings, reconstructor).state.operations, library=SimpleNamespace(reload=reload))
    asyncio.run(storm())
    assert len(done) == 12


def test_the_committed_description_is_that_of_this_version(description):
    committed = (Path(__file__).parents[2] / "docs" / "openapi.json").read_text(encoding="utf-8")
    assert json.loads(committed) == description, "python -m app.main > docs/openapi.json"


def test_every_operation_says_what_it_is_and_is_grouped(description):
    for path in description["paths"].values():
        for operation in path.values():
            assert operation["summary"]
            assert operation["tags"]
