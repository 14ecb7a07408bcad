"""Which commands are there? make: data and models; inspect: jobs and verdicts; operate: services."""
