"""The one error of this package: a file that is no usable picture, and why."""


class BadImage(Exception):
    def __init__(self, code, **values):
        super().__init__(code.replace("_", " "))
        self.code, self.values = code, values
