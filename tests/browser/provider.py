"""An OpenID Connect provider for tests: whoever comes is asked for a name, and is who they say."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlencode

import uvicorn
from joserfc import jwt
from joserfc.jwk import RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse
from starlette.routing import Route

CLIENT, PASSWORD = "studio", "not a real one"


class Provider:
    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.key = RSAKey.generate_key(2048, {"kid": "1", "use": "sig", "alg": "RS256"})
        self.asked: dict[str, tuple[str, str]] = {}
        """Code → who, and the nonce of the question."""
        self.app = Starlette(routes=[
            Route("/.well-known/openid-configuration", self.about), Route("/who", self.who), Route("/is", self.sent_back),
            Route("/token", self.token, methods=["POST"]), Route("/keys", self.keys)])

    async def about(self, _request: Request) -> JSONResponse:
        return JSONResponse({"issuer": self.url, "authorization_endpoint": f"{self.url}/who",
                             "token_endpoint": f"{self.url}/token", "jwks_uri": f"{self.url}/keys",
                             "response_types_supported": ["code"], "subject_types_supported": ["public"],
                             "id_token_signing_alg_values_supported": ["RS256"]})

    async def who(self, request: Request) -> HTMLResponse:
        links = "".join(f'<p><a href="/is?{urlencode({**request.query_params, "name": name})}">{name}</a></p>'
                        for name in ("Ada", "Bo"))
        return HTMLResponse(f"<h1>Who are you?</h1>{links}")

    async def sent_back(self, request: Request) -> RedirectResponse:
        asked, code = request.query_params, secrets.token_hex(8)
        self.asked[code] = asked["name"], asked.get("nonce", "")
        return RedirectResponse(f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}", 302)

    async def token(self, request: Request) -> JSONResponse:
        form = await request.form()
        name, nonce = self.asked.pop(str(form["code"]))
        now = int(time.time())
        claims = {"iss": self.url, "aud": CLIENT, "sub": f"id of {name}", "name": name, "email": f"{name.lower()}@example.org",
                  "email_verified": True, "iat": now, "exp": now + 3600, "nonce": nonce}
        signed = jwt.encode({"alg": "RS256", "kid": "1"}, claims, self.key)
        return JSONResponse({"access_token": "x", "token_type": "Bearer", "expires_in": 3600, "id_token": signed})

    async def keys(self, _request: Request) -> JSONResponse:
        return JSONResponse({"keys": [self.key.as_dict(private=False)]})

    def secrets_for(self, studio: str) -> str:
        """What `.streamlit/secrets.toml` says of it."""
        return (f'[auth]\nredirect_uri = "{studio}/oauth2callback"\ncookie_secret = "{secrets.token_hex(32)}"\n'
                f'client_id = "{CLIENT}"\nclient_secret = "{PASSWORD}"\n'
                f'server_metadata_url = "{self.url}/.well-known/openid-configuration"\n')


@contextmanager
def running(port: int) -> Iterator[Provider]:
    provider = Provider(port)
    server = uvicorn.Server(uvicorn.Config(provider.app, host="127.0.0.1", port=port, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield provider
    server.should_exit = True
    thread.join()
