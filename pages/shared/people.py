"""Who looks at a page. Without accounts: the one person there is. In a studio for many: whoever the browser's cookie names, or
whom the identity provider has signed in."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass

import streamlit as st

from transfer_core.errors import Unavailable
from transfer_core.paths import Home
from transfer_core.people import COOKIE, Secret, anonymous, is_hosted, signed_in
from transfer_core.settings import settings, terminal_language

_STREAMLITS_COOKIE = "_streamlit_user"


@dataclass(frozen=True)
class Visitor:
    person: str | None
    """None: the one person of a studio without accounts."""
    name: str | None = None
    email: str | None = None
    """Only an address the provider has not called unverified."""
    is_vouched: bool = False
    """Whether the provider says that the address is theirs. Some let people write any there, and say nothing."""


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
    by_mail = who.is_vouched and who.email and who.email.lower() in settings().admins
    return not is_hosted() or bool(by_mail or who.person in settings().admins)


def _signed_in(claims: Mapping[str, object]) -> Visitor | None:
    issuer, subject = claims.get("iss") or claims.get("provider"), claims.get("sub")
    if not issuer or not subject:
        return None
    email = claims.get("email")
    said = claims.get("email_verified")
    mail = str(email)[:200] if email and said in (None, True, "true") else None
    name = str(claims.get("name") or "")[:200] or mail
    return Visitor(signed_in(str(issuer), str(subject)), name, mail, said in (True, "true"))


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
    """A studio whose people sign in needs Streamlit's own settings for that: said in the terminal, and not on every page."""
    if settings().people != "sign-in":
        return
    from streamlit.auth_util import get_secrets_auth_section, is_authlib_installed

    problem = "no_authlib" if not is_authlib_installed() else "no_sign_in" if not get_secrets_auth_section() else None
    if problem:
        error, said = Unavailable(problem), terminal_language()
        sys.exit(f"{error.message(said)}\n{error.hint(said)}")
