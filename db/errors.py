"""What can go wrong with what the system remembers, and what should the person do?

Every message is a sentence for that person. The console turns a class into an exit code
(console/exits.py) and prints the message without a traceback.
"""


class InspectqError(Exception):
    """The root of the tree: anything that a person can be told in one sentence."""


class NotFound(InspectqError):
    """The job, model or evaluation that was named does not exist."""


class Refused(InspectqError):
    """What was asked for cannot be done in the state things are in."""


class SettingInvalid(InspectqError):
    """An INSPECTQ_ variable holds something that is not a value of its kind."""


class ServiceAway(InspectqError):
    """The database or the broker does not answer, or cannot be written."""


class DatabaseAway(ServiceAway):
    """The database cannot be reached."""


class DatabaseNotWritable(ServiceAway):
    """The database can be read but not written: read-only, locked for too long, or the disk is full."""


class SchemaMismatch(ServiceAway):
    """The tables are missing, older or newer than this code."""


class BrokerAway(ServiceAway):
    """Redis does not answer."""
