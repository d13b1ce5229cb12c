"""A studio for many people: who somebody is, how much each may use, for how long it is kept, and how all of it is deleted.

What keeps people apart is elsewhere: `store.scope` finds nobody's rows but one's own, `Home.of` has no way to another's files.
"""

from transfer_core.people.identity import COOKIE, Secret, anonymous, is_hosted, is_trial, new_cookie, signed_in
from transfer_core.people.keeping import ends, is_warned, keep
from transfer_core.people.leaving import erase, expired, leave
from transfer_core.people.purging import purge
from transfer_core.people.quotas import Usage, check_images, check_room, usage

__all__ = ["COOKIE", "Secret", "Usage", "anonymous", "check_images", "check_room", "ends", "erase", "expired", "is_hosted",
           "is_trial", "is_warned", "keep", "leave", "new_cookie", "purge", "signed_in", "usage"]
