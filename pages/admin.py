"""For who looks after the studio: load, queue, disk, people, errors."""

from pages.shared.admin import page

page.show()
