"""The API of demos as an OpenAPI 3.1 document, for programs that write programs."""

from __future__ import annotations

from typing import Any

from transfer_core.http.photos import LARGEST, MB, MOST, WHOLE
from transfer_core.paths import studio_version

_TEXT = {"type": "string"}
_SHARE = {"type": "number", "minimum": 0, "maximum": 1}
_NONE = {"type": ["boolean", "null"], "description": "Is it so unsure that the photo may be of none of the classes? "
                                                     "null: this model has no threshold for that"}


def _object(needed: dict[str, Any], others: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"type": "object", "properties": {**needed, **(others or {})}, "required": list(needed)}


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


_SCHEMAS = {
    "Error": _object({"error": {**_TEXT, "description": "What happened"}, "hint": {**_TEXT, "description": "What to do"},
                      "code": {**_TEXT, "description": "Its name, which never changes"}}),
    "Prediction": {"oneOf": [
        _object({"file": _TEXT, "label": _TEXT, "none_of_these": _NONE,
                 "probabilities": {"type": "object", "additionalProperties": _SHARE}}),
        _object({"file": _TEXT, "error": _TEXT, "hint": _TEXT})]},
    "Predictions": _object({"model": _TEXT, "predictions": _list({"$ref": "#/components/schemas/Prediction"})}),
    "Demo": _object({
        "id": _TEXT, "title": _TEXT, "description": _TEXT, "classes": _list(_TEXT), "base_model": _TEXT,
        "created": {"type": "number"}, "examples": _list(_TEXT),
        "measured": {"oneOf": [{"type": "null"}, _object({
            "split": _TEXT, "n": {"type": "integer"}, "correct": {"type": "integer"}, "accuracy": _SHARE, "low": _SHARE,
            "high": _SHARE, "baseline": _SHARE, "baseline_class": _TEXT})]},
        "limits": _object({name: {"type": "integer"} for name in ("photos", "photo_bytes", "body_bytes")})}),
}
_NAMED = _object({"data": _TEXT}, {"name": _TEXT})
_BASE64 = {"oneOf": [{**_TEXT, "contentEncoding": "base64"}, _NAMED]}
_PHOTOS = {
    "multipart/form-data": {"schema": _object({"image": _list({**_TEXT, "format": "binary"})})},
    "application/json": {"schema": {"anyOf": [_object({"image": _BASE64}),
                                              _object({"images": {**_list(_BASE64), "maxItems": MOST}})]}},
    "image/*": {"schema": {**_TEXT, "format": "binary"}},
}


def document(address: str) -> dict[str, Any]:
    """`address`: where this server answers, without a slash at its end."""
    demo = {"name": "demo", "in": "path", "required": True, "schema": _TEXT, "description": "The id in the demo's link"}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Transfer Studio demos", "version": studio_version(),
                 "description": f"Ask a published model about photos: at most {MOST} in a request, {LARGEST // MB} MB each, "
                                f"{WHOLE // MB} MB together."},
        "servers": [{"url": address}],
        "components": {"schemas": _SCHEMAS, "securitySchemes": {
            "bearer": {"type": "http", "scheme": "bearer", "description": "The demo's key"},
            "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"}}},
        "paths": {
            "/api/demos/{demo}": {"get": {
                "operationId": "describe", "summary": "What this model is", "parameters": [demo],
                "responses": {"200": _says("Demo", "The demo"), "404": _says("Error", "There is no such demo")}}},
            "/api/demos/{demo}/predict": {"post": {
                "operationId": "predict", "summary": "What the model sees in photos", "parameters": [demo],
                "security": [{"bearer": []}, {"header": []}],
                "requestBody": {"required": True, "content": _PHOTOS},
                "responses": {
                    "200": _says("Predictions", "An answer for each photo, in order"),
                    **{code: _says("Error", what) for code, what in {
                        "400": "The body holds no photos", "401": "No key", "403": "A wrong key", "404": "There is no such demo",
                        "413": "Too much at once", "415": "A kind of body that is not known",
                        "429": "Too often; Retry-After says when to come again",
                        "503": "Too many ask at this moment; Retry-After says when to come again"}.items()}}}},
            "/healthz": {"get": {"operationId": "health", "summary": "Whether the studio can do its work", "responses": {
                code: {"description": what, "content": {"application/json": {"schema": _object(
                    {"status": _TEXT, "parts": {"type": "object", "additionalProperties": _TEXT}})}}}
                for code, what in {"200": "It can", "503": "A part of it fails"}.items()}}},
        },
    }


def _says(schema: str, what: str) -> dict[str, Any]:
    return {"description": what, "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}}
