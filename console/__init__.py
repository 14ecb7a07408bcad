"""What does a person type, read and look at? The `inspectq` command and its reports."""
