"""Who looks at a page. Without accounts: the one person there is. In a studio for many: whoever the browser's cookie names, or
whom the identity provider has signed in."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass

import streamlit as st

from transfer_core.errors import BadInput, StudioError, Unavailable
from transfer_core.paths import Home
from transfer_core.people import COOKIE, Secret, anonymous, is_hosted, signed_in
from transfer_core.people.identity import SHORTEST, is_weak
from transfer_core.settings import settings, terminal_language

_STREAMLITS_COOKIE = "_streamlit_user"
DEFAULT = "default"
"""Streamlit's name for the provider whose client stands in [auth] itself."""
_OF_THE_DOCUMENTS = "a long random text of your own"
"""What docs/deploy.md writes where a secret belongs: whoever copied it signs with what everybody can read."""


@dataclass(frozen=True)
class Visitor:
    person: str | None
    """None: the one person of a studio without accounts."""
    name: str | None = None
    email: str | None = None
    """Only an address the provider has not called unverified."""
    is_vouched: bool = False
    """Whether the provider says that the address is theirs. Some let people write any there, and say nothing."""
    provider: str = DEFAULT
    """Who says so: its section in .streamlit/secrets.toml."""


def visitor() -> Visitor | None:
    """Who looks; None for nobody we know."""
    match settings().people:
        case None:
            return Visitor(None)
        case "anonymous":
            person = anonymous(st.context.cookies.get(COOKIE, ""), Secret.of(Home.default()))
            return Visitor(person) if person else None
    return _signed_in(st.user.to_dict()) if st.user.get("is_logged_in") else None


def identify(cookies: Mapping[str, str]) -> str | None:
    """The person of a request that goes past the pages, by the same cookies. Handed to `http.routes`."""
    if settings().people == "anonymous":
        return anonymous(cookies.get(COOKIE, ""), Secret.of(Home.default()))
    if settings().people is None:
        return None
    known = _signed_in(_claims(cookies))
    return known.person if known else None


def is_admin(who: Visitor | None) -> bool:
    """Whether this visitor looks after the studio: its only person, or one of `TRANSFER_STUDIO_ADMINS`, by an address that the
    provider vouches for, or by the name the studio gives a person."""
    if who is None:
        return False
    return not is_hosted() or _has_admins_address(who) or who.person in settings().admins


def _has_admins_address(who: Visitor) -> bool:
    """Where there are several providers, an address counts only as that of the one it was written with: each of them may call any
    address theirs. And only of one that people may still sign in with: a cookie holds on for weeks."""
    if not who.email or not who.is_vouched:
        return False
    mail, offered = who.email.lower(), providers()
    if offered and who.provider not in offered:
        return False
    return f"{who.provider}:{mail}".lower() in settings().admins or (len(offered) < 2 and mail in settings().admins)


def providers() -> tuple[str, ...]:
    """Whom people may sign in with, by their sections in .streamlit/secrets.toml; the one without a name first."""
    from streamlit.auth_util import get_secrets_auth_section

    auth = get_secrets_auth_section().to_dict()
    named = [name for name, section in auth.items() if isinstance(section, dict) and "client_id" in section and name != DEFAULT]
    return (*([DEFAULT] if "client_id" in auth or DEFAULT in auth else []), *named)


def _signed_in(claims: Mapping[str, object]) -> Visitor | None:
    issuer, subject = claims.get("iss") or claims.get("provider"), claims.get("sub")
    if not issuer or not subject:
        return None
    email = claims.get("email")
    said = claims.get("email_verified")
    mail = str(email)[:200] if email and said in (None, True, "true") else None
    name = str(claims.get("name") or "")[:200] or mail
    provider = str(claims.get("provider") or DEFAULT)
    # Which issuer it is, a provider says of itself. One with a name of its own in the settings cannot speak for another.
    who = signed_in(str(issuer) if provider == DEFAULT else f"{provider} {issuer}", str(subject))
    return Visitor(who, name, mail, said in (True, "true"), provider)


def _claims(cookies: Mapping[str, str]) -> Mapping[str, object]:
    """What Streamlit's own cookie says of who has signed in; nothing where its signature is not ours.

    There is no public way to ask for it outside a page's script. A test signs somebody in and asks both ways.
    """
    from streamlit.auth_util import get_cookie_with_chunks
    from streamlit.web.server.server_util import get_cookie_secret
    from streamlit.web.server.starlette.starlette_app_utils import decode_signed_value

    secret = get_cookie_secret()

    def single(name: str) -> bytes | None:
        return decode_signed_value(secret, name, cookies[name]) if name in cookies else None

    found = get_cookie_with_chunks(single, _STREAMLITS_COOKIE)
    try:
        claims = json.loads(found) if found else {}
    except ValueError:
        return {}
    return claims if claims.get("is_logged_in") else {}


def check_or_exit() -> None:
    """A studio for many needs a key nobody guesses, and, where people sign in, Streamlit's own settings for that: said in the
    terminal, and not on every page."""
    try:
        if settings().people == "anonymous":
            Secret.of(Home.default())
        elif settings().people == "sign-in":
            _check_sign_in()
    except StudioError as error:
        said = terminal_language()
        sys.exit(f"{error.message(said)}\n{error.hint(said)}")


def _check_sign_in() -> None:
    from streamlit.auth_util import get_secrets_auth_section, is_authlib_installed, validate_auth_credentials
    from streamlit.errors import StreamlitAuthError
    from streamlit.web.server.server_util import get_cookie_secret

    if not is_authlib_installed():
        raise Unavailable("no_authlib")
    if not get_secrets_auth_section():
        raise Unavailable("no_sign_in")
    try:
        for provider in providers() or (DEFAULT,):
            validate_auth_credentials(provider)
    except StreamlitAuthError as error:
        raise BadInput("bad_sign_in", problem=" ".join(str(error).split())) from None
    secret = str(get_cookie_secret())
    if is_weak(secret.encode()) or secret == _OF_THE_DOCUMENTS:
        raise BadInput("weak_secret", where="cookie_secret (.streamlit/secrets.toml)", least=SHORTEST)
