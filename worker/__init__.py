"""How is a batch inspected, in a Celery worker and in the process of a single user alike?"""
