"""Who somebody is: a name of 32 hexadecimal digits, by which rows and a folder are theirs.

Anonymous: the browser holds a random name, signed, in a cookie no script can read. Without the signature anybody could make
names up, and fill the disk with folders. Signed in: the name follows from what the identity provider says, so it is the same in
every browser.
"""

from __future__ import annotations

import hmac
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from transfer_core.paths import Home, to_disk
from transfer_core.settings import raw, settings

COOKIE = "studio_person"
YEAR = 365 * 86_400
_NAME, _SIGNATURE = 32, 64


def is_hosted() -> bool:
    """Whether this studio is for many people, who see nothing of each other (`TRANSFER_STUDIO_PEOPLE`)."""
    return bool(raw("people")) or is_trial()  # asked for a hundred times by each page; what it says was checked at the start


def is_trial() -> bool:
    """Whether strangers try this studio: with its examples and the suggested models only (`TRANSFER_STUDIO_MODE=trial`)."""
    return raw("mode").lower() == "trial"


@dataclass(frozen=True)
class Secret:
    """What cookies are signed with: `TRANSFER_STUDIO_SECRET`, else a file in the home, which all web processes share."""

    key: bytes

    @classmethod
    def of(cls, home: Home) -> Secret:
        given = settings().secret
        return cls(given.get_secret_value().encode() if given else _kept(str(home.shared)))

    def sign(self, person: str) -> str:
        return hmac.new(self.key, b"person " + person.encode(), sha256).hexdigest()


def anonymous(cookie: str, secret: Secret) -> str | None:
    """The person of a cookie; None for one that is not ours."""
    person, _, signature = cookie.partition(".")
    if len(person) != _NAME or len(signature) != _SIGNATURE or not cookie.isascii():
        return None
    return person if hmac.compare_digest(secret.sign(person), signature) else None


def new_cookie(secret: Secret, *, secure: bool, framed: bool = False, person: str | None = None) -> str:
    """A `Set-Cookie` for somebody new, or for `person`, who is then known a year longer. `framed`: other sites may show the
    studio inside theirs, which takes a cookie of its own for each of them (CHIPS); browsers want such ones over https only."""
    person = person or secrets.token_hex(_NAME // 2)
    where = "SameSite=None; Partitioned" if framed and secure else "SameSite=Lax"
    only = "; Secure" if secure else ""
    return f"{COOKIE}={person}.{secret.sign(person)}; Path=/; HttpOnly; {where}; Max-Age={YEAR}{only}"


def signed_in(issuer: str, subject: str) -> str:
    """The person whom an identity provider calls `subject`: a name that is unique with that provider alone (OpenID Connect Core
    1.0, section 2)."""
    return sha256(f"{issuer}\0{subject}".encode()).hexdigest()[:_NAME]


@lru_cache(maxsize=8)
def _kept(root: str) -> bytes:
    file = Path(root) / "secret"
    file.parent.mkdir(parents=True, exist_ok=True)
    if not file.is_file():
        part = file.with_name(f".secret.{secrets.token_hex(4)}.part")
        made = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(made, secrets.token_hex(32).encode())
            os.fsync(made)  # lost, it would lock out everybody who has a name of it
            with suppress(FileExistsError):  # another process was faster: theirs holds
                os.link(part, file)
        finally:
            os.close(made)
            part.unlink()
            to_disk(file.parent)
    return file.read_bytes()
