"""What does the system remember? Tables, sessions and one module per aggregate.

The database is the truth; the queue only carries. Nothing here imports torch or celery.
"""
