"""What a person has in a studio for many: how much, for how long, and the way to delete all of it."""

from pages.shared import account

account.show()
