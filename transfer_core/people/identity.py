"""Who somebody is: a name of 32 hexadecimal digits, by which rows and a folder are theirs.

Anonymous: the browser holds a random name, signed, in a cookie no script can read. Without the signature anybody could make
names up, and fill the disk with folders. Signed in: the name follows from what the identity provider says, so it is the same in
every browser.
"""

from __future__ import annotations

import hmac
import logging
import secrets
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from filelock import FileLock

from transfer_core.errors import BadInput
from transfer_core.paths import Home, replacing
from transfer_core.settings import PREFIX, raw, settings

COOKIE = "studio_person"
YEAR = 365 * 86_400
SHORTEST, FEWEST = 16, 8
"""Signs, and different ones, that a key has at least. Whoever finds it may be anybody: they try offline, as fast as they like."""
_NAME, _SIGNATURE = 32, 64
_NOTHING = b"\0 \t\r\n\v\f"
"""What a file is full of that was made and never written: after a crash some file systems leave zeros, others no bytes."""
log = logging.getLogger(__name__)


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
        """Raises `BadInput("weak_secret")` for a key that could be guessed."""
        given = settings().secret
        if given is None:
            return cls(_kept(str(home.shared)))
        return cls(_checked(given.get_secret_value().encode(), f"{PREFIX}SECRET"))

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


def is_weak(key: bytes) -> bool:
    """Whether what signs cookies could be guessed: nothing, white space, too short, or few signs again and again."""
    written = key.strip(_NOTHING)
    return len(written) < SHORTEST or len(set(written)) < FEWEST


def _checked(key: bytes, where: str) -> bytes:
    if is_weak(key):
        raise BadInput("weak_secret", where=where, least=SHORTEST)
    return key


@lru_cache(maxsize=8)
def _kept(root: str) -> bytes:
    file = Path(root) / "secret"
    file.parent.mkdir(parents=True, exist_ok=True)
    if not _is_written(file):
        with FileLock(file.with_name(".names.lock")):  # of two processes that see none, the second takes what the first wrote
            if not _is_written(file):
                if file.is_file():
                    log.warning("the file that names are signed with was empty, and is made anew: all browsers get new names")
                with replacing(file, secret=True) as part:
                    part.write_text(secrets.token_hex(32), "utf-8")
    return _checked(file.read_bytes(), str(file))


def _is_written(file: Path) -> bool:
    return file.is_file() and bool(file.read_bytes().strip(_NOTHING))
