"""The API's document, and a fuzzer that takes it at its word."""

from __future__ import annotations

import pytest
import schemathesis
import stories
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance

from transfer_core import demos
from transfer_core.predicting.process import shared


@pytest.fixture
def known(store, stranger, monkeypatch):
    """A published demo, its key, and a client that knows it. Nobody is told to wait."""
    monkeypatch.setenv("TRANSFER_STUDIO_API_PER_MINUTE", "1000000")
    monkeypatch.setenv("TRANSFER_STUDIO_ALLOWED_HOSTS", "*")  # the fuzzer gives this server a name of its own
    stories.dataset(store)
    demo, key = demos.publish(store, stories.finished(store))
    yield demo, key, stranger()
    shared.close()


def test_the_document_names_every_address_and_where_it_is(known):
    _, _, client = known
    document = client.get("/api/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert set(document["paths"]) == {"/api/demos/{demo}", "/api/demos/{demo}/predict", "/healthz"}
    assert document["servers"] == [{"url": "http://127.0.0.1"}]
    codes = document["paths"]["/api/demos/{demo}/predict"]["post"]["responses"]
    assert set(codes) == {"200", "400", "401", "403", "404", "413", "415", "429", "503"}


def test_every_refusal_of_the_api_is_in_its_document():
    """What `errors.answer` gives for each code that a demo can raise."""
    from transfer_core.http.errors import _STATUS
    from transfer_core.http.openapi import document

    promised = document("")["paths"]["/api/demos/{demo}/predict"]["post"]["responses"]
    raised = ("no_key", "wrong_key", "body_too_big", "photo_too_big", "too_many_photos", "bad_body_type", "too_often",
              "queue_full")
    assert {str(_STATUS[code]) for code in raised} <= set(promised)


@pytest.mark.parametrize("operation", ["/api/demos/{demo}", "/api/demos/{demo}/predict", "/healthz"])
def test_the_api_keeps_what_its_document_promises(known, operation):
    """Every answer to what a fuzzer makes of the document has a status and a shape that the document knows."""
    demo, key, client = known
    schema = schemathesis.openapi.from_asgi("/api/openapi.json", client.app)
    [method] = schema[operation]
    seen = []

    @settings(max_examples=80, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(case=schema[operation][method].as_strategy())
    def check(case) -> None:
        if case.path_parameters and len(seen) % 4:
            case.path_parameters["demo"] = demo.id
        case.headers["Authorization"] = f"Bearer {key if len(seen) % 3 else 'another'}"
        answer = case.call()
        seen.append(answer.status_code)
        case.validate_response(answer, checks=CHECKS)

    check()
    assert set(seen) & {200, 400, 403} and 500 not in seen


CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
