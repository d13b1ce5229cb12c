"""A copy of everything people made, taken while the studio runs, and the way back.

    backup.json          what this is, when it was made, and the hashes of the next two
    objects/ab/abcd…     every file once, under the SHA-256 of its bytes: also the database, and the list of files

Nothing that the last whole backup needs is changed or removed before the next one is whole: `backup.json` is replaced at the
very end, by one rename. Whoever is killed before that leaves the earlier backup as it was.
"""

from transfer_core.backups.making import Made, backup
from transfer_core.backups.restoring import Restored, restore
from transfer_core.backups.shelf import FOLDERS

__all__ = ["FOLDERS", "Made", "Restored", "backup", "restore"]
